"""What the prompts of an object ask for, slice by slice: keyframes, corrections and absences."""

from __future__ import annotations

from dataclasses import dataclass

from stacksam.core.masks import Box
from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptSet,
    ScribblePrompt,
)


@dataclass(frozen=True)
class Plan:
    """What the prompts of one object say about the slices along an axis.

    Attributes
    ----------
    axis : int
    keyframes : dict of slice index to prompts
        Predicted from their prompts alone, in ascending order.
    corrections : dict of slice index to prompts
        Points that refine what arrives from a neighbour.
    absent : frozenset of int
        Slices that the user marked as without the object; fronts stop before them.
    start, stop : int
        Slices that may be computed.
    sensitivity : float in [0, 1]
        How readily a front goes on; 0.5 is what was chosen on train and val.
    box : (y0, x0, y1, x1) or None
        Pixels beyond which nothing is handed on, the same on every slice.
    """

    axis: int
    keyframes: dict[int, tuple[Prompt, ...]]
    corrections: dict[int, tuple[Prompt, ...]]
    absent: frozenset[int]
    start: int
    stop: int
    sensitivity: float = 0.5
    box: Box | None = None


def make_plan(
    prompts: PromptSet,
    object_id: int,
    axis: int,
    n_slices: int,
    z_range: tuple[int, int] | None = None,
    sensitivity: float = 0.5,
) -> Plan:
    """Sort an object's prompted slices into keyframes, corrections and absences.

    Parameters
    ----------
    prompts : PromptSet
    object_id, axis, n_slices : int
    z_range : (start, stop), optional
        Half-open limits of what is computed; keyframes outside it stay as they are.
    sensitivity : float in [0, 1]

    Returns
    -------
    plan : Plan

    Raises
    ------
    ValueError
        If no slice along the axis says where the object is, the range is empty, or the sensitivity
        is another number.
    """
    if not 0 <= sensitivity <= 1:
        raise ValueError(f"sensitivity is {sensitivity}; it has to be between 0 and 1")
    start, stop = (0, n_slices) if z_range is None else (int(z_range[0]), int(z_range[1]))
    start, stop = max(start, 0), min(stop, n_slices)
    if start >= stop:
        raise ValueError(
            f"z_range {z_range} holds no slice; this axis has slices 0 to {n_slices - 1}"
        )
    keyframes, corrections, absent = {}, {}, set()
    is_first = True  # the slice prompted first is a keyframe even if it has points only
    ordered = dict.fromkeys(p.index for p in prompts if p.object_id == object_id and p.axis == axis)
    for index in ordered:
        here = prompts.on_slice(object_id, index, axis)
        mask = here[0] if isinstance(here[0], MaskPrompt) else None
        decides = any(isinstance(p, BoxPrompt | MaskPrompt) for p in here)
        if mask is not None and mask.is_absent and not has_positive(here) and not _has_box(here):
            absent.add(index)
        elif decides or (is_first and has_positive(here)):
            keyframes[index] = here
            is_first = False
        else:
            corrections[index] = here
    if not keyframes:
        raise ValueError(
            f"object {object_id} has no box, mask or positive point along axis {axis}; "
            "add one first"
        )
    ascending = dict(sorted(keyframes.items()))
    return Plan(axis, ascending, corrections, frozenset(absent), start, stop, float(sensitivity))


def has_positive(prompts: tuple[Prompt, ...]) -> bool:
    """Whether a click or a stroke says where the object is."""
    return any(isinstance(p, PointPrompt | ScribblePrompt) and p.positive for p in prompts)


def _has_box(prompts: tuple[Prompt, ...]) -> bool:
    return any(isinstance(p, BoxPrompt) for p in prompts)
