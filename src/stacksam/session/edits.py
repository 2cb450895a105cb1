"""Changes to the facts of a session, as functions from what is to what will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptSet,
    check_axis,
    check_box,
    check_index,
    check_scribble,
    point_on_axis,
)
from stacksam.core.volume import Volume
from stacksam.session.state import Color, ObjectInfo


def check_slice(volume: Volume, index: int, axis: int) -> int:
    """The slice index as int; ValueError unless the volume has it."""
    return check_index(index, volume.n_slices(check_axis(axis)))


def check_object_id(object_id: Any) -> int:
    """The id as int; ValueError unless it is a whole number of at least 1."""
    is_whole = isinstance(object_id, int | np.integer) and not isinstance(object_id, bool)
    if not is_whole or object_id < 1:
        raise ValueError(f"object id is {object_id!r}; it has to be a whole number of at least 1")
    return int(object_id)


def check_color(color: Any) -> Color:
    """Red, green and blue as floats; ValueError unless they are three numbers in [0, 1]."""
    try:
        red, green, blue = (float(part) for part in color)
    except (TypeError, ValueError):
        raise ValueError(f"color is {color!r}; it has to be (red, green, blue)") from None
    if not all(0 <= part <= 1 for part in (red, green, blue)):
        raise ValueError(f"color is {color!r}; each part has to be between 0 and 1")
    return (red, green, blue)


def moved(prompt: Prompt, volume: Volume, place: dict[str, Any]) -> Prompt:
    """The same prompt elsewhere.

    Parameters
    ----------
    prompt : Prompt
        Not a mask.
    volume : Volume
    place : dict
        ``zyx`` of a point, ``yxyx`` of a box, ``points_yx`` of a scribble.

    Raises
    ------
    ValueError
        If the place is of another kind of prompt, or not in the volume.
    """
    if isinstance(prompt, MaskPrompt):
        raise ValueError("a mask cannot be moved; give another mask for the slice")
    key = {PointPrompt: "zyx", BoxPrompt: "yxyx"}.get(type(prompt), "points_yx")
    if set(place) != {key}:
        raise ValueError(f"a {prompt.kind} is moved by {key}=..., not by {', '.join(place) or '-'}")
    plane_shape = volume.plane_shape(prompt.axis)
    if isinstance(prompt, PointPrompt):
        index, yx = point_on_axis(place[key], prompt.axis, volume.shape)
        return replace(prompt, index=index, yx=yx)
    if isinstance(prompt, BoxPrompt):
        return replace(prompt, yxyx=check_box(place[key], plane_shape))
    points, _ = check_scribble(place[key], plane_shape, prompt.width)
    return replace(prompt, points_yx=points)


def with_moved(prompts: PromptSet, prompt: Prompt) -> PromptSet:
    """The same prompts in the same order, one of them elsewhere."""
    return PromptSet(tuple(prompt if p.prompt_id == prompt.prompt_id else p for p in prompts))


def names_of(objects: Mapping[int, ObjectInfo], object_ids: list[int]) -> str:
    """What a menu calls these objects."""
    if len(object_ids) == 1 and object_ids[0] in objects:
        return objects[object_ids[0]].name
    return f"{len(object_ids)} objects"
