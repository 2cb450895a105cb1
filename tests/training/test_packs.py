"""Packs: what is written comes back, plain or small."""

import numpy as np
import pytest

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.volume import Volume
from stacksam.training.packs import (
    as_differences,
    from_differences,
    make_item,
    read_pack,
    write_pack,
)


@pytest.mark.parametrize("is_small", [False, True])
def test_pack_comes_back_as_it_was(items, tmp_path, is_small):
    path = tmp_path / "pack.npz"
    write_pack(path, items, is_small=is_small)
    for item, again in zip(items, read_pack(path), strict=True):
        assert (item.dataset, item.split, item.spacing_zyx) == (
            again.dataset,
            again.split,
            again.spacing_zyx,
        )
        assert again.image.dtype == item.image.dtype
        assert np.array_equal(item.image, again.image)
        assert np.array_equal(item.labels, again.labels)


@pytest.mark.parametrize("is_small", [False, True])
@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_damaged_pack_is_said(items, tmp_path, content, is_small):
    path = tmp_path / "pack.npz"
    write_pack(path, items, is_small=is_small)
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    with pytest.raises(ReadError, match=r"pack\.npz cannot be read; delete it"):
        read_pack(path)


def test_full_disk_leaves_no_half_pack(items, tmp_path, monkeypatch):
    def fail(file, array, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(WriteError, match="disk is full"):
        write_pack(tmp_path / "pack.npz", items)
    assert list(tmp_path.iterdir()) == []


def test_ct_stays_in_hounsfield_units_beside_its_window(tmp_path):
    hu = np.full((4, 20, 30), -1000, np.int16)
    hu[1:3, 5:15, 5:20] = 60
    hu[2, 8, 8] = 900
    labels = (hu == 60).astype(np.uint16)
    item = make_item("ct", "train", Volume(hu, spacing_zyx=(3.0, 1.0, 1.0)), labels)
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
    item = make_item("cells", "train", Volume(grey), np.zeros(grey.shape, np.uint16))
    assert item.image.dtype == np.uint8
    assert item.window is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 4, 1), (1, 4, 5, 3)])
def test_images_follow_from_their_differences(dtype, shape):
    limits = np.iinfo(dtype)
    image = np.random.default_rng(0).integers(limits.min, limits.max, shape, dtype, endpoint=True)
    planes = as_differences(image)
    assert (planes.dtype, planes.shape) == (np.uint8, (np.dtype(dtype).itemsize, *shape))
    again = from_differences(planes)
    assert again.dtype == dtype
    assert np.array_equal(again, image)


def test_a_small_pack_is_smaller(tmp_path):
    hu = np.random.default_rng(0).normal(0, 12, (6, 64, 64)).astype(np.int16)
    hu += np.arange(0, 640, 10, dtype=np.int16)
    item = make_item("ct", "train", Volume(hu), np.zeros(hu.shape, np.uint16))
    write_pack(tmp_path / "plain.npz", [item])
    write_pack(tmp_path / "small.npz", [item], is_small=True)
    sizes = [(tmp_path / f"{name}.npz").stat().st_size for name in ("small", "plain")]
    assert sizes[0] < 0.9 * sizes[1]
