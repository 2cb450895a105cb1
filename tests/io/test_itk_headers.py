import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from stacksam.core.errors import ReadError
from stacksam.io import read


def write(path, compressed=False):
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    sitk.WriteImage(image, str(path), compressed)
    return path


def replaced(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".nrrd", b"sizes: 6 5 4", b"sizes: 6 5 400000"),
        (".nhdr", b"sizes: 6 5 4", b"sizes: 6 5 400000"),
        (".mha", b"DimSize = 6 5 4", b"DimSize = 6 5 400000"),
        (".mhd", b"DimSize = 6 5 4", b"DimSize = 6 5 400000"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
def test_lying_sizes_are_refused(tmp_path, suffix, old, new, compressed):
    path = replaced(write(tmp_path / f"a{suffix}", compressed), old, new)
    with pytest.raises(ReadError, match=r"is damaged or incomplete.*more than the file can hold"):
        read(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_lying_sizes_of_nifti_are_refused(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}")
    content = path.read_bytes()
    content = bytearray(gzip.decompress(content) if suffix == ".nii.gz" else content)
    struct.pack_into("<3h", content, 42, 30_000, 30_000, 1000)
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(ReadError, match=r"is damaged or incomplete.*more than the file can hold"):
        read(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_what_is_larger_than_the_limit_is_refused(tmp_path, monkeypatch, suffix):
    path = write(tmp_path / f"a{suffix}")
    monkeypatch.setenv("STACKSAM_MAX_GIB", "1e-7")
    with pytest.raises(ReadError, match="more than the limit of"):
        read(path)


@pytest.mark.parametrize("name", [b"/etc/passwd", b"../a.raw", b"C:\\\\a.raw", b"b\\\\a.raw"])
@pytest.mark.parametrize(("suffix", "field"), [(".nhdr", b"data file: "), (".mhd", b"DataFile = ")])
def test_data_in_other_folders_are_not_opened(tmp_path, suffix, field, name):
    path = write(tmp_path / f"a{suffix}")
    own = next(p.name for p in tmp_path.iterdir() if p != path).encode()
    replaced(path, field + own, field + name.replace(b"\\\\", b"\\"))
    with pytest.raises(ReadError, match="names data outside of its own folder"):
        read(path)


@pytest.mark.parametrize(
    ("suffix", "field", "name", "message"),
    [
        (".nhdr", b"data file: ", b"gone.raw", "needs the file gone.raw beside it"),
        (".nhdr", b"data file: ", b"a%03d.raw 1 4 1", "spreads its data over several files"),
        (".mhd", b"DataFile = ", b"LIST", "spreads its data over several files"),
        (".mhd", b"DataFile = ", b"gone.raw", "needs the file gone.raw beside it"),
    ],
)
def test_data_that_are_not_there_or_in_parts(tmp_path, suffix, field, name, message):
    path = write(tmp_path / f"a{suffix}")
    own = next(p.name for p in tmp_path.iterdir() if p != path).encode()
    replaced(path, field + own, field + name)
    with pytest.raises(ReadError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"NDims = 3", b"NDims = 1000000 3 20"),
        (b"NDims = 3", b"NDims = 4"),
        (b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0"),
        (b"Offset = 0 0 0", b"Offset = 0 nan 0"),
        (b"ElementType = MET_SHORT", b"ElementType = MET_NONSENSE"),
        (b"DimSize = 6 5 4", b"DimSize = 6 5 -4"),
    ],
)
def test_metaimage_headers_have_to_be_consistent(tmp_path, old, new):
    path = replaced(write(tmp_path / "a.mha"), old, new)
    with pytest.raises(ReadError, match="is not a MetaImage, or its header is damaged"):
        read(path)


@pytest.mark.parametrize("size", [b"0", b"99999999", b"x"])
def test_compressed_metaimage_says_how_much_there_is(tmp_path, size, capfd):
    path = write(tmp_path / "a.mha", True)
    content = path.read_bytes()
    start = content.index(b"CompressedDataSize = ") + len(b"CompressedDataSize = ")
    end = content.index(b"\n", start)
    path.write_bytes(content[:start] + size + content[end:])
    with pytest.raises(ReadError, match=r"a\.mha is damaged"):
        read(path)
    assert capfd.readouterr() == ("", "")
