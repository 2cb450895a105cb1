"""Masks between two masks, from their shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from stacksam.core.masks import box_of


def masks_between(first: np.ndarray, last: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Blend the signed distances to two outlines (Raya and Udupa, IEEE TMI 9(1), 1990).

    Parameters
    ----------
    first, last : ndarray of shape (H, W), bool
        Neither empty; that is for the caller to decide.
    count : int
        How many slices lie between them.

    Yields
    ------
    mask : ndarray of shape (H, W), bool
        From the first's side to the last's.

    Examples
    --------
    >>> small, large = np.zeros((2, 7, 7), dtype=bool)
    >>> small[3:4, 3:4] = large[1:6, 1:6] = True
    >>> [int(mask.sum()) for mask in masks_between(small, large, 1)]
    [9]
    """
    y0, x0, y1, x1 = box_of(first | last) or (0, 0, 0, 0)
    part = (slice(y0, y1), slice(x0, x1))  # nothing in between reaches beyond both
    from_first, from_last = (_signed_distance(mask[part]) for mask in (first, last))
    for number in range(1, count + 1):
        mask = np.zeros(first.shape, dtype=bool)
        mask[part] = (count + 1 - number) * from_first + number * from_last > 0
        yield mask


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """Positive inside; what lies beyond the array is outside."""
    padded = np.pad(mask, 1)
    inside, outside = (ndimage.distance_transform_edt(m) for m in (padded, ~padded))
    return (inside - outside)[1:-1, 1:-1]
