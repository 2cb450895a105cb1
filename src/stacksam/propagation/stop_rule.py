"""Where a front stops, and when an object has come back behind a gap (decisions 0014 and 0022)."""

from __future__ import annotations

from dataclasses import dataclass

from stacksam.propagation.between import overlap_of
from stacksam.propagation.slice_prediction import SlicePrediction
from stacksam.propagation.slice_predictor import SlicePredictor

CONFIDENCE_LIMIT = 0.35
"""A front stops where it is less sure than this; like the other limits chosen on train and val."""

PRESENCE_LIMIT = 0.5
"""A front stops at once where the model says that the object is not there."""

SCORE_LIMIT = 0.4
"""A front stops at once where the predicted IoU falls below this."""

GROWTH_LIMIT = 2.0
"""A front stops at once where the mask is more than so many times as wide as its keyframe's: a
branch has leaked into what it leads to."""

LIKENESS_LIMIT = 0.0
"""A front stops at once where grey values look more like the keyframe's surroundings than like its
object; see `Appearance`."""

GAP_LOOKS = 2
"""A gap is no longer than so many slices."""

GAP_RADII = 0.5
"""Nor is it longer than this, in radii of the object; but one slice is always looked over."""

BACK_PRESENCE, BACK_SCORE, BACK_LIKENESS = 0.9, 0.7, 0.3
"""Behind a gap the object is taken for the same where the model is as sure as this and where"""

BACK_OVERLAP = 0.4
"""the mask overlaps the last one before the gap by this IoU."""

SENSITIVITY_ODDS = 4.0
"""From sensitivity 0.5 to 1 the odds of each limit fall by this factor, to 0 they rise by it."""


@dataclass(frozen=True)
class StopRule:
    """The limits above, eased by a sensitivity.

    Attributes
    ----------
    predictor : SlicePredictor
    axis : int
    sensitivity : float in [0, 1]
        See `Plan`.
    """

    predictor: SlicePredictor
    axis: int
    sensitivity: float = 0.5

    def goes_on(self, origin: SlicePrediction, prediction: SlicePrediction) -> bool:
        """Whether a front goes on: the model says so, and the object still looks like itself."""
        is_sure = prediction.confidence >= self._eased(CONFIDENCE_LIMIT)
        largest = GROWTH_LIMIT / self._ease**0.5 * max(origin.radius, 1.0)
        return is_sure and prediction.radius <= largest and self._is_seen(origin, prediction)

    def is_unseen(self, prediction: SlicePrediction) -> bool:
        """Whether doubt comes from this slice; if it has grown on the way, a gap is no excuse."""
        return prediction.presence < self._eased(BACK_PRESENCE)

    def is_back(
        self, origin: SlicePrediction, seen: SlicePrediction, prediction: SlicePrediction
    ) -> bool:
        """Whether what is there behind a gap is surely what was seen before it."""
        limits = (BACK_PRESENCE, BACK_SCORE, BACK_LIKENESS)
        if not self._is_seen(origin, prediction, *limits):
            return False
        return overlap_of(seen, prediction) >= BACK_OVERLAP

    def longest_gap(self, seen: SlicePrediction) -> int:
        """How many slices may be bridged beyond one that the object was seen on."""
        slices = GAP_RADII * seen.radius / self.predictor.slice_step(self.axis)
        return max(1, min(GAP_LOOKS, int(slices)))

    def _is_seen(
        self,
        origin: SlicePrediction,
        prediction: SlicePrediction,
        presence: float = PRESENCE_LIMIT,
        score: float = SCORE_LIMIT,
        likeness: float = LIKENESS_LIMIT,
    ) -> bool:
        """Whether the model and the grey values say that the object is on a slice."""
        if prediction.presence < self._eased(presence) or prediction.score < self._eased(score):
            return False
        known = origin.appearance
        if known is None:
            return True
        crop = self.predictor.crop(self.axis, prediction.index, prediction.field)
        return known.likeness(crop, prediction.logits) >= self._eased(likeness)

    @property
    def _ease(self) -> float:
        return float(SENSITIVITY_ODDS ** (1 - 2 * self.sensitivity))

    def _eased(self, limit: float) -> float:
        """A limit whose odds follow from the plan's sensitivity."""
        ease = self._ease
        return limit if ease == 1 else limit * ease / (1 - limit + limit * ease)
