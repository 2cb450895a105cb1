"""Packing: what may be trained on gets in, and nothing else."""

import json

import numpy as np
import pytest
import tifffile

from pack_support import FILES, cells, write_split
from stacksam.core.errors import ReadError, WriteError
from stacksam.core.volume import Volume
from stacksam.core.windows import apply_window, resolve_window
from stacksam.training.config import DataConfig
from stacksam.training.packing import (
    ForbiddenFileError,
    _packed,
    check_trainable,
    load_split,
    pack,
    read_item,
    read_pack,
    trainable_files,
    write_pack,
)

ALLOWED = {
    "microscopy/cells/images/a.png": "train",
    "microscopy/cells/images/b.png": "val",
    "radiology/organs/volumes/e.tif": "train",
}


def config_for(data, tmp_path, **options):
    settings = {"synthetic_images": 0, "synthetic_volumes": 0, "synthetic_patients": 0} | options
    return DataConfig(data, tmp_path / "läufe" / "pack.npz", **settings)


@pytest.mark.parametrize("relative", ALLOWED)
def test_train_and_val_files_pass(data, relative):
    assert check_trainable(relative, load_split(data)) == ALLOWED[relative]


@pytest.mark.parametrize(
    ("relative", "message"),
    [
        ("microscopy/cells/images/c.png", "cells: a file is on the test side"),
        ("radiology/organs/volumes/f.tif", "organs: a file is on the test side"),
        ("microscopy/banned/images/d.png", r"banned may not be trained on \(share-alike licence\)"),
        ("microscopy/cells/images/new.png", "cells: a file is on the unlisted side"),
        ("microscopy/other/images/new.png", "other: a file is on the unlisted side"),
        ("a.png", "not a file of a data set"),
    ],
)
def test_other_files_are_refused(data, relative, message):
    with pytest.raises(ForbiddenFileError, match=message):
        check_trainable(relative, load_split(data))


def test_only_allowed_files_are_listed(data):
    assert dict(trainable_files(data)) == ALLOWED


def test_sides_that_are_not_known_stop_the_packing(data, tmp_path):
    write_split(data, **{"microscopy/cells/images/c.png": "sealed"})
    with pytest.raises(ForbiddenFileError, match="sealed side"):
        pack(config_for(data, tmp_path))
    assert not (tmp_path / "läufe").exists()


def test_real_split_lets_no_test_file_through(shared_data):
    split = load_split(shared_data)
    listed = trainable_files(shared_data)
    assert listed
    for relative, side in listed:
        assert split["files"][relative] == side
        assert side in ("train", "val")
        assert relative.split("/")[1] not in split["not_for_training"]
    for relative in split["files"].keys() - dict(listed).keys():
        with pytest.raises(ForbiddenFileError):
            check_trainable(relative, split)


def test_pack_holds_allowed_files_and_generated_ones(data, tmp_path):
    config, said = config_for(data, tmp_path, synthetic_images=2), []
    pack(config, said.append)
    items = read_pack(config.pack)
    assert [(i.dataset, i.split) for i in items] == [
        ("cells", "train"),
        ("cells", "val"),
        ("organs", "train"),
        ("synthetic_images", "train"),
        ("synthetic_images", "train"),
    ]
    for item in items:
        assert (item.image.dtype, item.labels.dtype) == (np.uint8, np.uint16)
        assert item.image.shape[:3] == item.labels.shape
        assert item.labels.any()
    assert said[0] == "read 3 files"


def test_images_are_windowed_as_at_inference(data):
    item = read_item(data, "microscopy/cells/images/a.png", "train")
    image, labels = cells(list(FILES).index("microscopy/cells/images/a.png"))
    windowed = apply_window(image, resolve_window(Volume(image)))
    assert np.array_equal(item.image[0], np.round(255 * windowed).astype(np.uint8))
    assert np.array_equal(item.labels[0], labels)


def test_pack_comes_back_as_it_was(items, tmp_path):
    path = tmp_path / "pack.npz"
    write_pack(path, items)
    for item, again in zip(items, read_pack(path), strict=True):
        assert (item.dataset, item.split, item.spacing_zyx) == (
            again.dataset,
            again.split,
            again.spacing_zyx,
        )
        assert np.array_equal(item.image, again.image)
        assert np.array_equal(item.labels, again.labels)


def test_missing_split_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no SPLIT\.json"):
        trainable_files(tmp_path)


def test_images_without_fitting_labels_are_said(data):
    masks = data / "microscopy" / "cells" / "masks"
    tifffile.imwrite(masks / "a.tif", np.zeros((5, 5), np.uint16))
    with pytest.raises(ValueError, match="cells: labels of shape"):
        read_item(data, "microscopy/cells/images/a.png", "train")
    (masks / "a.tif").unlink()
    with pytest.raises(ValueError, match="cells: an image has no labels in masks"):
        read_item(data, "microscopy/cells/images/a.png", "train")


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_damaged_pack_is_said(items, tmp_path, content):
    path = tmp_path / "pack.npz"
    write_pack(path, items)
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    with pytest.raises(ReadError, match=r"pack\.npz cannot be read; delete it"):
        read_pack(path)


def test_full_disk_leaves_no_half_pack(items, tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(WriteError, match="disk is full"):
        write_pack(tmp_path / "pack.npz", items)
    assert list(tmp_path.iterdir()) == []


def test_split_is_the_folders_own(data):
    split = json.loads((data / "SPLIT.json").read_text(encoding="utf-8"))
    assert load_split(data) == split


def test_ct_stays_in_hounsfield_units_beside_its_window(tmp_path):
    hu = np.full((4, 20, 30), -1000, np.int16)
    hu[1:3, 5:15, 5:20] = 60
    hu[2, 8, 8] = 900
    labels = (hu == 60).astype(np.uint16)
    item = _packed("ct", "train", Volume(hu, spacing_zyx=(3.0, 1.0, 1.0)), labels)
    assert item.image.dtype == np.int16
    assert np.array_equal(item.image, hu)
    low, high = item.window
    assert -1000 <= low < 60 <= high <= 900
    write_pack(tmp_path / "p.npz", [item])
    (again,) = read_pack(tmp_path / "p.npz")
    assert again.window == item.window
    assert np.array_equal(again.image, hu)


def test_other_images_are_packed_as_they_are_seen():
    grey = np.random.default_rng(0).integers(0, 4000, (3, 20, 30)).astype(np.uint16)
    item = _packed("cells", "train", Volume(grey), np.zeros(grey.shape, np.uint16))
    assert item.image.dtype == np.uint8
    assert item.window is None
