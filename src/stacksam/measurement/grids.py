"""From voxels to lengths: which unit figures have, and where voxels lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stacksam.core.volume import Volume

_SAME_PLACE = 0.1  # of the smallest spacing; files store positions with few digits


class Grid:
    """The voxel grid of labels, in mm where the spacing is known and in pixels otherwise.

    Parameters
    ----------
    volume : Volume
        Gives shape and geometry; its voxels are not read.

    Attributes
    ----------
    unit : str
        "mm" or "px".
    steps : ndarray of shape (3, 3)
        Column k is the mean step to the next voxel along axis k.
    voxel_volumes : ndarray of shape (Z,)
        Per slice, in cubic units.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        volumes = volume.slice_voxel_volumes()
        self.unit = "px" if volumes is None else "mm"
        self.voxel_volumes = np.ones(volume.shape[0]) if volumes is None else volumes
        self.steps = np.eye(3)
        if volume.affine is not None:
            self.steps = volume.affine[:3, :3]
        elif volume.spacing_zyx is not None:
            self.steps = np.diag(volume.spacing_zyx)

    @property
    def has_affine(self) -> bool:
        """Whether positions in the patient or on the stage are known."""
        return self._volume.affine is not None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self._volume.shape

    @property
    def pixel_area(self) -> float:
        """Area of a voxel within its slice."""
        return float(np.linalg.norm(np.cross(self.steps[:, 1], self.steps[:, 2])))

    def place(self, points_zyx: np.ndarray) -> np.ndarray:
        """Return positions of voxel coordinates in this grid's unit."""
        if self.unit == "px":
            return np.asarray(points_zyx, float)
        return self._volume.positions_mm(points_zyx)


def grid_of(
    labels: Any, volume: Volume | None = None, spacing_zyx: Sequence[float] | None = None
) -> tuple[Any, Grid]:
    """Return labels as an array-like (Z, Y, X) with the grid they lie on.

    Parameters
    ----------
    labels : Volume or array-like of shape (Z, Y, X) or (Y, X)
        Integers or bool, 0 is background.
    volume : Volume, optional
        The image; its geometry wins over that of the labels.
    spacing_zyx : sequence of 3 floats, optional
        In mm; only where neither image nor labels know it.

    Raises
    ------
    ValueError
        If shapes differ, the labels lie elsewhere than the image, or the spacing is given twice.
    TypeError
        If the labels are not integers.
    """
    own = labels if isinstance(labels, Volume) else Volume(labels)
    if own.rgb or own.dtype.kind not in "biu":
        raise TypeError(
            f"labels have dtype {own.dtype}{' in colour' if own.rgb else ''}; measure integers"
        )
    source = own
    if volume is not None:
        _check_same_place(own, volume)
        source = volume if volume.spacing_zyx is not None else own
    if spacing_zyx is not None:
        if source.spacing_zyx is not None:
            raise ValueError("spacing_zyx is given, but the image or the labels already have one")
        source = Volume(own.data, spacing_zyx)
    return own.data, Grid(source)


def _check_same_place(labels: Volume, image: Volume) -> None:
    if labels.shape != image.shape:
        raise ValueError(
            f"labels have shape {labels.shape}, but the image has {image.shape}; measure labels "
            "on the grid of their own image"
        )
    if labels.affine is None or image.affine is None:
        return
    corners = np.vstack([np.zeros(3), np.diag(np.array(image.shape) - 1)])
    off = float(np.abs(labels.positions_mm(corners) - image.positions_mm(corners)).max())
    if off > _SAME_PLACE * min(image.spacing_zyx or (1.0,)):
        raise ValueError(
            f"labels and image have the same shape but lie up to {off:.3g} mm apart; measure "
            "labels on the grid of their own image"
        )
