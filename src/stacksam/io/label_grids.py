"""The grid that segments and contours are drawn into: their image's, or one of their own."""

from __future__ import annotations

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume

_TOLERANCE = 0.1  # of a voxel


class LabelGrid:
    """A voxel grid in mm, (z, y, x) in LPS.

    Parameters
    ----------
    volume : Volume
        Its voxels are not read; it needs an affine.
    name : str
        File name for messages.

    Raises
    ------
    ReadError
        If the volume has no place in space.
    """

    def __init__(self, volume: Volume, name: str) -> None:
        if volume.affine is None:
            raise ReadError(
                f"{name} can only be placed on an image whose voxels have a place in space; choose "
                "the DICOM series it was drawn on"
            )
        self.volume, self.name = volume, name
        affine = volume.affine
        self._columns = affine[:3, 1:3]  # steps along y and x
        normal = np.cross(affine[:3, 1], affine[:3, 2])
        self._normal = normal / np.linalg.norm(normal)
        corners = np.zeros((volume.shape[0], 3))
        corners[:, 0] = np.arange(volume.shape[0])
        self._starts = volume.positions_mm(corners)
        self._heights = self._starts @ self._normal
        gaps = np.abs(np.diff(self._heights))
        self._reach = 0.5 * (gaps.min() if len(gaps) else np.linalg.norm(affine[:3, 0]))

    def locate(self, points_zyx: np.ndarray) -> tuple[int | None, np.ndarray]:
        """Return the slice that a plane of points belongs to, and their (y, x) voxel coordinates.

        Parameters
        ----------
        points_zyx : ndarray of shape (N, 3), mm

        Returns
        -------
        index : int or None
            None where the plane lies outside of the volume.
        points_yx : ndarray of shape (N, 2)

        Raises
        ------
        ReadError
            If the points do not lie in one slice.
        """
        heights = points_zyx @ self._normal
        if np.ptp(heights) > 2 * self._reach:
            raise ReadError(
                f"{self.name} lies across the slices of the image, not in them; choose the image "
                "it was drawn on"
            )
        off = np.abs(self._heights - heights.mean())
        index = int(off.argmin())
        local = points_zyx - self._starts[index]
        points_yx = np.linalg.lstsq(self._columns, local.T, rcond=None)[0].T
        return (index if off[index] <= self._reach * (1 + _TOLERANCE) else None), points_yx

    def paste(
        self, target: np.ndarray, mask: np.ndarray, corner: np.ndarray, value: int
    ) -> np.ndarray | None:
        """Write a frame of shape (Y, X) into labels (Z, Y, X) and return the region it covers.

        Parameters
        ----------
        target : ndarray of shape (Z, Y, X)
            Changed in place.
        mask : ndarray of shape (H, W), bool
        corner : ndarray of shape (3, 3), mm
            Centres of the frame's first voxel, the next one down and the next one to the right.
        value : int

        Returns
        -------
        before : ndarray or None
            What was at the mask's voxels; None if the frame lies outside.

        Raises
        ------
        ReadError
            If the frame's voxels are not the grid's.
        """
        index, points_yx = self.locate(corner)
        if index is None:
            return None
        start = np.round(points_yx[0]).astype(int)
        steps = points_yx[1:] - points_yx[0]
        if (
            np.abs(points_yx[0] - start).max() > _TOLERANCE
            or np.abs(steps - np.eye(2)).max() * max(mask.shape) > 1
        ):
            raise ReadError(
                f"{self.name} has voxels that are not those of the image; choose the image it was "
                "drawn on, or resample one of them"
            )
        low, high = np.maximum(start, 0), np.minimum(start + mask.shape, target.shape[1:])
        if (low >= high).any():
            return None
        inside = mask[tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))]
        plane = target[index][tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        before = plane[inside].copy()
        plane[inside] = value
        return before
