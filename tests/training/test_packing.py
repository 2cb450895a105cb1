"""Packing: what may be trained on gets in, and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from pack_support import FILES, cells, write_split
from stacksam.core.volume import Volume
from stacksam.core.windows import apply_window, resolve_window
from stacksam.training.config import DataConfig
from stacksam.training.packing import (
    ForbiddenFileError,
    check_trainable,
    fit_items,
    load_split,
    pack,
    read_item,
    trainable_files,
)
from stacksam.training.packs import PackedItem, read_pack

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


def test_split_is_the_folders_own(data):
    split = json.loads((data / "SPLIT.json").read_text(encoding="utf-8"))
    assert load_split(data) == split


def test_a_limit_leaves_generated_items_to_the_training(data, tmp_path):
    config, said = config_for(data, tmp_path, synthetic_images=2, pack_mib=1), []
    pack(config, said.append)
    assert [(i.dataset, i.split) for i in read_pack(config.pack)] == [
        ("cells", "train"),
        ("cells", "val"),
        ("organs", "train"),
    ]
    assert config.pack.stat().st_size < 2**20
    assert said == ["read 3 files", "kept 3 of them"]


def test_a_limit_lets_no_other_file_in(data, tmp_path):
    write_split(data, **{"microscopy/cells/images/c.png": "sealed"})
    with pytest.raises(ForbiddenFileError, match="sealed side"):
        pack(config_for(data, tmp_path, pack_mib=1))


def noisy_items(dataset, count, side):
    rng = np.random.default_rng(side)
    labels = np.zeros((1, side, side), np.uint16)
    labels[0, 2:9, 2:9] = 1
    return [
        PackedItem(dataset, "train", rng.integers(0, 256, labels.shape, np.uint8), labels, None)
        for _ in range(count)
    ]


def test_large_data_sets_are_thinned_out_and_small_ones_stay_whole():
    small, large = noisy_items("small", 3, 64), noisy_items("large", 40, 128)
    kept = fit_items([*large, *small], 200_000)
    assert [i.dataset for i in kept[-3:]] == ["small"] * 3
    assert 5 < len(kept) - 3 < 12  # of 17 kB each
    numbers = [next(n for n, item in enumerate(large) if item is k) for k in kept[:-3]]
    assert numbers == sorted(numbers)
    again = fit_items([*large, *small], 200_000)
    assert all(item is before for item, before in zip(again, kept, strict=True))
    everything = fit_items([*large, *small], 2**30)
    assert all(item is k for item, k in zip(everything, [*large, *small], strict=True))


def test_each_side_of_each_data_set_is_there_or_the_limit_is_refused():
    items = noisy_items("large", 9, 128)
    items.append(replace(items[0], split="val"))
    assert {i.split for i in fit_items(items, 40_000)} == {"train", "val"}
    with pytest.raises(ValueError, match=r"pack_mib is 0\.03\d*; that does not hold one item"):
        fit_items(items, 32_000)


def test_slices_far_from_any_label_are_cut_off():
    labels = np.zeros((60, 9, 9), np.uint16)
    labels[20:23, 2:5, 2:5] = 1
    image = np.arange(labels.size, dtype=np.int64).reshape(labels.shape).astype(np.uint8)
    (kept,) = fit_items([PackedItem("ct", "train", image, labels, (2.0, 1.0, 1.0))], 10**6)
    assert np.array_equal(kept.image, image[12:31])
    assert np.array_equal(kept.labels, labels[12:31])
    assert kept.spacing_zyx == (2.0, 1.0, 1.0)
