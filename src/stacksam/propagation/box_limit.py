"""Keep what is found inside a box, the same on every slice."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from stacksam.core.fields import LOGIT_OUTSIDE
from stacksam.core.masks import Box
from stacksam.propagation.slice_mask import SliceMask
from stacksam.propagation.slice_prediction import SlicePrediction


def pixels_in(yxyx: tuple[float, float, float, float], plane_shape: tuple[int, int]) -> Box:
    """The pixels whose centres lie in a box that was drawn.

    Parameters
    ----------
    yxyx : (y0, x0, y1, x1)
        Half-open, from pixel edges.
    plane_shape : (height, width)

    Returns
    -------
    box : (y0, x0, y1, x1), int

    Raises
    ------
    ValueError
        If there is none in the slice.

    Examples
    --------
    >>> pixels_in((1.4, 2.6, 4.0, 99.0), (8, 9))
    (1, 3, 4, 9)
    """
    edges = [math.ceil(v - 0.5) for v in yxyx]
    (y0, x0), (height, width) = (max(v, 0) for v in edges[:2]), plane_shape
    y1, x1 = min(edges[2], height), min(edges[3], width)
    if y0 >= y1 or x0 >= x1:
        raise ValueError(f"box {yxyx} holds no pixel of a slice of {height} by {width}")
    return y0, x0, y1, x1


def confine(found: SlicePrediction, box: Box) -> SlicePrediction:
    """A prediction of which only the cells inside a box are handed on.

    A mask that the user gave stays as it is. Pixels at the edge may still lie outside, as cells
    are not pixels; see `cut`.
    """
    if found.given is not None:
        return found
    count = len(found.logits)
    cells = np.repeat(np.arange(count)[:, None], 2, axis=1)
    places = found.field.from_field(cells, count) + 0.5  # from pixel edges, as boxes count
    rows, columns = ((box[k] <= places[:, k]) & (places[:, k] < box[k + 2]) for k in (0, 1))
    logits = np.where(rows[:, None] & columns, found.logits, np.float32(LOGIT_OUTSIDE))
    return replace(found, key=found.key + repr(box).encode(), logits=logits)


def cut(found: SliceMask, box: Box) -> SliceMask:
    """A mask without what lies outside of a box; one that the user gave stays as it is."""
    if found.is_given or found.box is None:
        return found
    y0, x0, y1, x1 = box
    inside = np.zeros(found.plane_shape, dtype=bool)
    inside[y0:y1, x0:x1] = found.mask[y0:y1, x0:x1]
    return found.with_mask(inside)
