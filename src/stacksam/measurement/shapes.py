"""Surface, longest diameter and sphericity of one mask in physical units."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.spatial import ConvexHull, SphericalVoronoi
from scipy.spatial.distance import cdist

_HALF_DIRECTIONS = tuple(d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0))
_BLOCK = 1024


def surface_area(mask: np.ndarray, steps: np.ndarray) -> float:
    """Estimate the surface of a mask from how often straight lines enter and leave it.

    Lines run along the 13 directions between neighbouring voxels; each direction counts for the
    part of the sphere that lies nearest to it (Lehmann and Legland 2012, as SimpleITK's perimeter).
    Round objects come out right within a few per cent from a radius of about 4 voxels on. Flat
    faces along the grid come out too small, by 10 % for cubic voxels and up to 20 % for flat ones.

    Parameters
    ----------
    mask : ndarray of shape (Z, Y, X), bool
        Outside of it is background.
    steps : ndarray of shape (3, 3)
        Column k is the step in space to the next voxel along axis k; any angle between them.

    Returns
    -------
    area : float
        In the squared unit of `steps`.

    Examples
    --------
    >>> z, y, x = np.mgrid[-12:13, -12:13, -12:13]
    >>> ball = z**2 + y**2 + x**2 <= 10**2
    >>> round(surface_area(ball, np.eye(3)) / (4 * np.pi * 10**2), 2)
    1.0
    """
    steps = np.asarray(steps, float)
    padded = np.pad(mask, 1)
    voxel = abs(float(np.linalg.det(steps)))
    total = 0.0
    weights = _direction_weights(tuple(map(tuple, steps.tolist())))
    for direction, weight in zip(_HALF_DIRECTIONS, weights, strict=True):
        length = float(np.linalg.norm(steps @ direction))
        total += weight * _changes_along(padded, direction) * voxel / length
    return 2 * total


def _changes_along(padded: np.ndarray, direction: tuple[int, ...]) -> int:
    """Count neighbouring pairs along a direction of which one is inside and one is outside."""
    here, there = [], []
    for step, size in zip(direction, padded.shape, strict=True):
        here.append(slice(max(0, -step), size - max(0, step)))
        there.append(slice(max(0, step), size - max(0, -step)))
    return int(np.count_nonzero(padded[tuple(here)] != padded[tuple(there)]))


@lru_cache(maxsize=64)
def _direction_weights(steps: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Return the part of the sphere nearest to each direction and its opposite; they sum to 1."""
    ahead = np.array(_HALF_DIRECTIONS) @ np.array(steps).T
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    areas = SphericalVoronoi(np.concatenate([ahead, -ahead]), 1.0).calculate_areas()
    return tuple((2 * areas[: len(ahead)] / areas.sum()).tolist())


def outline_points(mask: np.ndarray) -> np.ndarray:
    """Return points half a voxel outside of the outermost voxels, in voxel coordinates.

    Parameters
    ----------
    mask : ndarray of shape (Z, Y, X) or (Y, X), bool
        Not empty.

    Returns
    -------
    points : ndarray of shape (N, mask.ndim), float
        Their convex hull contains every voxel centre ± half a voxel along each axis.
    """
    first = mask.argmax(axis=-1)
    last = mask.shape[-1] - 1 - mask[..., ::-1].argmax(axis=-1)
    lines = np.argwhere(mask.any(axis=-1))
    ends = [np.column_stack([lines, side[tuple(lines.T)]]) for side in (first, last)]
    centres = np.unique(np.concatenate(ends), axis=0).astype(float)
    shifts = np.concatenate([np.eye(mask.ndim), -np.eye(mask.ndim)]) / 2
    return (centres[:, np.newaxis] + shifts).reshape(-1, mask.ndim)


def longest_distance(points: np.ndarray) -> float:
    """Return the largest distance between any two points of an array of shape (N, 2 or 3).

    Examples
    --------
    >>> longest_distance(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    5.0
    """
    corners = points[ConvexHull(points, qhull_options="QJ").vertices]
    starts = range(0, len(corners), _BLOCK)
    return max(float(cdist(corners[at : at + _BLOCK], corners).max()) for at in starts)


def sphericity(volume: float, surface: float) -> float:
    """Return the surface of a ball of the same volume divided by the object's: 1 for a ball.

    Both are estimates, so that very small objects may come out slightly above 1.

    Examples
    --------
    >>> round(sphericity(volume=1.0, surface=6.0), 3)
    0.806
    """
    return (36 * math.pi * volume**2) ** (1 / 3) / surface
