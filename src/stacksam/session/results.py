"""What `predict` and `propagate` give back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stacksam.propagation import SlicePrediction


@dataclass(frozen=True)
class Candidate:
    """One of the masks that the prompts may mean: `mask` (H, W) bool and its `score`."""

    mask: np.ndarray
    score: float


@dataclass(frozen=True)
class Prediction:
    """The object on one slice.

    Attributes
    ----------
    slice_prediction : SlicePrediction
    """

    slice_prediction: SlicePrediction
    _choose: Callable[[np.ndarray], int]

    @property
    def mask(self) -> np.ndarray:
        """ndarray of shape (H, W), bool."""
        return self.slice_prediction.mask

    @property
    def score(self) -> float:
        """Predicted IoU in [0, 1]."""
        return self.slice_prediction.score

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Up to three masks with scores, the shown one first."""
        from stacksam.core.fields import paste_logits

        found = self.slice_prediction
        return tuple(
            Candidate(paste_logits(logits, found.field, found.plane_shape) > 0, score)
            for logits, score in found.candidates
        ) or (Candidate(found.mask, found.score),)

    def choose(self, k: int) -> int:
        """Make candidate `k` the slice's mask: a prompt like any other, which undo takes back.

        Returns
        -------
        prompt_id : int

        Raises
        ------
        ValueError
            If there is no such candidate.
        """
        if not 0 <= k < len(self.candidates):
            raise ValueError(f"candidate {k} is not there; choose 0 to {len(self.candidates) - 1}")
        return self._choose(self.candidates[k].mask)


@dataclass(frozen=True)
class PropagationResult:
    """The object in the stack.

    Attributes
    ----------
    axis : int
    shape : (Z, Y, X)
    slices : dict of slice index to SlicePrediction
        Where the object was found.
    keyframes : list of int
        Slices along `axis` that the user decided.
    complete : bool
        False after cancel.
    decoded : int
        Slices on which the mask decoder ran for this call.
    """

    axis: int
    shape: tuple[int, int, int]
    slices: dict[int, SlicePrediction]
    keyframes: list[int]
    complete: bool
    decoded: int = 0

    @cached_property
    def mask(self) -> np.ndarray:
        """ndarray of shape (Z, Y, X), bool."""
        mask = np.zeros(self.shape, dtype=bool)
        along = np.moveaxis(mask, self.axis, 0)
        for index, found in self.slices.items():
            along[index] = found.mask
        return mask

    @cached_property
    def confidence(self) -> np.ndarray:
        """ndarray of shape (n_slices,), float32 in [0, 1]; 0 where the object was not found."""
        confidence = np.zeros(self.shape[self.axis], np.float32)
        for index, found in self.slices.items():
            confidence[index] = found.confidence
        return confidence
