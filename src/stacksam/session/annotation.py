"""What users do to a session's facts: prompts, objects, window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stacksam.core.cleanup import CleanUp
from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    check_axis,
    check_box,
    check_mask,
    check_scribble,
    point_on_axis,
)
from stacksam.core.windows import WindowSpec, resolve_window
from stacksam.io.prompt_files import PromptFile
from stacksam.session import edits, importing
from stacksam.session.record import Record, name_of
from stacksam.session.state import new_object


class Annotation(Record):
    """The part of `Session` that edits; nothing here needs a model."""

    def add_point(
        self, object_id: int, zyx: Sequence[float], positive: bool = True, axis: int = 0
    ) -> int:
        """Click on an object, or beside it.

        Parameters
        ----------
        object_id : int
            At least 1; a new id begins a new object.
        zyx : (z, y, x)
            In voxels; integers are voxel centres.
        positive : bool
            False: this place does not belong to the object.
        axis : {0, 1, 2}
            The point counts for the slice across this axis.

        Returns
        -------
        prompt_id : int

        Raises
        ------
        ValueError
            If the point is not finite or outside the volume.
        """
        index, yx = point_on_axis(zyx, axis, self.volume.shape)
        return self._add(object_id, lambda i, o: PointPrompt(i, o, axis, index, yx, bool(positive)))

    def add_box(self, object_id: int, index: int, yxyx: Sequence[float], axis: int = 0) -> int:
        """Draw a box around an object on a slice.

        Parameters
        ----------
        object_id, index : int
        yxyx : (y0, x0, y1, x1)
            Half-open, in the slice's remaining axes in ascending order; clipped to the slice.
        axis : {0, 1, 2}

        Returns
        -------
        prompt_id : int
        """
        index = edits.check_slice(self.volume, index, axis)
        box = check_box(yxyx, self.volume.plane_shape(axis))
        return self._add(object_id, lambda i, o: BoxPrompt(i, o, axis, index, box))

    def add_scribble(
        self,
        object_id: int,
        index: int,
        points_yx: Sequence[Sequence[float]],
        positive: bool = True,
        width: float = 3,
        axis: int = 0,
    ) -> int:
        """Draw a stroke over an object, or over what does not belong to it.

        Parameters
        ----------
        object_id, index : int
        points_yx : sequence of (y, x)
        positive : bool
        width : float
            In pixels, at least 1.
        axis : {0, 1, 2}

        Returns
        -------
        prompt_id : int
        """
        index = edits.check_slice(self.volume, index, axis)
        points, width = check_scribble(points_yx, self.volume.plane_shape(axis), width)
        return self._add(
            object_id,
            lambda i, o: ScribblePrompt(i, o, axis, index, points, bool(positive), width),
        )

    def add_mask(self, object_id: int, index: int, mask: np.ndarray, axis: int = 0) -> int:
        """Give a slice's mask, which is then kept exactly.

        Parameters
        ----------
        object_id, index : int
        mask : ndarray of shape (H, W), bool
            All-False says that the object is absent on this slice.
        axis : {0, 1, 2}

        Returns
        -------
        prompt_id : int
        """
        index = edits.check_slice(self.volume, index, axis)
        mask = check_mask(mask, self.volume.plane_shape(axis))
        return self._add(object_id, lambda i, o: MaskPrompt.from_array(i, o, axis, index, mask))

    def move_prompt(self, prompt_id: int, **place: Any) -> int:
        """Put a prompt elsewhere: one step, the same id, the same place in the order.

        Parameters
        ----------
        prompt_id : int
        **place
            ``zyx=`` of a point, ``yxyx=`` of a box, ``points_yx=`` of a scribble. A point may go
            to another slice.

        Returns
        -------
        prompt_id : int

        Raises
        ------
        ValueError
            If the place does not fit the kind of prompt or the volume.
        """
        before = self._state.prompts.get(prompt_id)
        prompt = edits.moved(before, self.volume, place)
        prompts = edits.with_moved(self._state.prompts, prompt)
        text = self._text(f"move {prompt.kind} of", prompt.object_id)
        self._do(text, self._state.with_prompts(prompts))
        return prompt_id

    def remove_prompt(self, prompt_id: int) -> None:
        """Take a prompt back; ValueError if there is none of this id."""
        prompt = self._state.prompts.get(prompt_id)
        text = self._text(f"remove {prompt.kind} from", prompt.object_id)
        self._do(text, self._state.with_prompts(self._state.prompts.without(prompt_id)))

    def clear(self, object_id: int, index: int | None = None, axis: int = 0) -> None:
        """Take back an object's prompts, or those on one slice."""
        self._object(object_id)
        cleared = self._state.prompts.cleared(object_id, index, None if index is None else axis)
        self._do(self._text("clear", object_id), self._state.with_prompts(cleared))

    def load(self, given: PromptFile) -> None:
        """Take over the prompts and names of a prompts file, as one step of the history.

        Raises
        ------
        ValueError
            If the session already has objects.
        """
        if self._state.objects:
            raise ValueError("the session already has objects; load a prompts file into a new one")
        state = self._state
        for object_id in given.prompts.object_ids:
            info = new_object(object_id)
            state = state.with_object(replace(info, name=given.names.get(object_id) or info.name))
        self._do("load prompts", state.with_prompts(given.prompts))

    def new_object(self, name: str | None = None) -> int:
        """Begin an object without prompts, which becomes the active one.

        Returns
        -------
        object_id : int
            Never used before in this session.
        """
        info = new_object(self._next_object_id)
        info = replace(info, name=str(name) if name else info.name)
        self._do(f"new object {info.name}", self._state.with_object(info))
        self.active_object = info.object_id
        return info.object_id

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and, if it was committed, its label."""
        info, text = self._object(object_id), self._text("delete", object_id)
        change = None if info.label_id is None else self._labels.erase(info.label_id)
        state = self._state.without_object(object_id)
        self._do(text, state, change=change, object_id=object_id, how={"remove": object_id})

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name."""
        self._set("rename", object_id, name=str(name))

    def set_locked(self, object_id: int, is_locked: bool) -> None:
        """Protect an object's committed voxels from others, or no longer."""
        self._set("lock" if is_locked else "unlock", object_id, is_locked=bool(is_locked))

    def set_color(self, object_id: int, color: Sequence[float]) -> None:
        """Give an object a colour (red, green, blue), each in [0, 1]."""
        self._set("colour of", object_id, color=edits.check_color(color))

    def set_clean_up(self, object_id: int, clean_up: CleanUp | None) -> None:
        """Say what is done to each mask of an object, except to those that the user gave.

        Raises
        ------
        ValueError
            If it needs millimetres and the image's spacing is unknown.
        """
        needs_mm = clean_up is not None and clean_up.min_size_unit == "mm" and clean_up.min_size
        if needs_mm and self.volume.spacing_zyx is None:
            raise ValueError(
                "a smallest size in mm needs a spacing, which this image lacks; use pixels"
            )
        settings = None if clean_up is None or clean_up.is_off else clean_up
        self._set("clean up", object_id, clean_up=settings)

    def set_window(self, window: WindowSpec) -> None:
        """Let the model see other grey values; results stay until they are computed again."""
        limits = resolve_window(self.volume, window)
        self._do("window", replace(self._state, window=limits, window_name=name_of(window)))

    def import_labels(
        self,
        labels: np.ndarray,
        axis: int = 0,
        as_keyframes: bool = False,
        object_id: int | None = None,
    ) -> list[int]:
        """Take over labels made elsewhere, as one step.

        Parameters
        ----------
        labels : ndarray of shape (Z, Y, X), integer or bool
            0 is background.
        axis : {0, 1, 2}
            Of the slices that become keyframes.
        as_keyframes : bool
            False: each label becomes a committed object of its own, under the same label where it
            is free. True: each slice of a label becomes a mask that the user gave.
        object_id : int, optional
            Of the object that gets all keyframes, whatever their label; by default each label
            becomes an object.

        Returns
        -------
        object_ids : list of int
            In ascending order of the labels.

        Raises
        ------
        ValueError
            If the shape is not the volume's, a label is negative, or there is none.
        TypeError
            If the labels are not whole numbers.
        """
        labels = importing.check_labels(labels, self.volume)
        locked = {o.label_id for o in self._state.objects.values() if o.label_id and o.is_locked}
        state, next_id = self._state, self._next_object_id
        if not as_keyframes:
            state, ids, painted = importing.with_objects(state, labels, next_id)
            change = self._labels.paint(painted, locked)
            self._do("import labels", state, change, ids[0], how={"import": ids})
        elif object_id is None:
            groups = {next_id + k: [v] for k, v in enumerate(importing.values_in(labels))}
            ids = self._add_keyframes(labels, check_axis(axis), groups)
        else:
            groups = {edits.check_object_id(object_id): importing.values_in(labels)}
            ids = self._add_keyframes(labels, check_axis(axis), groups)
        return ids

    def _add_keyframes(
        self, labels: np.ndarray, axis: int, groups: dict[int, list[int]]
    ) -> list[int]:
        """Make masks of labels prompts, one step; `groups` says which labels an object gets."""
        state = importing.with_keyframes(self._state, labels, axis, groups, self._next_prompt_id)
        self._do(f"import keyframes of {edits.names_of(state.objects, list(groups))}", state)
        return list(groups)

    def _add(self, object_id: int, make: Callable[[int, int], Prompt]) -> int:
        """Add the prompt made from a new prompt id and a checked object id."""
        object_id = edits.check_object_id(object_id)
        prompt = make(self._next_prompt_id, object_id)
        state = self._state
        if object_id not in state.objects:
            state = state.with_object(new_object(object_id))
        text = f"add {prompt.kind} to {state.objects[object_id].name}"
        self._do(text, state.with_prompts(state.prompts.with_prompt(prompt)))
        return prompt.prompt_id

    def _set(self, verb: str, object_id: int, **facts: Any) -> None:
        """Change what is known of an object."""
        info = replace(self._object(object_id), **facts)
        self._do(self._text(verb, object_id), self._state.with_object(info))
