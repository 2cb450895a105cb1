"""Which files are DICOM, and what kind of object each holds."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".dcm", ".dicom", ".ima")
_PREAMBLE = 128
_MAX_META_BYTES = 2**13

# Storage classes (DICOM PS3.4, B.5) that hold no image: plans, structure sets, reports, waveforms,
# presentation states, registrations, segmentations, encapsulated documents, directories.
STORAGE = "1.2.840.10008.5.1.4.1.1."
SEGMENTATIONS = (f"{STORAGE}66.4", f"{STORAGE}66.7")  # of voxels: by segment, as a label map
STRUCTURE_SET = f"{STORAGE}481.3"
_NO_IMAGE = (
    *(f"{STORAGE}{n}." for n in (9, 11, 66, 88, 104)),
    *(f"{STORAGE}481.{n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 11, 23)),
    f"{STORAGE}66",
    f"{STORAGE}67",
    "1.2.840.10008.1.3.10",
    "1.2.840.10008.5.1.4.34",
)


def is_dicom(path: Path) -> bool:
    """Say whether a file starts like DICOM or, lacking the preamble, is named like it."""
    is_named_like_dicom = path.suffix.lower() in SUFFIXES
    try:
        with open(path, "rb") as file:
            return starts_like_dicom(file.read(_PREAMBLE + 4)) or is_named_like_dicom
    except OSError:
        return is_named_like_dicom


def starts_like_dicom(content: bytes) -> bool:
    """Say whether these are the first bytes of a DICOM file with its preamble."""
    return content[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def find_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder; if it holds no images, those of the folders below too."""
    direct = [path for path in _files_of(folder) if is_dicom(path)]
    if any(not holds_no_image(path) for path in direct):
        return direct
    below: list[Path] = []
    for current, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if Path(current) != folder:
            below += [path for path in _files_of(Path(current)) if is_dicom(path)]
    return direct + below


def _files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def holds_no_image(path: Path) -> bool:
    """Say whether the file is another DICOM object: a plan, report, segmentation, directory."""
    return storage_class(path).startswith(_NO_IMAGE)


def storage_class(path: Path) -> str:
    """Return the UID of what kind of object a DICOM file is, empty if it does not say."""
    return meta_text(path, 2)


def meta_text(path: Path, element: int) -> str:
    """Read a UID of the file's meta group, which is always explicit little endian."""
    with open(path, "rb") as file:
        content = file.read(_MAX_META_BYTES)
    for group, number, value, _ in _meta_elements(content):
        if (group, number) == (2, element):
            return value.rstrip(b"\0 ").decode("ascii", "replace")
    return ""


def meta_end(content: bytes) -> int:
    """Return where the data set begins, given the first bytes of a file."""
    start = _PREAMBLE + 4 if starts_like_dicom(content) else 0
    return max((end for _, _, _, end in _meta_elements(content)), default=start)


def _meta_elements(content: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """Give group, element, value and end of each element of the meta group."""
    if not starts_like_dicom(content):
        return
    at = _PREAMBLE + 4
    while at + 12 <= len(content):
        group, element, kind = struct.unpack_from("<HH2s", content, at)
        if group != 2:
            return
        is_long = kind in (b"OB", b"OW", b"UN", b"UT", b"SQ")
        length = struct.unpack_from("<I", content, at + 8)[0] if is_long else 0
        if not is_long:
            length = struct.unpack_from("<H", content, at + 6)[0]
        start = at + (12 if is_long else 8)
        at = start + length
        yield group, element, content[start:at], at
