"""Through the stack with a memory, for models that have one (Ravi et al. 2024, SAM 2).

Keyframes are shown to the model first; then it goes from the first of them to the end of the range
and back to the beginning, as its publisher's and transformers' loops do, and each slice is seen
together with the keyframes, before and behind, and the slices just seen. Slices are read and
encoded one at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np

from stacksam.core.cancelling import is_cancelled
from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    sample_scribble,
)
from stacksam.propagation.field_choice import box_to_field
from stacksam.propagation.plan import Plan
from stacksam.propagation.slice_prediction import SlicePrediction
from stacksam.propagation.slice_predictor import SCRIBBLE_POINTS, SlicePredictor
from stacksam.sam.predictor import FieldPrompts

PATIENCE = 7
"""Slices without the object after which, beyond the outermost keyframe, it counts as ended: then
none of the slices in the model's memory shows it."""


def has_memory(predictor: SlicePredictor) -> bool:
    """Whether the model follows objects by a memory."""
    return bool(getattr(predictor.model, "has_memory", False))


def run_memory_plan(
    predictor: SlicePredictor,
    plan: Plan,
    cancel: Event | None = None,
    *,
    patience: int | None = PATIENCE,
) -> Iterator[tuple[int, SlicePrediction]]:
    """Follow an object through the stack; the counterpart of `run_plan`.

    Parameters
    ----------
    predictor : SlicePredictor
        Around a `VideoPredictor`.
    plan : Plan
        From `make_plan`.
    cancel : Event, optional
        Checked before each slice; what was yielded stays valid.
    patience : int or None
        None: go to the ends of the range, whether the object is seen or not.

    Yields
    ------
    index, prediction : int, SlicePrediction
        Each slice at most once. Slices on which the object is absent are left out.
    """
    memory = _Memory(predictor, plan)
    for index, prompts in plan.keyframes.items():
        if is_cancelled(cancel):
            return
        yield index, memory.show(index, prompts)
    first, last = min(plan.keyframes), max(plan.keyframes)
    for step, outermost in ((1, last), (-1, first)):
        absent = 0
        for index in _way(plan, first, step):
            if is_cancelled(cancel):
                return
            found = memory.follow(index, is_reverse=step < 0)
            if not found.is_empty:
                yield index, found
            is_beyond = (index - outermost) * step > 0
            absent = absent + 1 if found.is_empty and is_beyond else 0
            if patience is not None and absent >= patience:
                break


def _way(plan: Plan, first: int, step: int) -> Iterator[int]:
    """Slices without keyframes from the first keyframe on, in a direction; an absent one is a wall.

    Behind a wall it goes on from the next keyframe.
    """
    index, is_open = first, True
    while True:
        index += step
        if not plan.start <= index < plan.stop and not _lies_ahead(plan, index, step):
            return
        if index in plan.keyframes:
            is_open = True
        elif index in plan.absent:
            is_open = False
            if not _lies_ahead(plan, index, step):
                return
        elif is_open and plan.start <= index < plan.stop:
            yield index


def _lies_ahead(plan: Plan, index: int, step: int) -> bool:
    return any((keyframe - index) * step > 0 for keyframe in plan.keyframes)


class _Memory:
    """One object's track through the slices of a plan."""

    def __init__(self, predictor: SlicePredictor, plan: Plan) -> None:
        self.predictor, self.plan = predictor, plan
        self.shape = predictor.volume.plane_shape(plan.axis)
        model: Any = predictor.model
        self.field = model.field_of(self.shape)
        self.track = model.track(predictor.volume.n_slices(plan.axis))
        self._digest = hashlib.blake2b(digest_size=16)

    def show(self, index: int, prompts: tuple[Prompt, ...]) -> SlicePrediction:
        """Condition on a keyframe."""
        found = self.predictor.from_prompts(self.plan.axis, index, prompts)
        self._digest.update(found.key)
        embedding = self._embed(index)
        if any(isinstance(prompt, MaskPrompt) for prompt in prompts):
            self.track.add_mask(index, embedding, found.mask)
        else:
            self.track.add_prompts(index, embedding, self._field_prompts(prompts))
        return found

    def follow(self, index: int, *, is_reverse: bool) -> SlicePrediction:
        """See what has become of the object on a slice."""
        prompts = self.plan.corrections.get(index, ())
        corrections = self._field_prompts(prompts) if prompts else None
        seen = self.track.step(
            index, self._embed(index), is_reverse=is_reverse, corrections=corrections
        )
        self.predictor.decoded += 1
        self.track.forget((index, min(self.plan.keyframes)))
        self._digest.update(repr((index, is_reverse, prompts)).encode())
        return SlicePrediction(
            key=self._digest.digest(),
            index=index,
            plane_shape=self.shape,
            field=self.field,
            logits=seen.logits,
            score=seen.score,
            presence=seen.presence,
        )

    def _embed(self, index: int) -> Any:
        return self.predictor.embed(self.plan.axis, index, self.field)

    def _field_prompts(self, prompts: tuple[Prompt, ...]) -> FieldPrompts:
        """All prompts of a slice at once: the latest box, every point, strokes as points."""
        points: list[tuple[float, float]] = []
        signs: list[bool] = []
        box = None
        for prompt in prompts:
            if isinstance(prompt, BoxPrompt):
                box = prompt.yxyx
            elif isinstance(prompt, PointPrompt):
                points.append(prompt.yx)
                signs.append(prompt.positive)
            elif isinstance(prompt, ScribblePrompt):
                drawn = sample_scribble(prompt.points_yx, SCRIBBLE_POINTS)
                points += [(float(y), float(x)) for y, x in drawn]
                signs += [prompt.positive] * len(drawn)
        size = self.predictor.model.input_size
        placed = self.field.to_field(np.array(points).reshape(-1, 2), size)
        return FieldPrompts(
            points_yx=tuple((float(y), float(x)) for y, x in placed),
            is_positive=tuple(signs),
            box_yxyx=None if box is None else box_to_field(box, self.field, size),
        )
