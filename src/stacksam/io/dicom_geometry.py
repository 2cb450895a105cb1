"""From the positions of single slices to one grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from stacksam.io.geometry import affine_from_itk

_OFF_GRID = 0.1  # of the slice distance; a slice farther from its place on the grid is reported
_EXACT = 1e-4  # mm; from here on slices keep their own positions


class SliceGrid(NamedTuple):
    """Where the slices of a volume lie; what is unknown is None.

    Attributes
    ----------
    affine, spacing_zyx, slice_positions
        See `Volume` and `ScanInfo`.
    notes : tuple of str
        What a person has to know about it.
    """

    affine: np.ndarray | None = None
    spacing_zyx: tuple[float, ...] | None = None
    slice_positions: tuple[tuple[float, float, float], ...] | None = None
    notes: tuple[str, ...] = ()


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    """Return the unit normal (x, y, z) of a plane given by its row and column directions."""
    normal = np.cross(orientation[:3], orientation[3:])
    return normal / np.linalg.norm(normal)


def place_slices(
    positions: np.ndarray,
    orientation: Sequence[float],
    pixel_spacing: Sequence[float],
    thickness: float,
) -> SliceGrid:
    """Place sorted slices; the step between them may be oblique to their plane (gantry tilt).

    Parameters
    ----------
    positions : ndarray of shape (N, 3), mm
        Of each slice's first voxel centre, (x, y, z) in LPS.
    orientation : 6 floats
        Directions along a row and down a column.
    pixel_spacing : 2 floats, mm
        Between rows, between columns.
    thickness : float, mm
        Taken for the slice distance where there is one slice only.
    """
    step = normal_of(orientation) * thickness
    if len(positions) > 1:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
    distance = float(np.linalg.norm(step))
    axes = np.reshape(np.asarray(orientation, float), (2, 3))
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    direction = np.column_stack([*axes, step / distance])
    between_rows, between_columns = pixel_spacing
    affine = affine_from_itk(
        positions[0].tolist(), (between_columns, between_rows, distance), direction.ravel().tolist()
    )
    even = positions[0] + np.arange(len(positions))[:, np.newaxis] * step
    off = float(np.linalg.norm(positions - even, axis=1).max())
    own = tuple((z, y, x) for x, y, z in positions.tolist()) if off > _EXACT else None
    notes = (_note_on_distances(positions, distance),) if off > _OFF_GRID * distance else ()
    return SliceGrid(affine, (distance, between_rows, between_columns), own, notes)


def _note_on_distances(positions: np.ndarray, distance: float) -> str:
    """Say it where slices are not where an even step puts them."""
    gaps = [float(np.linalg.norm(b - a)) for a, b in pairwise(positions)]
    return (
        f"the slice distance changes from {min(gaps):.4g} to {max(gaps):.4g} mm; the mean of "
        f"{distance:.4g} mm is used for display, measurements use each slice's own position"
    )
