import errno
import os

import pytest

from stacksam.core.errors import WriteError
from stacksam.io.atomic import atomic_folder, atomic_path, full_suffix


def fail_halfway(target, error):
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.nii.gz", ".nii.gz"),
        ("a.OME.zarr", ".ome.zarr"),
        ("a.b.OME.TIF", ".ome.tif"),
        ("v1.2 x.tiff", ".tiff"),
        ("a.gz", ".gz"),
        ("a", ""),
    ],
)
def test_double_extensions_stay_together(name, suffix):
    assert full_suffix(name) == suffix


def test_the_target_is_replaced_only_at_the_end(tmp_path):
    target = tmp_path / "labels ü.nii.gz"
    target.write_bytes(b"old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert full_suffix(temporary) == ".nii.gz"
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with pytest.raises(KeyError, match="ours"):
        fail_halfway(target, KeyError("ours"))
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"a\.tif was not written: the disk is full; free some space"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "choose another folder"),
    ],
)
def test_system_errors_become_one_sentence(tmp_path, number, message):
    with pytest.raises(WriteError, match=message):
        fail_halfway(tmp_path / "a.tif", OSError(number, "reason"))
    assert list(tmp_path.iterdir()) == []


def test_the_folder_has_to_exist(tmp_path):
    with (
        pytest.raises(WriteError, match="its folder does not exist; create it"),
        atomic_path(tmp_path / "gone" / "a.tif"),
    ):
        pass


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(WriteError, match="it is a folder"), atomic_path(tmp_path / "a.tif"):
        pass


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(WriteError, match="was not written"), atomic_path(tmp_path / "a.tif"):
        pass


# folders


def write_folder(target, error=None):
    with atomic_folder(target) as temporary:
        assert temporary.parent == target.parent
        (temporary / "deep").mkdir()
        (temporary / "deep" / "new.txt").write_text("new", encoding="utf-8")
        if error is not None:
            raise error


@pytest.mark.parametrize("is_old", [False, True])
def test_a_folder_is_replaced_as_a_whole(tmp_path, is_old):
    target = tmp_path / "labels ü.ome.zarr"
    if is_old:
        target.mkdir()
        (target / "old.txt").touch()
    write_folder(target)
    assert list(tmp_path.iterdir()) == [target]
    assert [path.name for path in target.rglob("*")] == ["deep", "new.txt"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "reason"), r"a\.zarr was not written: the disk is full"),
        (KeyError("ours"), "ours"),
    ],
)
def test_an_error_leaves_the_old_folder_and_no_temporary(tmp_path, error, message):
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "old.txt").touch()
    with pytest.raises((WriteError, KeyError), match=message):
        write_folder(target, error)
    assert list(tmp_path.iterdir()) == [target]
    assert [path.name for path in target.iterdir()] == ["old.txt"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "old.txt").touch()
    replace = os.replace

    def fail_for_the_new_one(source, destination):
        if (source / "deep").is_dir():
            raise PermissionError(errno.EACCES, "reason")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", fail_for_the_new_one)
    with pytest.raises(WriteError, match="no permission"):
        write_folder(target)
    assert list(tmp_path.iterdir()) == [target]
    assert [path.name for path in target.iterdir()] == ["old.txt"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "a.zarr").touch()
    with pytest.raises(WriteError, match="a file has that name; choose another"):
        write_folder(tmp_path / "a.zarr")
    with pytest.raises(WriteError, match="its folder does not exist; create it"):
        write_folder(tmp_path / "gone" / "a.zarr")
