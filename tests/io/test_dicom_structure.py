import struct

import numpy as np
import pytest

from dicom_support import write_slice
from stacksam.core.errors import ReadError
from stacksam.io.dicom_structure import check_structure

pydicom = pytest.importorskip("pydicom")

SYNTAXES = {
    "implicit": pydicom.uid.ImplicitVRLittleEndian,
    "explicit": pydicom.uid.ExplicitVRLittleEndian,
    "big endian": pydicom.uid.ExplicitVRBigEndian,
}


def nested(depth=2, **values):
    dataset = pydicom.Dataset()
    dataset.PatientName = "Secret^Name"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    inner = dataset
    for _ in range(depth):
        child = pydicom.Dataset()
        child.CodeValue = "1"
        inner.ConceptCodeSequence = [child, pydicom.Dataset()]
        inner = child
    return dataset


def write(path, dataset, syntax="explicit", undefined=False):
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    if undefined:
        dataset["ConceptCodeSequence"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sound_files_pass(tmp_path, syntax, undefined):
    check_structure(write(tmp_path / "a.dcm", nested(), syntax, undefined))


@pytest.mark.parametrize("name", ["RLELossless", "JPEGLSLossless"])
def test_compressed_files_pass_and_lying_fragments_do_not(tmp_path, name):
    path = write_slice(tmp_path / "a.dcm", np.zeros((16, 16), np.int16), position=(0, 0, 0))
    dataset = pydicom.dcmread(path)
    dataset.compress(getattr(pydicom.uid, name))
    dataset.save_as(path)
    check_structure(path)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"\xfe\xff\x00\xe0") + 4
    struct.pack_into("<I", content, at, 2**31)
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"a\.dcm is damaged or incomplete"):
        check_structure(path)


@pytest.mark.parametrize("part", [0.5, 0.8, 0.99])
@pytest.mark.parametrize("undefined", [False, True])
def test_truncated_elements_are_refused(tmp_path, part, undefined):
    path = write(tmp_path / "a.dcm", nested(), undefined=undefined)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content)) // 2 * 2 - 1])
    with pytest.raises(ReadError, match="is damaged or incomplete") as caught:
        check_structure(path)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize("depth", [23, 200])
def test_bottomless_nesting_is_refused(tmp_path, depth):
    path = write(tmp_path / "a.dcm", nested(depth))
    if depth < 24:
        check_structure(path)
        return
    with pytest.raises(ReadError, match="is damaged"):
        check_structure(path)


@pytest.mark.parametrize("rest", [b"x" * 90, bytes(700), b"abc"], ids=["text", "zeros", "end"])
def test_what_follows_the_pixels_has_to_be_sound_too(tmp_path, rest):
    path = write_slice(tmp_path / "a.dcm", np.zeros((16, 16), np.int16), position=(0, 0, 0))
    path.write_bytes(path.read_bytes() + rest)
    with pytest.raises(ReadError, match="is damaged"):
        check_structure(path)


def test_endless_zeros_are_refused_at_once(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(10**7))
    with pytest.raises(ReadError, match="is damaged"):
        check_structure(path)


def test_files_deflated_as_a_whole_are_refused(tmp_path):
    path = write(tmp_path / "a.dcm", nested())
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"deflated as a whole|is damaged"):
        check_structure(path)
