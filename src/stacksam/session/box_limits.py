"""In which part of its slices a propagation may find an object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from stacksam.core.masks import Box
from stacksam.core.prompts import BoxPrompt, Prompt
from stacksam.propagation.box_limit import pixels_in

Inside = Literal["boxes"] | tuple[float, float, float, float] | None
"""A box (y0, x0, y1, x1) for all objects, or each object's own boxes, or no limit."""


def box_limits(
    prompts: Mapping[int, Iterable[Prompt]],
    axis: int,
    plane_shape: tuple[int, int],
    inside: Inside,
) -> dict[int, Box]:
    """The box that each object is kept in.

    Parameters
    ----------
    prompts : mapping of object id to prompts
    axis : int
    plane_shape : (height, width)
    inside : "boxes", (y0, x0, y1, x1) or None
        With ``boxes`` an object is kept in the smallest box around all boxes that were drawn for
        it along the axis; objects without one are not limited.

    Returns
    -------
    limits : dict of object id to (y0, x0, y1, x1), int

    Raises
    ------
    ValueError
        If a box holds no pixel, or if no object has one.
    """
    if inside is None:
        return {}
    if inside != "boxes":
        return dict.fromkeys(prompts, pixels_in(inside, plane_shape))
    limits = {}
    for object_id, given in prompts.items():
        drawn = [p.yxyx for p in given if isinstance(p, BoxPrompt) and p.axis == axis]
        if drawn:
            y0, x0, y1, x1 = zip(*drawn, strict=True)
            limits[object_id] = pixels_in((min(y0), min(x0), max(y1), max(x1)), plane_shape)
    if not limits:
        raise ValueError(
            "no box is drawn along this axis to keep the object inside; draw one first"
        )
    return limits
