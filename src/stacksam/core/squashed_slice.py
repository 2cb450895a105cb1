"""The field of the published SAM 2: all of a slice, squashed to a square (Ravi et al. 2024).

Coordinates are scaled without a shift by half a pixel, and masks are enlarged in one linear step,
as its predictors do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from stacksam.core.fields import Field
from stacksam.core.padded_slice import _linear_weights


@dataclass(frozen=True)
class SquashedSlice(Field):
    """A field as large as the slice; made by `squashed_slice`."""

    def to_field(self, points_yx: np.ndarray, size: int) -> np.ndarray:
        """Scale slice coordinates to those of a (size, size) grid."""
        return np.asarray(points_yx, dtype=np.float64) * self._scale(size)

    def from_field(self, points_yx: np.ndarray, size: int) -> np.ndarray:
        """Inverse of `to_field`."""
        return np.asarray(points_yx, dtype=np.float64) / self._scale(size)

    def paste(self, logits: np.ndarray, plane_shape: tuple[int, int]) -> np.ndarray:
        """Interpolate logits to the slice."""
        rows, columns = (
            _weights(count, wanted) for count, wanted in zip(logits.shape, plane_shape, strict=True)
        )
        values = logits.astype(np.float32, copy=False)
        return np.ascontiguousarray((columns @ (rows @ values).T).T)

    def _scale(self, size: int) -> np.ndarray:
        return np.array([size / self.height, size / self.width])


def squashed_slice(plane_shape: tuple[int, int]) -> SquashedSlice:
    """The field that holds a slice and nothing else.

    Parameters
    ----------
    plane_shape : (height, width)

    Examples
    --------
    >>> squashed_slice((100, 50)).to_field(np.array([[50, 25]]), 1000).tolist()
    [[500.0, 500.0]]
    """
    return SquashedSlice(0.0, 0.0, float(plane_shape[0]), float(plane_shape[1]))


@lru_cache(maxsize=64)
def _weights(count: int, wanted: int) -> sparse.csr_array:
    return _linear_weights(count, wanted).astype(np.float32)
