"""Fill between the slices that have prompts by shape alone; nothing looks at the image there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stacksam.core.shape_interpolation import masks_between
from stacksam.propagation import Plan, SliceMask, SlicePredictor, says_where
from stacksam.session.results import PropagationResult

LEAST_CONFIDENCE = 0.5
"""Of a mask halfway between two slices that have prompts, relative to theirs."""


def fill_plan(predictor: SlicePredictor, plan: Plan) -> PropagationResult:
    """The slices that have prompts, and what lies between neighbouring ones that hold the object.

    Parameters
    ----------
    predictor : SlicePredictor
        Only asked for slices whose prompts are not a mask.
    plan : Plan

    Returns
    -------
    result : PropagationResult

    Raises
    ------
    ValueError
        If there is nothing to fill, since the object is on one slice only.
    """
    prompted = {**plan.keyframes, **plan.corrections}
    slices = {
        index: SliceMask.from_prediction(predictor.from_prompts(plan.axis, index, prompts))
        for index, prompts in sorted(prompted.items())
        if any(map(says_where, prompts))
    }
    slices = {index: found for index, found in slices.items() if not found.is_empty}
    if len(slices) < 2:
        raise ValueError("there are no two slices to fill between; draw the object on another one")
    for low, high in pairwise(list(slices)):
        if not any(low < index < high for index in plan.absent):
            slices |= _between(slices[low], slices[high], low, high)
    return PropagationResult(
        plan.axis,
        predictor.volume.shape,
        dict(sorted(slices.items())),
        sorted([*prompted, *plan.absent]),
        complete=True,
    )


def _between(first: SliceMask, last: SliceMask, low: int, high: int) -> dict[int, SliceMask]:
    masks = masks_between(first.mask, last.mask, high - low - 1)
    shares = np.arange(1, high - low) / (high - low)
    found = {}
    for index, share, mask in zip(range(low + 1, high), shares, masks, strict=True):
        score = (1 - share) * first.confidence + share * last.confidence
        score *= 1 - (1 - LEAST_CONFIDENCE) * 2 * min(share, 1 - share)
        found[index] = SliceMask.from_mask(mask, score)
    return {index: mask for index, mask in found.items() if not mask.is_empty}
