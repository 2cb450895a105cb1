import errno

import pytest

from stacksam.core.errors import WriteError
from stacksam.io.atomic import atomic_path, full_suffix


def fail_halfway(target, error):
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.nii.gz", ".nii.gz"),
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
