"""What `predict` and `propagate` give back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from stacksam.core.cleanup import CleanUp, clean_mask
from stacksam.core.fields import paste_logits
from stacksam.core.sparse_stack import SparseStack, empty_stack
from stacksam.propagation import SliceMask, SlicePrediction

Spacing = tuple[float, float] | None


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
        Before clean-up.
    clean_up : CleanUp or None
    spacing : (row, column) distance in mm, or None
    """

    slice_prediction: SlicePrediction
    _choose: Callable[[np.ndarray], int]
    clean_up: CleanUp | None = None
    spacing: Spacing = None

    @cached_property
    def mask(self) -> np.ndarray:
        """ndarray of shape (H, W), bool; one that the user gave is never cleaned up."""
        found = self.slice_prediction
        return found.mask if found.given is not None else self._cleaned(found.mask)

    @property
    def score(self) -> float:
        """Predicted IoU in [0, 1]."""
        return self.slice_prediction.score

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Up to three masks with scores, the shown one first."""
        found = self.slice_prediction
        masks = (
            paste_logits(logits, found.field, found.plane_shape) > 0
            for logits, _ in found.candidates[1:]
        )
        scores = [score for _, score in found.candidates] or [found.score]
        return tuple(
            Candidate(mask, score)
            for mask, score in zip([self.mask, *map(self._cleaned, masks)], scores, strict=True)
        )

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

    def _cleaned(self, mask: np.ndarray) -> np.ndarray:
        return mask if self.clean_up is None else clean_mask(mask, self.clean_up, self.spacing)


@dataclass(frozen=True)
class PropagationResult:
    """The object in the stack.

    Two results are equal if they show the same, however much work they were.

    Attributes
    ----------
    axis : int
    shape : (Z, Y, X)
    slices : dict of slice index to SliceMask
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
    slices: dict[int, SliceMask]
    keyframes: list[int]
    complete: bool
    decoded: int = field(default=0, compare=False)

    @cached_property
    def mask(self) -> Any:
        """ndarray of shape (Z, Y, X), bool; a `SparseStack` where that may not fit into memory."""
        mask = empty_stack(self.shape, bool)
        if isinstance(mask, SparseStack):
            for index in self._planes():
                mask[index] = self.section(index, 0)
            return mask
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

    @cached_property
    def areas(self) -> np.ndarray:
        """ndarray of shape (n_slices,), int64: pixels of the object on each slice."""
        areas = np.zeros(self.shape[self.axis], np.int64)
        for index, found in self.slices.items():
            areas[index] = found.n_pixels
        return areas

    def _planes(self) -> list[int]:
        """Planes across axis 0 that may hold the object."""
        if self.axis == 0:
            return list(self.slices)
        boxes = [found.box for found in self.slices.values() if found.box is not None]
        return list(range(min(b[0] for b in boxes), max(b[2] for b in boxes))) if boxes else []

    @property
    def nbytes(self) -> int:
        """About what the packed masks take in memory."""
        return sum(found.nbytes for found in self.slices.values())

    def section(self, index: int, axis: int) -> np.ndarray:
        """The slice `index` across any axis: a new ndarray (H, W) of bool."""
        height, width = (n for a, n in enumerate(self.shape) if a != axis)
        if axis == self.axis:
            found = self.slices.get(index)
            return np.zeros((height, width), dtype=bool) if found is None else found.mask
        section = np.zeros((height, width), dtype=bool)
        rows = section if self.axis < 3 - axis - self.axis else section.T
        in_plane = [a for a in range(3) if a != self.axis].index(axis)
        for row, found in self.slices.items():
            rows[row] = found.line(index, in_plane)
        return section

    def cleaned(self, settings: CleanUp | None, spacing: Spacing = None) -> PropagationResult:
        """A copy in which each slice is cleaned up, except for masks that the user gave."""
        slices = {i: found.cleaned(settings, spacing) for i, found in self.slices.items()}
        return replace(self, slices=slices)
