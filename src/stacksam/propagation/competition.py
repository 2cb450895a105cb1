"""Objects of one run share out the pixels that more than one of them claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stacksam.propagation.slice_predictor import SlicePrediction

Found = dict[int, SlicePrediction]


def share_out(found: Mapping[int, Found], keyframes: Mapping[int, list[int]]) -> dict[int, Found]:
    """Give each contested pixel to one object.

    The object whose nearest keyframe is closer wins, since that is where the user decided; at equal
    distance the more confident one, then the one named first.

    Parameters
    ----------
    found : mapping of object id to {slice index: SlicePrediction}
        All along the same axis.
    keyframes : mapping of object id to list of int

    Returns
    -------
    shared : dict of object id to {slice index: SlicePrediction}
        Predictions without a loss are passed on as they are.
    """
    shared = {object_id: dict(slices) for object_id, slices in found.items()}
    order = {object_id: number for number, object_id in enumerate(found)}
    for index in sorted({index for slices in found.values() for index in slices}):
        here = [object_id for object_id in found if index in found[object_id]]
        if len(here) < 2:
            continue

        def rank(object_id: int, index: int = index) -> tuple[float, float, int]:
            distance = min((abs(index - k) for k in keyframes[object_id]), default=np.inf)
            return (distance, -found[object_id][index].confidence, order[object_id])

        taken = np.zeros(found[here[0]][index].plane_shape, dtype=bool)
        for object_id in sorted(here, key=rank):
            mask = found[object_id][index].mask
            if (mask & taken).any():
                shared[object_id][index] = replace(found[object_id][index], given=mask & ~taken)
            taken |= mask
    return shared
