"""The field of the published SAM predictor: all of a slice, padded to a square.

Kirillov et al. 2023 and its code scale the longer side to the model's input and pad below and to
the right. Coordinates are scaled without a shift by half a pixel, and masks are enlarged in two
linear steps; both differ from what other fields do, and are kept so that results agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from stacksam.core.fields import Field


@dataclass(frozen=True)
class PaddedSlice(Field):
    """A square that begins at the slice's upper left corner; made by `padded_slice`.

    Parameters
    ----------
    plane_shape, resized : (height, width)
        Of the slice, and of the slice in the model's input.
    side : int
        Of the model's input.
    """

    plane_shape: tuple[int, int]
    resized: tuple[int, int]
    side: int

    def to_field(self, points_yx: np.ndarray, size: int) -> np.ndarray:
        """Scale slice coordinates to those of a (size, size) grid."""
        return np.asarray(points_yx, dtype=np.float64) * self._scale * (size / self.side)

    def from_field(self, points_yx: np.ndarray, size: int) -> np.ndarray:
        """Inverse of `to_field`."""
        return np.asarray(points_yx, dtype=np.float64) * (self.side / size) / self._scale

    def paste(self, logits: np.ndarray, plane_shape: tuple[int, int]) -> np.ndarray:
        """Enlarge logits to the model's input, drop the padding, resample to the slice."""
        rows, columns = (
            _paste_weights(count, self.side, kept, wanted)
            for count, kept, wanted in zip(logits.shape, self.resized, plane_shape, strict=True)
        )
        values = logits.astype(np.float32, copy=False)
        return np.ascontiguousarray((columns @ (rows @ values).T).T)

    def visible(self, logits: np.ndarray) -> np.ndarray:
        """Without the padding, where the network may see objects as well."""
        height, width = (
            -(-kept * count // self.side)
            for kept, count in zip(self.resized, logits.shape, strict=True)
        )
        return logits[:height, :width]

    @property
    def _scale(self) -> np.ndarray:
        return np.divide(self.resized, self.plane_shape)


def padded_slice(plane_shape: tuple[int, int], side: int = 1024) -> PaddedSlice:
    """The published predictor's field of a slice.

    Parameters
    ----------
    plane_shape : (height, width)
    side : int
        Of the model's input.

    Examples
    --------
    >>> padded_slice((512, 256)).resized
    (1024, 512)
    """
    resized = resized_shape(plane_shape, side)
    height, width = (side * n / kept for n, kept in zip(plane_shape, resized, strict=True))
    return PaddedSlice(0.0, 0.0, height, width, plane_shape, resized, side)


def resized_shape(shape: tuple[int, int], longest_side: int = 1024) -> tuple[int, int]:
    """Shape of an image scaled to a longest side, halves rounded up.

    Examples
    --------
    >>> resized_shape((512, 400)), resized_shape((3, 2048))
    ((1024, 800), (2, 1024))
    """
    scale = longest_side * 1.0 / max(shape)
    return max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5))


@lru_cache(maxsize=64)
def _paste_weights(count: int, side: int, kept: int, wanted: int) -> sparse.csr_array:
    """Weights (wanted, count) of both steps along one axis: enlarge, cut, resample."""
    enlarge, resample = _linear_weights(count, side)[:kept], _linear_weights(kept, wanted)
    return (resample @ enlarge).astype(np.float32).tocsr()


def _linear_weights(count: int, wanted: int) -> sparse.csr_array:
    """Weights (wanted, count) of linear interpolation without averaging.

    Positions are rounded to single precision where PyTorch's fused multiply-add rounds.
    """
    step = float(np.float32(count) / np.float32(wanted))
    places = (step * (np.arange(wanted) + 0.5) - 0.5).astype(np.float32)
    first = np.clip(places.astype(int), 0, count - 1)
    part = np.clip(places - first, 0, 1)
    rows = np.repeat(np.arange(wanted), 2)
    columns = np.stack([first, np.minimum(first + 1, count - 1)], 1).ravel()
    values = np.stack([1 - part, part], 1).ravel()
    return sparse.coo_array((values, (rows, columns)), shape=(wanted, count)).tocsr()
