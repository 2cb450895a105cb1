"""DICOM SEG in: segments drawn on a series, on its grid or on one of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, pick_index
from stacksam.io.dicom_geometry import SliceGrid, normal_of, place_slices
from stacksam.io.label_grids import LabelGrid
from stacksam.io.limits import check_declared
from stacksam.io.pydicom_files import iterate_frames, read_header

PROGRAM = "StackSAM"
_SAME_PLACE = 1e-3  # mm


@dataclass(frozen=True)
class _Segment:
    number: int
    label_id: int
    name: str


@dataclass(frozen=True)
class _Plane:
    """One frame: lengths in mm, (x, y, z)."""

    position: np.ndarray
    orientation: np.ndarray
    spacing: np.ndarray
    thickness: float
    distance: float | None  # to the next slice of the series
    segment: int  # 0: the pixel values are segment numbers

    @property
    def corner(self) -> np.ndarray:
        """Centres (z, y, x) of the first voxel, the one below it and the one to its right."""
        down = self.orientation[3:] * self.spacing[0]
        right = self.orientation[:3] * self.spacing[1]
        return (self.position + np.stack([np.zeros(3), down, right]))[:, ::-1]


def read_segmentation(path: Path, *, like: Volume | None = None, channel: Choice = None) -> Volume:
    """Read a DICOM SEG as labels.

    Parameters
    ----------
    path : Path
    like : Volume, optional
        The image the segments belong to; the labels get its shape and place. Without it the labels
        reach from the first to the last frame the file holds.
    channel : int or str, optional
        Only this segment, by its place in the file or its name; needed where segments overlap.

    Returns
    -------
    labels : Volume of shape (Z, Y, X), uint8, uint16 or uint32
        Segment numbers, or the label ids of StackSAM's own files; names in ``scan.label_names``.

    Raises
    ------
    ReadError
        If pydicom is missing, the file is damaged, segments overlap and none is chosen, or `like`
        has another grid.
    """
    name = path.name
    dataset = read_header(path, "a DICOM segmentation")
    try:
        segments = _segments(dataset)
        planes = _planes(dataset)
        shape = (int(dataset.Rows), int(dataset.Columns))
        threshold = _threshold(dataset)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ReadError(f"{name} lacks what places its segments; export it again") from error
    check_declared(name, len(planes) * shape[0] * shape[1])
    if channel is not None:
        labels = [segment.name for segment in segments]
        segments = [segments[pick_index(channel, len(segments), "channel", name, labels)]]
    like = _own_grid(planes, shape, name) if like is None else like
    data = _draw(path, planes, segments, LabelGrid(like, name), threshold)
    return Volume(
        data,
        affine=like.affine,
        spacing_zyx=like.spacing_zyx,
        name=name,
        notes=like.notes,
        scan=ScanInfo(
            slice_positions=like.scan.slice_positions,
            label_names=tuple((s.label_id, s.name) for s in segments),
        ),
    )


def _segments(dataset: Any) -> list[_Segment]:
    is_ours = str(dataset.get("ManufacturerModelName", "")) == PROGRAM
    segments = []
    for item in dataset.SegmentSequence:
        number = int(item.SegmentNumber)
        kept = re.fullmatch(r"label (\d+)", str(item.get("TrackingID", "")))
        label_id = int(kept[1]) if is_ours and kept else number
        segments.append(_Segment(number, label_id, str(item.get("SegmentLabel", ""))))
    if not segments or not all(0 <= s.label_id < 2**32 for s in segments):
        raise ValueError("no segments")
    return segments


def _threshold(dataset: Any) -> float:
    """Return from which stored value on a voxel belongs to its segment; 0 for a label map."""
    kind = str(dataset.get("SegmentationType", "BINARY")).upper()
    if kind == "FRACTIONAL":
        return float(dataset.get("MaximumFractionalValue", 255)) / 2
    return 0.0 if kind == "LABELMAP" else 0.5


def _planes(dataset: Any) -> list[_Plane]:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    if len(groups) != int(dataset.NumberOfFrames):
        raise ValueError("frames and their descriptions differ in number")
    return [_plane(group, shared) for group in groups]


def _plane(group: Any, shared: Any) -> _Plane:
    def macro(name: str) -> Any:
        items = group.get(name) or (shared.get(name) if shared is not None else None)
        return items[0] if items else None

    measures = macro("PixelMeasuresSequence")
    segment = macro("SegmentIdentificationSequence")
    orientation = np.array(macro("PlaneOrientationSequence").ImageOrientationPatient, float)
    plane = _Plane(
        position=np.array(macro("PlanePositionSequence").ImagePositionPatient, float),
        orientation=orientation,
        spacing=np.array(measures.PixelSpacing, float),
        thickness=_length(measures, "SliceThickness") or 1.0,
        distance=_distance(measures),
        segment=0 if segment is None else int(segment.ReferencedSegmentNumber),
    )
    sizes = (plane.position.size, orientation.size, plane.spacing.size)
    numbers = np.concatenate([plane.position, orientation, plane.spacing])
    if sizes != (3, 6, 2) or not np.isfinite(numbers).all() or plane.spacing.min() <= 0:
        raise ValueError("positions are not numbers")
    if np.linalg.norm(np.cross(orientation[:3], orientation[3:])) < 0.5:
        raise ValueError("rows and columns are not at right angles")
    return plane


def _length(measures: Any, keyword: str) -> float | None:
    value = measures.get(keyword)
    return float(value) if value is not None and 0 < float(value) < np.inf else None


def _distance(measures: Any) -> float | None:
    """Return the slice distance where it equals the thickness; alone it is often wrong."""
    distance = _length(measures, "SpacingBetweenSlices")
    thickness = _length(measures, "SliceThickness")
    return distance if distance and thickness and np.isclose(distance, thickness) else None


def _own_grid(planes: list[_Plane], shape: tuple[int, int], name: str) -> Volume:
    """Return an empty volume from the first to the last frame, gaps filled where they are even."""
    first = planes[0]
    same = all(np.allclose(p.orientation, first.orientation, rtol=0, atol=1e-3) for p in planes)
    if not same:
        raise ReadError(f"{name} holds frames of several orientations; open it with its image")
    normal = normal_of(first.orientation.tolist())
    heights = np.array([plane.position @ normal for plane in planes])
    order = np.argsort(heights, kind="stable")
    kept = [order[0]]
    for index in order[1:]:
        if heights[index] - heights[kept[-1]] > _SAME_PLACE:
            kept.append(index)
    positions = np.array([planes[index].position for index in kept])
    positions = _filled(positions, normal, first.distance)
    thickness = first.distance or first.thickness
    grid = place_slices(positions, first.orientation.tolist(), first.spacing.tolist(), thickness)
    return _empty_volume((len(positions), *shape), grid, name)


def _filled(positions: np.ndarray, normal: np.ndarray, distance: float | None) -> np.ndarray:
    """Add the slices that were left out because they are empty, if the file gives a distance."""
    gaps = np.diff(positions @ normal)
    if not len(gaps) or distance is None:
        return positions
    step = min(float(gaps.min()), distance)
    counts = np.round(gaps / step)
    if np.abs(gaps - counts * step).max() > 0.05 * step or counts.sum() > 100_000:
        return positions
    parts = [
        a + (b - a) * np.arange(n)[:, np.newaxis] / n
        for a, b, n in zip(positions[:-1], positions[1:], counts.astype(int), strict=True)
    ]
    return np.concatenate([*parts, positions[-1:]])


def _empty_volume(shape: tuple[int, ...], grid: SliceGrid, name: str) -> Volume:
    check_declared(name, int(np.prod(shape, dtype=np.int64)))
    empty = np.broadcast_to(np.zeros(1, np.uint8), shape)
    scan = ScanInfo(slice_positions=grid.slice_positions)
    return Volume(empty, grid.spacing_zyx, grid.affine, name=name, notes=grid.notes, scan=scan)


def _draw(
    path: Path, planes: list[_Plane], segments: list[_Segment], grid: LabelGrid, threshold: float
) -> np.ndarray:
    by_number = {segment.number: segment for segment in segments}
    highest = max(segment.label_id for segment in segments)
    check_declared(path.name, int(np.prod(grid.volume.shape, dtype=np.int64)) * 4)
    data = np.zeros(grid.volume.shape, np.min_scalar_type(highest))
    overlapping: set[str] = set()
    for plane, pixels in zip(planes, iterate_frames(path, path.name), strict=False):
        for number, mask in _masks(plane, pixels, threshold, by_number):
            before = grid.paste(data, mask, plane.corner, by_number[number].label_id)
            if before is not None and before.any():
                overlapping.add(by_number[number].name or str(number))
    if overlapping:
        names = ", ".join(f"{i} ({s.name})" for i, s in enumerate(segments))
        raise ReadError(
            f"{path.name} holds segments that overlap; choose one with channel= out of {names}"
        )
    return data


def _masks(
    plane: _Plane, pixels: np.ndarray, threshold: float, segments: Mapping[int, _Segment]
) -> Iterator[tuple[int, np.ndarray]]:
    """Give segment numbers and masks of one frame; a label map holds several segments."""
    if threshold:
        if plane.segment in segments:
            yield plane.segment, pixels >= threshold
        return
    for number in np.unique(pixels).tolist():
        if number in segments and number:
            yield number, pixels == number
