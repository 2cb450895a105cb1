"""What one gets from the masks of some slices without looking at the image between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np

from stacksam.core.shape_interpolation import masks_between


def interpolate_stack(
    masks: Mapping[int, np.ndarray], extent: Iterable[int], n_slices: int
) -> np.ndarray:
    """Fill a stack from the masks of some of its slices.

    Between two neighbouring given slices that hold the object, signed distances to the two outlines
    are blended (Raya and Udupa, IEEE Transactions on Medical Imaging 9(1), 1990). Elsewhere, that
    is beyond the outermost slices and beside those that are given as empty, the neighbouring mask
    is held constant over the slices of `extent`.

    Parameters
    ----------
    masks : mapping of slice index to ndarray of shape (Y, X), bool
        An empty mask says that the object is absent there. At least one.
    extent : iterable of int
        Slices on which the object is believed to be.
    n_slices : int

    Returns
    -------
    stack : ndarray of shape (n_slices, Y, X), bool

    Examples
    --------
    >>> small, large = np.zeros((2, 7, 7), dtype=bool)
    >>> small[3:4, 3:4] = large[1:6, 1:6] = True
    >>> [int(mask.sum()) for mask in interpolate_stack({0: small, 2: large}, [], 3)]
    [1, 9, 25]
    """
    if not masks:
        raise ValueError("there is no mask to go from; give at least one")
    first = next(iter(masks.values()))
    stack = np.zeros((n_slices, *first.shape), dtype=bool)
    believed = set(extent)
    is_full = {index: bool(mask.any()) for index, mask in masks.items()}
    for low, high in pairwise([-1, *sorted(masks), n_slices]):
        between = range(low + 1, high)
        sources = [i for i in (low, high) if is_full.get(i)]
        if len(sources) == 2:
            blended = masks_between(masks[low], masks[high], len(between))
            for index, mask in zip(between, blended, strict=True):
                stack[index] = mask
        elif sources:
            stack[[i for i in between if i in believed]] = masks[sources[0]]
    for index, mask in masks.items():
        stack[index] = mask
    return stack
