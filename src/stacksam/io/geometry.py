"""ITK's origin, spacing and direction (x, y, z) to and from our affine (z, y, x)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stacksam.core.volume import Volume

Geometry = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


def affine_from_itk(
    origin: Sequence[float], spacing: Sequence[float], direction: Sequence[float]
) -> np.ndarray:
    """Build the (4, 4) matrix from voxel (z, y, x, 1) to mm (z, y, x).

    Parameters
    ----------
    origin, spacing : 3 floats (x, y, z), mm
    direction : 9 floats, row by row
        As `SimpleITK.Image.GetDirection` gives them.

    Examples
    --------
    >>> affine_from_itk((10, 20, 30), (0.5, 0.6, 3.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))[:3].tolist()
    [[3.0, 0.0, 0.0, 30.0], [0.0, 0.6, 0.0, 20.0], [0.0, 0.0, 0.5, 10.0]]
    """
    affine = np.eye(4)
    steps_xyz = np.reshape(np.asarray(direction, float), (3, 3)) * np.asarray(spacing, float)
    affine[:3, :3] = steps_xyz[::-1, ::-1]
    affine[:3, 3] = np.asarray(origin, float)[::-1]
    return affine


def itk_from_volume(volume: Volume | None) -> Geometry:
    """Return origin, spacing and direction (x, y, z) of a volume.

    Without an affine the origin is 0 and the direction identity; without a spacing it is 1 mm, as
    ITK formats always hold one.
    """
    spacing = (1.0, 1.0, 1.0)
    if volume is not None and volume.spacing_zyx is not None:
        spacing = volume.spacing_zyx[::-1]
    if volume is None or volume.affine is None:
        return (0.0, 0.0, 0.0), spacing, tuple(np.eye(3).ravel().tolist())
    affine = volume.affine
    direction = affine[:3, :3][::-1, ::-1] / np.asarray(spacing)
    return tuple(affine[:3, 3][::-1].tolist()), spacing, tuple(direction.ravel().tolist())


def is_orthonormal(direction: Sequence[float], tolerance: float = 1e-4) -> bool:
    """Say whether the three axes stand at right angles and have unit length."""
    matrix = np.reshape(np.asarray(direction, float), (3, 3))
    return bool(np.abs(matrix.T @ matrix - np.eye(3)).max() < tolerance)
