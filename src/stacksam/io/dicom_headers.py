"""What the headers of DICOM files say: one record per frame, without pixel data or persons."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.io.dicom_files import STORAGE, holds_no_image, meta_text
from stacksam.io.dicom_geometry import normal_of
from stacksam.io.dicom_structure import check_structure
from stacksam.io.dicom_values import unit_of, window_of
from stacksam.io.limits import check_declared
from stacksam.io.pydicom_files import read_header
from stacksam.io.sitk_images import quiet_itk

if TYPE_CHECKING:
    import SimpleITK

_UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_VIDEO = "1.2.840.10008.1.2.4.10"  # MPEG-2, MPEG-4 and HEVC

# Images whose frames are described one by one in functional groups.
_ENHANCED = {
    f"{STORAGE}{n}"
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
    unit: str = ""
    window: tuple[float, float] | None = None
    rescale: tuple[float, float] | None = None  # slope, intercept, where frames differ in them
    splitters: tuple[str, ...] = field(default=("",) * len(SPLITTERS))


def read_frames(path: Path, reader: SimpleITK.ImageFileReader) -> list[Frame]:
    """Return the frames of a file, none if it holds something else than an image.

    Raises
    ------
    ReadError
        If the file is damaged, or multi-frame in a way that is not understood.
    """
    if holds_no_image(path):
        return []
    check_structure(path)
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise ReadError(f"{path.name} is damaged or not a DICOM image; copy it again") from error
    tags = _Tags(reader)
    size = reader.GetSize()
    _check_size(path, reader, tags)
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
        unit=unit_of(*(tags.text(t) for t in ("0008|0060", "0028|1054", "0054|1001", "0054|1006"))),
        window=window_of(tags.first("0028|1050"), tags.first("0028|1051"), tags.text("0028|1056")),
        splitters=tuple(tags.text(tag) for tag, _, _ in SPLITTERS),
    )
    count = size[2] if len(size) > 2 else 1
    if tags.text("0008|0016") in _ENHANCED:
        return _enhanced_frames(frame, count)
    if count == 1:
        return [frame]
    return _plain_frames(frame, count, tags)


def _check_size(path: Path, reader: SimpleITK.ImageFileReader, tags: _Tags) -> None:
    """Refuse a header that declares more than the file holds, and films."""
    syntax = meta_text(path, 0x10)
    if syntax.startswith(_VIDEO):
        raise ReadError(f"{path.name} is compressed as a video; export its frames as images")
    values = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    bits = int(tags.number("0028|0100") or 8)
    stored = path.stat().st_size if syntax in _UNCOMPRESSED else None
    check_declared(path.name, values * max(bits, 1) // 8, stored)


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
    import SimpleITK as sitk

    name = frame.path.name
    dataset = read_header(frame.path, "an enhanced multi-frame image")
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    groups = list(getattr(dataset, "PerFrameFunctionalGroupsSequence", []))
    if len(groups) != count:
        raise ReadError(f"{name} describes {len(groups)} of its {count} frames; export it again")
    rescales = [_rescale(group, shared) for group in groups]
    frames = [_enhanced_frame(frame, i, group, shared) for i, group in enumerate(groups)]
    if len(set(rescales)) == 1:
        return frames
    pairs = zip(frames, rescales, strict=True)
    return [replace(f, rescale=rescale, pixel_id=sitk.sitkFloat32) for f, rescale in pairs]


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
    values = _macro(group, shared, "PixelValueTransformationSequence")
    display = _macro(group, shared, "FrameVOILUTSequence")
    window = window_of(
        _first_number(getattr(display, "WindowCenter", None)),
        _first_number(getattr(display, "WindowWidth", None)),
        getattr(display, "VOILUTFunction", ""),
    )
    thickness = getattr(measures, "SliceThickness", None)
    return replace(
        frame,
        index=index,
        position=floats("PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=floats("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        pixel_spacing=floats("PixelMeasuresSequence", "PixelSpacing", 2),
        thickness=None if thickness is None else float(thickness),
        number=index,
        unit=unit_of(frame.modality, str(getattr(values, "RescaleType", ""))),
        window=window or frame.window,
        splitters=tuple(str(found.get(tag, "")) for tag, _, _ in SPLITTERS),
    )


def _rescale(group: Any, shared: Any) -> tuple[float, float]:
    values = _macro(group, shared, "PixelValueTransformationSequence")
    return float(getattr(values, "RescaleSlope", 1)), float(getattr(values, "RescaleIntercept", 0))


def _first_number(value: Any) -> float | None:
    if value is None:
        return None
    return float(value) if isinstance(value, int | float | str) else float(value[0])


def _macro(group: Any, shared: Any, sequence: str) -> Any:
    """Return a functional group of one frame, or the one all frames share."""
    return _first(group, sequence) or _first(shared, sequence)


def _first(dataset: Any, sequence: str) -> Any:
    items = getattr(dataset, sequence, None)
    return items[0] if items else None


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

    def first(self, tag: str) -> float | None:
        """The first of one or more numbers."""
        try:
            value = float(self.text(tag).split("\\")[0])
        except ValueError:
            return None
        return value if np.isfinite(value) else None

    def lengths(self, tag: str) -> tuple[float, ...] | None:
        values = self.numbers(tag, 2)
        return values if values is not None and min(values) > 0 else None

    def orientation(self, tag: str) -> tuple[float, ...] | None:
        values = self.numbers(tag, 6)
        is_plane = values is not None and np.linalg.norm(np.cross(values[:3], values[3:])) > 0.5
        return values if is_plane else None
