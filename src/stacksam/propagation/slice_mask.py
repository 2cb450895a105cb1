"""A slice's mask packed into few bytes, so that results can be kept, compared and written down."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from stacksam.core.cleanup import CleanUp, clean_mask
from stacksam.core.masks import Box, box_of, window_of
from stacksam.propagation.slice_prediction import SlicePrediction


@dataclass(frozen=True)
class SliceMask:
    """Where an object is on one slice, and how sure that is.

    Parameters
    ----------
    plane_shape : (height, width)
    box : (y0, x0, y1, x1) or None
        Half-open box around the mask; None where it is empty.
    packed : bytes
        The pixels in the box. Build it with `from_mask` or `from_prediction`.
    score : float
        Predicted IoU in [0, 1], calibrated where a neighbour handed the object on.
    presence : float
        Probability that the object is on the slice.
    is_given : bool
        Whether the user gave this mask, so that no clean-up may change it.

    Examples
    --------
    >>> mask = np.eye(3, dtype=bool)
    >>> found = SliceMask.from_mask(mask, score=0.5)
    >>> bool((found.mask == mask).all()), found.n_pixels
    (True, 3)
    """

    plane_shape: tuple[int, int]
    box: Box | None
    packed: bytes
    score: float
    presence: float = 1.0
    is_given: bool = False

    @classmethod
    def from_mask(
        cls, mask: np.ndarray, score: float, presence: float = 1.0, is_given: bool = False
    ) -> SliceMask:
        """Pack a (H, W) bool mask."""
        box = box_of(mask)
        packed = b"" if box is None else _pack(mask[box[0] : box[2], box[1] : box[3]])
        shape = (int(mask.shape[0]), int(mask.shape[1]))
        return cls(shape, box, packed, float(score), float(presence), is_given)

    @classmethod
    def from_prediction(cls, found: SlicePrediction) -> SliceMask:
        """Keep what a prediction shows, without its logits and candidates."""
        is_given = found.given is not None
        score, presence = found.score, found.presence
        if found.is_handed:  # absence counts as an overlap of 0
            score, presence = found.confidence, 1.0
        return cls.from_mask(found.mask, score, presence, is_given)

    @property
    def mask(self) -> np.ndarray:
        """A new ndarray of shape `plane_shape`, bool."""
        return self.window((0, 0, *self.plane_shape))

    def window(self, window: Box) -> np.ndarray:
        """The mask in a half-open box: a new ndarray (h, w) of bool."""
        return window_of(self._inside(), self.box, window)

    def line(self, index: int, axis: int) -> np.ndarray:
        """One row (axis 0) or column (axis 1) of the mask: a new ndarray (n,) of bool."""
        line = np.zeros(self.plane_shape[1 - axis], dtype=bool)
        if self.box is not None and self.box[axis] <= index < self.box[axis + 2]:
            start, stop = self.box[1 - axis], self.box[3 - axis]
            line[start:stop] = np.take(self._inside(), index - self.box[axis], axis)
        return line

    @property
    def is_empty(self) -> bool:
        """Whether no pixel belongs to the object."""
        return self.box is None

    @property
    def confidence(self) -> float:
        """In [0, 1]."""
        return self.score * self.presence

    @cached_property
    def n_pixels(self) -> int:
        """Pixels of the object."""
        return int(np.count_nonzero(self._inside()))

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return len(self.packed) + 200

    def with_mask(self, mask: np.ndarray) -> SliceMask:
        """Another mask, known as well as this one."""
        other = SliceMask.from_mask(mask, self.score, self.presence, self.is_given)
        return self if other == self else other

    def cleaned(
        self, settings: CleanUp | None, spacing: Sequence[float] | None = None
    ) -> SliceMask:
        """The mask after clean-up; one that the user gave stays as it is.

        Parameters
        ----------
        settings : CleanUp or None
        spacing : (row, column) distance in mm, optional
        """
        if settings is None or settings.is_off or self.is_given or self.is_empty:
            return self
        return _cleaned(self, settings, None if spacing is None else tuple(spacing))

    def _inside(self) -> np.ndarray:
        """The pixels in the box."""
        y0, x0, y1, x1 = self.box or (0, 0, 0, 0)
        bits = np.frombuffer(zlib.decompress(self.packed) if self.packed else b"", np.uint8)
        return np.unpackbits(bits, count=(y1 - y0) * (x1 - x0)).reshape(y1 - y0, x1 - x0) > 0


@lru_cache(maxsize=4096)  # a job's thread cleans first, and whoever asks later finds it here
def _cleaned(found: SliceMask, settings: CleanUp, spacing: tuple[float, ...] | None) -> SliceMask:
    return found.with_mask(clean_mask(found.mask, settings, spacing))


def _pack(mask: np.ndarray) -> bytes:
    return zlib.compress(np.packbits(mask).tobytes(), 1)
