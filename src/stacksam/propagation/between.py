"""Between two keyframes: the fronts from both, and the shape half-way between the two masks.

Each front counts more the nearer its keyframe is. The blend of the keyframes' signed distances
(Raya and Udupa, IEEE Transactions on Medical Imaging 9(1), 1990) is the prior: what the shape would
be if the image said nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from stacksam.core.fields import Field, move_logits
from stacksam.propagation.belief import belief_of
from stacksam.propagation.slice_prediction import SlicePrediction

FUSED_LOGIT_LIMIT = 6.0
"""Logits are clipped before they are fused, so that an overconfident front cannot win alone."""

SHAPE_SHARE = 0.6
"""Of the prior beside the fronts; chosen on train and val."""

SHAPE_WIDTH = (1.0, 0.1)
"""Cells by which a prior's outline is uncertain: at a keyframe, and for each cell of the way."""

SHAPE_CONFIDENCE = 0.5
"""Where no front arrives and the shape between is all there is."""


@dataclass(frozen=True)
class Interval:
    """Two neighbouring keyframes with the object on both.

    Attributes
    ----------
    low, high : SlicePrediction
    step : float
        Distance between slices in pixel widths.
    """

    low: SlicePrediction
    high: SlicePrediction
    step: float = 1.0

    def fill(
        self, index: int, arrived: Sequence[SlicePrediction], *, is_corrected: bool = False
    ) -> SlicePrediction:
        """What a slice between the keyframes shows.

        Parameters
        ----------
        index : int
        arrived : sequence of SlicePrediction
            Of the front from below, then the one from above, as far as they got here.
        is_corrected : bool
            Whether the user gave points here, which a prior would not know of.
        """
        weight = (self.high.index - index) / (self.high.index - self.low.index)
        near = self.low if weight >= 0.5 else self.high
        if len(arrived) == 2:
            found = fuse(arrived[0], arrived[1], weight)
        elif arrived:
            found = arrived[0]
        else:
            belief = belief_of(SHAPE_CONFIDENCE)
            blank = np.zeros_like(near.logits)
            found = replace(near, logits=blank, candidates=(), belief=belief, is_handed=True)
        if is_corrected:
            return found
        share = SHAPE_SHARE if arrived else 1.0
        limit, shape = FUSED_LOGIT_LIMIT, self._shape(index, weight, found.field, len(near.logits))
        logits = share * shape + (1 - share) * np.clip(found.logits, -limit, limit)
        key = self.key(index, arrived)
        return replace(found, key=key, index=index, logits=logits.astype(np.float32), given=None)

    def key(self, index: int, arrived: Sequence[SlicePrediction]) -> bytes:
        """Of everything that `fill` follows from; corrections are part of the fronts' keys."""
        parts = (b"between", self.low.key, self.high.key, b"%d" % index, *(a.key for a in arrived))
        return b"|".join(parts)

    def _shape(self, index: int, weight: float, field: Field, size: int) -> np.ndarray:
        """The prior's logits in a field."""
        cell = field.width / size
        distance = weight * _signed_distance(self.low, field)
        distance = distance + (1 - weight) * _signed_distance(self.high, field)
        gap = min(index - self.low.index, self.high.index - index) * self.step / cell
        width = SHAPE_WIDTH[0] + SHAPE_WIDTH[1] * gap
        return np.clip(distance / width, -FUSED_LOGIT_LIMIT, FUSED_LOGIT_LIMIT)


def fuse(first: SlicePrediction, second: SlicePrediction, weight: float) -> SlicePrediction:
    """Blend two predictions of one slice; where they differ, the confidence says so.

    Parameters
    ----------
    first, second : SlicePrediction
    weight : float in [0, 1]
        Of the first.

    Returns
    -------
    fused : SlicePrediction
        In the field of the weightier one.
    """
    if weight < 0.5:
        first, second, weight = second, first, 1 - weight
    other = move_logits(second.logits, second.field, first.field)
    limit = FUSED_LOGIT_LIMIT
    logits = weight * np.clip(first.logits, -limit, limit)
    logits = logits + (1 - weight) * np.clip(other, -limit, limit)
    sure = weight * first.confidence + (1 - weight) * second.confidence
    return SlicePrediction(
        key=first.key + second.key,
        index=first.index,
        plane_shape=first.plane_shape,
        field=first.field,
        logits=logits.astype(np.float32),
        score=weight * first.score + (1 - weight) * second.score,
        presence=max(first.presence, second.presence),
        appearance=first.appearance,
        belief=belief_of(sure * overlap_of(first, second)),
        is_handed=True,
    )


def overlap_of(first: SlicePrediction, second: SlicePrediction) -> float:
    """IoU of two predictions' masks, in the first one's field; 1 where both are empty."""
    mask = first.logits > 0
    other = move_logits(second.logits, second.field, first.field) > 0
    union = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / union if union else 1.0


def _signed_distance(found: SlicePrediction, field: Field) -> np.ndarray:
    """In cells of a field, positive inside."""
    mask = np.pad(move_logits(found.logits, found.field, field) > 0, 1)
    inside, outside = (ndimage.distance_transform_edt(m) for m in (mask, ~mask))
    return (inside - outside)[1:-1, 1:-1]
