import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dicom_support import write_series
from stacksam.core.errors import ReadError
from stacksam.io import read, read_labels, write_labels


def stack(count=4, seed=0):
    return np.random.default_rng(seed).integers(-30, 100, (count, 5, 6)).astype(np.int16)


@pytest.fixture
def archive(tmp_path):
    """A study with two series, notes and a folder entry."""
    first = write_series(tmp_path / "one", stack(), t0020_0011="1", t0020_0052="1.2.9")
    second = write_series(tmp_path / "two", stack(2, 1), series="1.2.4", t0020_0011="2")
    path = tmp_path / "Studie ä.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.mkdir("Müller")
        for folder in (first, second):
            for file in folder.iterdir():
                opened.write(file, f"Müller/{folder.name}/{file.stem}")
        opened.writestr("Müller/notes.txt", "no image")
        opened.writestr("__MACOSX/._001", b"\0" * 200)
    return path


def test_a_series_is_read_from_a_zip(archive):
    with pytest.raises(ReadError, match=r"Studie ä.zip holds 2 series; .* 0 \(4 slices, CT\), 1"):
        read(archive)
    volume = read(archive, series=0)
    np.testing.assert_array_equal(volume.data, stack())
    np.testing.assert_array_equal(read(archive, series="1.2.4").data, stack(2, 1))
    assert volume.name == archive.name
    assert volume.scan.sources[1].member == "Müller/one/001"


def test_nothing_stays_unpacked(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    read(archive, series=0)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_segmentation_refers_to_the_files_in_the_zip(archive, tmp_path):
    pytest.importorskip("highdicom")
    volume = read(archive, series=0)
    labels = (stack() > 50).astype(int)
    write_labels(tmp_path / "labels.dcm", labels, like=volume)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.dcm", volume).data, labels)


@pytest.mark.parametrize(
    "name", ["../a.dcm", "/etc/a.dcm", "C:\\a.dcm", "b\\..\\..\\a.dcm", "x/../../a"]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        info = zipfile.ZipInfo("a")
        info.filename = name
        opened.writestr(info, b"\0" * 128 + b"DICM" + b"\0" * 50)
    before = set(tmp_path.parent.rglob("*"))
    with pytest.raises(ReadError, match="names files outside of itself"):
        read(path)
    assert set(tmp_path.parent.rglob("*")) == before


def test_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.dcm", bytes(3 * 2**20))
    monkeypatch.setenv("STACKSAM_MAX_GIB", "0.001")
    with pytest.raises(ReadError, match=r"a\.zip declares .* GiB, more than the limit"):
        read(path)
    monkeypatch.delenv("STACKSAM_MAX_GIB")
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 24, 2**31)  # the size the directory promises
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"declares 2147483648 bytes, more than the file can hold"):
        read(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_archives_are_refused(archive, part):
    archive.write_bytes(archive.read_bytes()[: int(part * archive.stat().st_size)])
    with pytest.raises(ReadError, match="is damaged or incomplete; copy it again"):
        read(archive)


def test_encrypted_and_empty_archives_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("notes.txt", "x")
    with pytest.raises(ReadError, match=r"a\.zip holds no DICOM image; unpack it"):
        read(path)
    content = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ReadError, match="is encrypted; unpack it"):
        read(path)


def test_a_full_disk_for_temporary_files_is_named(archive, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fail)
    with pytest.raises(
        ReadError, match=r"cannot be unpacked .*; free space in the folder for temp"
    ):
        read(archive)
    assert Path(archive).is_file()
