"""What the headers of DICOM files say: one record per frame, without pixel data or persons."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.io.sitk_images import quiet_itk

if TYPE_CHECKING:
    import SimpleITK

SUFFIXES = (".dcm", ".dicom", ".ima")
_PREAMBLE = 128
_MAX_META_BYTES = 2**13

# Storage classes (DICOM PS3.4, B.5) that hold no image: plans, structure sets, reports, waveforms,
# presentation states, registrations, segmentations, encapsulated documents, directories.
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NO_IMAGE = (
    *(f"{_STORAGE}{n}." for n in (9, 11, 66, 88, 104)),
    *(f"{_STORAGE}481.{n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 11, 23)),
    f"{_STORAGE}66",
    f"{_STORAGE}67",
    "1.2.840.10008.1.3.10",
    "1.2.840.10008.5.1.4.34",
)
# Images whose frames are described one by one in functional groups.
_ENHANCED = {
    f"{_STORAGE}{n}"
    for n in ("2.1", "2.2", "4.1", "4.3", "4.4", "13.1.1", "13.1.3", "77.1.5.4", "128.1", "130")
}

# What may tell images at one position apart, in the order it is tried: tag, option, unit.
SPLITTERS = (
    ("0020|0100", "time", ""),  # temporal position
    ("0018|1060", "time", " ms"),  # trigger time
    ("0018|0081", "channel", " ms echo"),
    ("0018|9087", "channel", " s/mm2"),  # b-value
    ("0008|0008", "channel", ""),  # image type: magnitude, phase, water, fat
    ("0020|0012", "time", ""),  # acquisition
    ("0008|0032", "time", ""),  # acquisition time
)


@dataclass(frozen=True)
class Frame:
    """One image plane of a DICOM file; lengths in mm, positions in patient (x, y, z), LPS."""

    path: Path
    index: int  # within its file
    series: str  # SeriesInstanceUID
    series_number: int
    instance: str  # SOPInstanceUID
    modality: str
    description: str
    shape: tuple[int, ...]  # rows, columns, samples
    pixel_id: int  # SimpleITK's, after rescaling
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None  # along a row, down a column
    pixel_spacing: tuple[float, ...] | None = None  # of rows, of columns
    thickness: float | None = None
    number: int = 0
    splitters: tuple[str, ...] = field(default=("",) * len(SPLITTERS))


def is_dicom(path: Path) -> bool:
    """Say whether a file starts like DICOM or, lacking the preamble, is named like it."""
    try:
        with open(path, "rb") as file:
            return (
                file.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM" or path.suffix.lower() in SUFFIXES
            )
    except OSError:
        return path.suffix.lower() in SUFFIXES


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


def read_frames(path: Path, reader: SimpleITK.ImageFileReader) -> list[Frame]:
    """Return the frames of a file, none if it holds something else than an image.

    Raises
    ------
    ReadError
        If the file is damaged, or multi-frame in a way that is not understood.
    """
    if holds_no_image(path):
        return []
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise ReadError(f"{path.name} is damaged or not a DICOM image; copy it again") from error
    tags = _Tags(reader)
    size = reader.GetSize()
    frame = Frame(
        path=path,
        index=0,
        series=tags.text("0020|000e"),
        series_number=int(tags.number("0020|0011") or 0),
        instance=tags.text("0008|0018") or str(path),
        modality=tags.text("0008|0060"),
        description=tags.text("0008|103e"),
        shape=(size[1], size[0], reader.GetNumberOfComponents()),
        pixel_id=reader.GetPixelIDValue(),
        position=tags.numbers("0020|0032", 3),
        orientation=tags.orientation("0020|0037"),
        pixel_spacing=tags.lengths("0028|0030"),
        thickness=tags.number("0018|0050"),
        number=int(tags.number("0020|0013") or 0),
        splitters=tuple(tags.text(tag) for tag, _, _ in SPLITTERS),
    )
    count = size[2] if len(size) > 2 else 1
    if tags.text("0008|0016") in _ENHANCED:
        return _enhanced_frames(frame, count)
    if count == 1:
        return [frame]
    return _plain_frames(frame, count, tags)


def _plain_frames(frame: Frame, count: int, tags: _Tags) -> list[Frame]:
    """Spread a multi-frame image of an older kind: a dose grid has positions, a film has none."""
    offsets = tags.numbers("3004|000c", count)
    if offsets is None or frame.position is None or frame.orientation is None:
        return [replace(frame, index=i, position=None, orientation=None) for i in range(count)]
    along = normal_of(frame.orientation)
    start = np.asarray(frame.position)
    # Either relative, beginning with 0, or absolute along z (PS3.3, C.8.8.3.2).
    return [
        replace(frame, index=i, position=tuple((start + (o - offsets[0]) * along).tolist()))
        for i, o in enumerate(offsets)
    ]


def _enhanced_frames(frame: Frame, count: int) -> list[Frame]:
    """Read position, orientation and spacing of each frame, which SimpleITK does not give."""
    name = frame.path.name
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise ReadError(
            f"{name} is an enhanced multi-frame image; install napari-stacksam[dicom] to read it"
        ) from error
    dataset = dcmread(frame.path, stop_before_pixels=True)
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    groups = list(getattr(dataset, "PerFrameFunctionalGroupsSequence", []))
    if len(groups) != count:
        raise ReadError(f"{name} describes {len(groups)} of its {count} frames; export it again")
    if len({_rescale(group, shared) for group in groups}) > 1:
        raise ReadError(
            f"{name} rescales each frame in another way, which is not supported; convert it to a "
            "classic series with one file per slice"
        )
    return [_enhanced_frame(frame, i, group, shared) for i, group in enumerate(groups)]


def _enhanced_frame(frame: Frame, index: int, group: Any, shared: Any) -> Frame:
    def floats(sequence: str, keyword: str, count: int) -> tuple[float, ...] | None:
        values = getattr(_macro(group, shared, sequence), keyword, None)
        return None if values is None or len(values) != count else tuple(map(float, values))

    content = _macro(group, shared, "FrameContentSequence")
    echo = _macro(group, shared, "MREchoSequence")
    diffusion = _macro(group, shared, "MRDiffusionSequence")
    kind = _macro(group, shared, "MRImageFrameTypeSequence")
    found = {
        "0020|0100": getattr(content, "TemporalPositionIndex", ""),
        "0018|0081": getattr(echo, "EffectiveEchoTime", ""),
        "0018|9087": getattr(diffusion, "DiffusionBValue", ""),
        "0008|0008": "\\".join(getattr(kind, "FrameType", [])),
        "0020|0012": getattr(content, "FrameAcquisitionNumber", ""),
    }
    measures = _macro(group, shared, "PixelMeasuresSequence")
    thickness = getattr(measures, "SliceThickness", None)
    return replace(
        frame,
        index=index,
        position=floats("PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=floats("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        pixel_spacing=floats("PixelMeasuresSequence", "PixelSpacing", 2),
        thickness=None if thickness is None else float(thickness),
        number=index,
        splitters=tuple(str(found.get(tag, "")) for tag, _, _ in SPLITTERS),
    )


def _rescale(group: Any, shared: Any) -> tuple[float, float]:
    values = _macro(group, shared, "PixelValueTransformationSequence")
    return float(getattr(values, "RescaleSlope", 1)), float(getattr(values, "RescaleIntercept", 0))


def _macro(group: Any, shared: Any, sequence: str) -> Any:
    """Return a functional group of one frame, or the one all frames share."""
    return _first(group, sequence) or _first(shared, sequence)


def _first(dataset: Any, sequence: str) -> Any:
    items = getattr(dataset, sequence, None)
    return items[0] if items else None


def normal_of(orientation: tuple[float, ...]) -> np.ndarray:
    """Return the unit normal (x, y, z) of a plane given by its row and column directions."""
    normal = np.cross(orientation[:3], orientation[3:])
    return normal / np.linalg.norm(normal)


class _Tags:
    """Header values of a file; what is missing or malformed is None, or an empty text."""

    def __init__(self, reader: SimpleITK.ImageFileReader) -> None:
        self._reader = reader

    def text(self, tag: str) -> str:
        if not self._reader.HasMetaDataKey(tag):
            return ""
        raw = self._reader.GetMetaData(tag).encode("utf-8", "surrogateescape")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return "".join(c if c.isprintable() else " " for c in text).strip()

    def numbers(self, tag: str, count: int) -> tuple[float, ...] | None:
        parts = self.text(tag).split("\\")
        try:
            values = tuple(float(part) for part in parts)
        except ValueError:
            return None
        return values if len(values) == count and np.isfinite(values).all() else None

    def number(self, tag: str) -> float | None:
        values = self.numbers(tag, 1)
        return None if values is None else values[0]

    def lengths(self, tag: str) -> tuple[float, ...] | None:
        values = self.numbers(tag, 2)
        return values if values is not None and min(values) > 0 else None

    def orientation(self, tag: str) -> tuple[float, ...] | None:
        values = self.numbers(tag, 6)
        is_plane = values is not None and np.linalg.norm(np.cross(values[:3], values[3:])) > 0.5
        return values if is_plane else None


def holds_no_image(path: Path) -> bool:
    """Say whether the file is another DICOM object: a plan, report, segmentation, directory."""
    kind = _storage_class(path)
    return kind is not None and kind.startswith(_NO_IMAGE)


def _storage_class(path: Path) -> str | None:
    """Read the storage class from the file's meta group, which is always explicit little endian."""
    with open(path, "rb") as file:
        content = file.read(_MAX_META_BYTES)
    if content[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return None
    for group, element, value in _meta_elements(content):
        if (group, element) == (2, 2):
            return value.rstrip(b"\0 ").decode("ascii", "replace")
    return None


def _meta_elements(content: bytes) -> Iterator[tuple[int, int, bytes]]:
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
        yield group, element, content[start : start + length]
        at = start + length
