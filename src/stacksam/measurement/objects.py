"""One row of figures per labelled object, read slice by slice and box by box."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from stacksam.core.cancelling import is_cancelled
from stacksam.core.volume import Volume
from stacksam.measurement.grids import Grid, grid_of
from stacksam.measurement.shapes import (
    longest_distance,
    outline_points,
    sphericity,
    surface_area,
)

PERCENTILES = (5, 25, 50, 75, 95)
_TOUCHING = np.ones((3, 3, 3), bool)  # corners count as contact

Row = dict[str, Any]


@dataclass
class _Extent:
    """What one pass over the slices finds out about an object."""

    low: np.ndarray
    high: np.ndarray
    voxels: int = 0
    volume: float = 0.0
    slices: int = 0
    largest_area: int = 0
    moments: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @property
    def box(self) -> tuple[slice, ...]:
        return tuple(
            slice(a, b) for a, b in zip(self.low.tolist(), self.high.tolist(), strict=True)
        )


def measure_labels(
    labels: Any,
    volume: Volume | None = None,
    spacing_zyx: Sequence[float] | None = None,
    names: Mapping[int, str] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Row]:
    """Measure every object of a label image.

    Labels and image are read slice by slice and then box by box, never as a whole.

    Parameters
    ----------
    labels : Volume or array-like of shape (Z, Y, X) or (Y, X), integer or bool
        0 is background. A Volume brings its own geometry.
    volume : Volume, optional
        The image: gives intensities and, before all else, the geometry.
    spacing_zyx : sequence of 3 floats, optional
        In mm, where neither image nor labels know it.
    names : mapping of label id to name, optional
        Without it those of the label file, if it holds some.
    progress : callable, optional
        Called with (objects done, objects in all).
    cancel : threading.Event, optional
        Once set, the rows finished so far are returned.

    Returns
    -------
    rows : list of dict
        By ascending label; the same keys in each. Lengths end in ``_mm``, ``_mm2``, ``_mm3`` where
        the spacing is known and in ``_px``, ``_px2``, ``_px3`` otherwise, never both:
        ``label``, ``name``, ``voxels``, ``volume``, ``volume_ml`` (mm only), ``slices`` (along
        axis 0), ``components`` (pieces that do not touch), ``bbox_z0 ... bbox_x1`` (half-open),
        ``centroid_z, _y, _x`` (voxels) and, with an affine, ``centroid_x_mm, _y_mm, _z_mm`` (LPS),
        ``largest_area`` (of its slices), ``longest_in_slice`` with ``longest_slice``,
        ``longest_3d`` (both measured between voxel borders), ``surface`` and ``sphericity`` (None
        if the image has a single slice). With an image ``intensity_unit``, ``mean``, ``sd`` (of
        the population),
        ``min``, ``p5``, ``p25``, ``median``, ``p75``, ``p95``, ``max``: HU for CT, SUV for PET
        where it can be derived, the mean of red, green and blue for colour; NaN and infinite
        values are left out.

    Raises
    ------
    ValueError
        If shapes or places differ, labels are negative, or the spacing is given twice.
    TypeError
        If the labels are not integers.

    Notes
    -----
    Where the slice distance changes, volumes and diameters use each slice's own position, the
    surface the mean distance.

    Examples
    --------
    >>> labels = np.zeros((4, 10, 10), np.uint8)
    >>> labels[1:3, 2:7, 2:8] = 3
    >>> (row,) = measure_labels(labels, spacing_zyx=(2.0, 0.5, 0.5), names={3: "cyst"})
    >>> row["name"], row["voxels"], row["volume_mm3"], row["slices"]
    ('cyst', 60, 30.0, 2)
    """
    if names is None:
        names = dict(labels.scan.label_names) if isinstance(labels, Volume) else {}
    stack, grid = grid_of(labels, volume, spacing_zyx)
    extents = _find_objects(stack, grid)
    rows = []
    for done, label in enumerate(sorted(extents), start=1):
        if is_cancelled(cancel):
            break
        rows.append(_row(label, names.get(label, ""), extents[label], stack, grid, volume))
        if progress is not None:
            progress(done, len(extents))
    return rows


def _find_objects(stack: Any, grid: Grid) -> dict[int, _Extent]:
    """Look through the slices once."""
    found: dict[int, _Extent] = {}
    for z in range(grid.shape[0]):
        plane = _plane(stack, z)
        ids, codes = np.unique(plane, return_inverse=True)
        if ids[0] < 0:
            raise ValueError(f"labels hold {ids[0]}; label ids are 0 (background) or positive")
        codes = codes.reshape(plane.shape) + 1
        boxes = ndimage.find_objects(codes)
        for code, label in enumerate(ids.tolist(), start=1):
            if label:
                _add_slice(found, label, z, codes[boxes[code - 1]] == code, boxes[code - 1], grid)
    return found


def _add_slice(
    found: dict[int, _Extent], label: int, z: int, mask: np.ndarray, box: Any, grid: Grid
) -> None:
    low = np.array([z, box[0].start, box[1].start])
    high = np.array([z + 1, box[0].stop, box[1].stop])
    extent = found.setdefault(label, _Extent(low, high))
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    count, weight = int(rows.sum()), float(grid.voxel_volumes[z])
    extent.low, extent.high = np.minimum(extent.low, low), np.maximum(extent.high, high)
    extent.voxels += count
    extent.volume += count * weight
    extent.slices += 1
    extent.largest_area = max(extent.largest_area, count)
    y = float(rows @ np.arange(box[0].start, box[0].stop))
    x = float(columns @ np.arange(box[1].start, box[1].stop))
    extent.moments += weight * np.array([count * z, y, x])


def _row(
    label: int, name: str, extent: _Extent, stack: Any, grid: Grid, volume: Volume | None
) -> Row:
    unit = grid.unit
    mask = np.stack([_plane(stack, z, extent.box[1:]) == label for z in _range(extent)])
    row: Row = {"label": label, "name": name, "voxels": extent.voxels}
    row[f"volume_{unit}3"] = extent.volume
    if unit == "mm":
        row["volume_ml"] = extent.volume / 1000
    row["slices"] = extent.slices
    row["components"] = int(ndimage.label(mask, _TOUCHING)[1])
    for axis, letter in enumerate("zyx"):
        row[f"bbox_{letter}0"] = int(extent.low[axis])
        row[f"bbox_{letter}1"] = int(extent.high[axis])
    row |= _centroid(extent, grid)
    row[f"largest_area_{unit}2"] = extent.largest_area * grid.pixel_area
    row |= _diameters(mask, extent, grid)
    row |= _surface(mask, extent, grid)
    if volume is not None:
        row |= _intensities(mask, extent, volume)
    return row


def _centroid(extent: _Extent, grid: Grid) -> Row:
    centre = extent.moments / extent.volume
    row: Row = {f"centroid_{letter}": float(c) for letter, c in zip("zyx", centre, strict=True)}
    if grid.has_affine:
        place = grid.place(centre)
        row |= {
            f"centroid_{letter}_mm": float(p) for letter, p in zip("xyz", place[::-1], strict=True)
        }
    return row


def _diameters(mask: np.ndarray, extent: _Extent, grid: Grid) -> Row:
    """Measure between voxel borders, in the slice where the object is longest and through space."""
    in_slices = []
    for z, plane in enumerate(mask):
        if plane.any():
            points = outline_points(plane) + extent.low[1:]
            in_slices.append((longest_distance(points @ _in_plane(grid)), z + int(extent.low[0])))
    longest, where = max(in_slices, key=lambda pair: (pair[0], -pair[1]))
    through = longest_distance(grid.place(outline_points(mask) + extent.low))
    return {
        f"longest_in_slice_{grid.unit}": longest,
        "longest_slice": where,
        f"longest_3d_{grid.unit}": through if grid.shape[0] > 1 else None,
    }


def _in_plane(grid: Grid) -> np.ndarray:
    """Return a (2, 2) matrix that keeps the lengths and angles of a slice."""
    rows, columns = grid.steps[:, 1], grid.steps[:, 2]
    along = columns / np.linalg.norm(columns)
    across = np.linalg.norm(rows - (rows @ along) * along)
    return np.array([[across, rows @ along], [0.0, np.linalg.norm(columns)]])


def _surface(mask: np.ndarray, extent: _Extent, grid: Grid) -> Row:
    if grid.shape[0] == 1:
        return {f"surface_{grid.unit}2": None, "sphericity": None}
    area = surface_area(mask, grid.steps)
    return {f"surface_{grid.unit}2": area, "sphericity": sphericity(extent.volume, area)}


def _intensities(mask: np.ndarray, extent: _Extent, volume: Volume) -> Row:
    parts = []
    for z, plane in zip(_range(extent), mask, strict=True):
        values = _plane(volume.data, z, extent.box[1:])[plane]
        parts.append(values.astype(np.float64).mean(axis=-1) if volume.rgb else values)
    values = np.concatenate(parts).astype(np.float64)
    values = values[np.isfinite(values)]
    unit = volume.scan.unit
    if volume.scan.suv_factor is not None:
        values, unit = values * volume.scan.suv_factor, "SUVbw"
    keys = ["mean", "sd", "min", *(f"p{p}" if p != 50 else "median" for p in PERCENTILES), "max"]
    figures: list[float | None] = [None] * len(keys)
    if values.size:
        spread = np.percentile(values, PERCENTILES)
        figures = [values.mean(), values.std(), values.min(), *spread, values.max()]
    numbers = [None if figure is None else float(figure) for figure in figures]
    return {"intensity_unit": unit, **dict(zip(keys, numbers, strict=True))}


def _range(extent: _Extent) -> range:
    return range(int(extent.low[0]), int(extent.high[0]))


def _plane(stack: Any, z: int, part: Sequence[slice] = ()) -> np.ndarray:
    return np.asarray(stack[(z, *part)])
