"""What is found of an object on one slice, before it is packed into a `SliceMask`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from stacksam.core.fields import Field, paste_logits
from stacksam.propagation.appearance import Appearance
from stacksam.propagation.belief import WEIGHTS, as_confidence


@dataclass(frozen=True)
class SlicePrediction:
    """The object on one slice.

    Attributes
    ----------
    key : bytes
        Digest of everything the prediction follows from.
    index : int
    plane_shape : (height, width)
    field : Field
    logits : ndarray of shape (h, w), float32
        In the field.
    score : float
        Predicted IoU in [0, 1].
    presence : float
        Probability that the object is on the slice.
    candidates : tuple of (logits, score)
        Up to three masks for an ambiguous prompt, the shown one first.
    given : ndarray of shape (height, width), bool, or None
        The mask that the user gave, which is honoured exactly.
    appearance : Appearance or None
        What the object is known to look like from here on.
    belief : float
        In the mask, in log odds, for fronts that go on from here; see `propagation.belief`.
    is_handed : bool
        Whether the slice shows what its neighbour handed on, with nothing said by the user.
    """

    key: bytes
    index: int
    plane_shape: tuple[int, int]
    field: Field
    logits: np.ndarray
    score: float
    presence: float
    candidates: tuple[tuple[np.ndarray, float], ...] = ()
    given: np.ndarray | None = None
    appearance: Appearance | None = None
    belief: float = WEIGHTS.start
    is_handed: bool = False

    @property
    def mask(self) -> np.ndarray:
        """A new ndarray of shape `plane_shape`, bool."""
        if self.given is not None:
            return self.given.copy()
        return paste_logits(self.logits, self.field, self.plane_shape) > 0

    @property
    def is_empty(self) -> bool:
        """Whether no pixel belongs to the object."""
        shown = self.field.visible(self.logits) > 0 if self.given is None else self.given
        return not shown.any()

    @property
    def radius(self) -> float:
        """Of a disc as large as the mask, in pixel widths."""
        cells = np.count_nonzero(self.field.visible(self.logits) > 0)
        return self.field.width / len(self.logits) * math.sqrt(cells / math.pi)

    @property
    def confidence(self) -> float:
        """In [0, 1]: how much of the mask is right, as far as one can tell."""
        return as_confidence(self.belief) if self.is_handed else self.score * self.presence

    def kept(self) -> SlicePrediction:
        """The same without what it does not need, such as the network's fourth mask."""
        shown, others = self.logits, [logits for logits, _ in self.candidates[1:]]
        kept = np.stack([shown, *others])
        scores = [score for _, score in self.candidates]
        candidates = tuple(zip(kept, scores, strict=False))
        return replace(self, logits=kept[0], candidates=candidates)

    @property
    def nbytes(self) -> int:
        """Of the shown mask, which is also the first candidate, the others and the small parts."""
        given = 0 if self.given is None else self.given.nbytes
        return 2048 + given + self.logits.nbytes * max(1, len(self.candidates))
