"""Objects of one run share out the pixels that more than one of them claims."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stacksam.propagation.slice_mask import SliceMask, meets

Found = dict[int, SliceMask]


def share_out(found: Mapping[int, Found], keyframes: Mapping[int, list[int]]) -> dict[int, Found]:
    """Give each contested pixel to one object.

    The object whose nearest keyframe is closer wins, since that is where the user decided; at equal
    distance the more confident one, then the one named first. A mask that the user gave is kept to
    the bit, even where two of them overlap.

    Parameters
    ----------
    found : mapping of object id to {slice index: SliceMask}
        All along the same axis.
    keyframes : mapping of object id to list of int

    Returns
    -------
    shared : dict of object id to {slice index: SliceMask}
        Masks without a loss are passed on as they are.
    """
    shared = {object_id: dict(slices) for object_id, slices in found.items()}
    order = {object_id: number for number, object_id in enumerate(found)}
    for index in sorted({index for slices in found.values() for index in slices}):
        here = {
            object_id: found[object_id][index] for object_id in found if index in found[object_id]
        }

        def rank(object_id: int, index: int = index) -> tuple[float, bool, float, int]:
            distance = min((abs(index - k) for k in keyframes[object_id]), default=np.inf)
            mine = found[object_id][index]
            return (distance, not mine.is_given, -mine.confidence, order[object_id])

        ranked = sorted(here, key=rank)
        for place, object_id in enumerate(ranked):
            stronger = [here[i] for i in ranked[:place] if meets(here[i], here[object_id])]
            if stronger and not here[object_id].is_given:
                taken = np.logical_or.reduce([other.mask for other in stronger])
                shared[object_id][index] = here[object_id].with_mask(here[object_id].mask & ~taken)
    return shared
