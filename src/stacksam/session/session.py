"""The one engine under command line, notebooks and plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from psygnal import Signal

from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptSet,
    ScribblePrompt,
    check_axis,
    check_box,
    check_index,
    check_mask,
    check_scribble,
    point_on_axis,
)
from stacksam.core.volume import Volume
from stacksam.core.windows import Window, WindowSpec, resolve_window
from stacksam.io.prompt_files import PromptFile
from stacksam.propagation import (
    SlicePrediction,
    SlicePredictor,
    make_plan,
    run_plan,
    says_where,
    share_out,
)
from stacksam.sam import Predictor
from stacksam.session.labels import LabelImage, LabelsChange
from stacksam.session.results import Prediction, PropagationResult
from stacksam.session.state import ObjectInfo, State, new_object

Progress = Callable[[int, int], None]
ZRange = tuple[int, int]


@dataclass(frozen=True)
class _Step:
    """One undoable step: the facts before and after it, and what it did to an object's label."""

    before: State
    after: State
    change: LabelsChange | None = None
    object_id: int = 0


class Session:
    """Prompts in, labels out, for one volume seen through one window with one model.

    One thread owns a session. What it computes follows from the ordered prompts alone.

    Parameters
    ----------
    volume : Volume
    model : Predictor
        From `stacksam.load_model`.
    window : str, (low, high) or Window
        See `resolve_window`.

    Attributes
    ----------
    prompts_changed, objects_changed, labels_changed : psygnal signals
        Fire in the owner's thread after the fact, with the object's id.

    Examples
    --------
    >>> import stacksam
    >>> image = np.zeros((3, 64, 64), np.uint8)
    >>> image[:, 20:40, 20:44] = 200
    >>> session = stacksam.Session(stacksam.Volume(image), stacksam.load_model("compact"))
    >>> prompt_id = session.add_box(1, 1, (19, 19, 41, 45))
    >>> result = session.propagate(1)
    >>> session.commit(1)
    1
    """

    prompts_changed = Signal(int)
    objects_changed = Signal(int)
    labels_changed = Signal(int)

    def __init__(self, volume: Volume, model: Predictor, window: WindowSpec = "auto") -> None:
        self.volume = volume
        self.model = model
        self.window: Window = resolve_window(volume, window)
        self._predictor = SlicePredictor(volume, self.window, model)
        self._labels = LabelImage(volume.shape)
        self._state = State()
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._next_prompt_id = 1
        self._results: dict[int, tuple[PromptSet, PropagationResult]] = {}

    @property
    def objects(self) -> dict[int, ObjectInfo]:
        """Objects by id, in the order in which they were begun."""
        return {
            k: replace(v, prompts=tuple(self._state.prompts.for_object(k)))
            for k, v in self._state.objects.items()
        }

    @property
    def labels(self) -> np.ndarray:
        """ndarray of shape (Z, Y, X), unsigned: the committed objects. Do not write into it."""
        return self._labels.data

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
        return self._add(
            object_id, lambda i: PointPrompt(i, object_id, axis, index, yx, bool(positive))
        )

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
        index = self._check_slice(index, axis)
        box = check_box(yxyx, self.volume.plane_shape(axis))
        return self._add(object_id, lambda i: BoxPrompt(i, object_id, axis, index, box))

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
        index = self._check_slice(index, axis)
        points, width = check_scribble(points_yx, self.volume.plane_shape(axis), width)
        return self._add(
            object_id,
            lambda i: ScribblePrompt(i, object_id, axis, index, points, bool(positive), width),
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
        index = self._check_slice(index, axis)
        mask = check_mask(mask, self.volume.plane_shape(axis))
        return self._add(
            object_id, lambda i: MaskPrompt.from_array(i, object_id, axis, index, mask)
        )

    def load(self, given: PromptFile) -> None:
        """Take over the prompts and names of a prompts file, as one step of the history.

        Raises
        ------
        ValueError
            If the session already has objects.
        """
        if self._state.objects:
            raise ValueError("the session already has objects; load a prompts file into a new one")
        state = replace(self._state, prompts=given.prompts)
        for object_id in given.prompts.object_ids:
            info = new_object(object_id)
            state = state.with_object(replace(info, name=given.names.get(object_id) or info.name))
        self._next_prompt_id = max(self._next_prompt_id, given.prompts.next_id)
        self._change(state)
        for object_id in state.objects:
            self.objects_changed.emit(object_id)
            self.prompts_changed.emit(object_id)

    def remove_prompt(self, prompt_id: int) -> None:
        """Take a prompt back; ValueError if there is none of this id."""
        object_id = self._state.prompts.get(prompt_id).object_id
        self._change(replace(self._state, prompts=self._state.prompts.without(prompt_id)))
        self.prompts_changed.emit(object_id)

    def clear(self, object_id: int, index: int | None = None, axis: int = 0) -> None:
        """Take back an object's prompts, or those on one slice."""
        self._object(object_id)
        cleared = self._state.prompts.cleared(object_id, index, None if index is None else axis)
        if cleared != self._state.prompts:
            self._change(replace(self._state, prompts=cleared))
            self.prompts_changed.emit(object_id)

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and, if it was committed, its label."""
        info = self._object(object_id)
        change = None if info.label_id is None else self._labels.erase(info.label_id)
        had_prompts = bool(len(self._state.prompts.for_object(object_id)))
        self._change(self._state.without_object(object_id), change, object_id)
        self._results.pop(object_id, None)
        self.objects_changed.emit(object_id)
        if had_prompts:
            self.prompts_changed.emit(object_id)
        if change is not None:
            self.labels_changed.emit(object_id)

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name."""
        info = replace(self._object(object_id), name=str(name))
        if info != self._object(object_id):
            self._change(self._state.with_object(info))
            self.objects_changed.emit(object_id)

    def predict(self, object_id: int, index: int, axis: int = 0) -> Prediction:
        """The object on one slice, as the prompts on this slice say.

        Parameters
        ----------
        object_id, index : int
        axis : {0, 1, 2}

        Returns
        -------
        prediction : Prediction

        Raises
        ------
        ValueError
            If the slice has no prompts of the object, or negative ones only.
        """
        self._object(object_id)
        index = self._check_slice(index, axis)
        prompts = self._state.prompts.on_slice(object_id, index, axis)
        found = self._predictor.from_prompts(axis, index, prompts)
        return Prediction(found, lambda mask: self.add_mask(object_id, index, mask, axis))

    def propagate_iter(
        self,
        object_id: int,
        axis: int = 0,
        z_range: ZRange | None = None,
        cancel: Event | None = None,
    ) -> Iterator[tuple[int, np.ndarray, float]]:
        """Carry an object through the stack, slice by slice.

        What was found until the iteration ends is what `commit` writes, as after `propagate`.

        Yields
        ------
        index, mask, score : int, ndarray (H, W) of bool, float
            In the order in which they are computed; slices without the object are left out.
        """
        for index, found in self._run(object_id, axis, z_range, cancel):
            yield index, found.mask, found.confidence

    def propagate(
        self,
        object_id: int | Iterable[int],
        axis: int = 0,
        z_range: ZRange | None = None,
        progress: Progress | None = None,
        cancel: Event | None = None,
    ) -> Any:
        """Carry an object, or several, through the stack.

        Parameters
        ----------
        object_id : int or several ints
            Objects of one call share out the pixels that more than one of them claims.
        axis : {0, 1, 2}
            Along which slices hand masks on.
        z_range : (start, stop), optional
            Half-open limits of the slices to compute.
        progress : callable, optional
            Called with (slices done, slices at most).
        cancel : threading.Event, optional
            Set by another thread to stop; what was found until then is returned.

        Returns
        -------
        result : PropagationResult, or dict of id to PropagationResult for several ids

        Raises
        ------
        ValueError
            If an object has nothing along this axis that says where it is.
        """
        if isinstance(object_id, Iterable):
            ids = list(object_id)
            total = len(ids) * self.volume.n_slices(axis)
            results = {}
            for number, one in enumerate(ids):
                offset = number * self.volume.n_slices(axis)
                report = _offset(progress, offset, total)
                results[one] = self.propagate(one, axis, z_range, report, cancel)
            return self._share_out(results)
        total = self.volume.n_slices(axis)
        for done, _ in enumerate(self._run(object_id, axis, z_range, cancel), start=1):
            if progress:
                progress(done, total)
        _, result = self._results[object_id]
        if progress and result.complete:
            progress(total, total)
        return result

    def _share_out(self, results: dict[int, PropagationResult]) -> dict[int, PropagationResult]:
        """Let objects of one run compete for the pixels they share."""
        shared = share_out(
            {i: result.slices for i, result in results.items()},
            {i: result.keyframes for i, result in results.items()},
        )
        for object_id, slices in shared.items():
            results[object_id] = replace(results[object_id], slices=slices)
            prompts, _ = self._results[object_id]
            self._results[object_id] = (prompts, results[object_id])
        return results

    def _run(
        self, object_id: int, axis: int, z_range: ZRange | None, cancel: Event | None
    ) -> Iterator[tuple[int, SlicePrediction]]:
        """Go through the stack; what was found until the iteration ends is remembered."""
        self._object(object_id)
        axis = check_axis(axis)
        prompts = self._state.prompts.for_object(object_id)
        plan = make_plan(prompts, object_id, axis, self.volume.n_slices(axis), z_range)
        slices: dict[int, SlicePrediction] = {}
        decoded, is_complete = self._predictor.decoded, False
        try:
            for index, found in run_plan(self._predictor, plan, cancel):
                slices[index] = found
                yield index, found
            is_complete = cancel is None or not cancel.is_set()
        finally:
            result = PropagationResult(
                axis,
                self.volume.shape,
                slices,
                prompts.touched_slices(object_id, axis),
                complete=is_complete,
                decoded=self._predictor.decoded - decoded,
            )
            self._results[object_id] = (prompts, result)

    def commit(
        self,
        object_id: int,
        name: str | None = None,
        overwrite: bool = False,
        *,
        label_id: int | None = None,
    ) -> int:
        """Write an object into the labels.

        The last propagation is written if prompts have not changed since; otherwise, and for an
        object that was never propagated, the slices that have prompts.

        Parameters
        ----------
        object_id : int
        name : str, optional
        overwrite : bool
            Whether committed objects give way.
        label_id : int, optional
            By default the object's earlier one, or the next free one.

        Returns
        -------
        label_id : int

        Raises
        ------
        ValueError
            If the label belongs to another object or is below 1, or the object has no prompts that
            say where it is.
        """
        info = self._object(object_id)
        if label_id is None:
            label_id = info.label_id or self._next_label_id()
        others = {
            other.label_id
            for i, other in self._state.objects.items()
            if other.label_id is not None and i != object_id
        }
        if label_id in others:
            raise ValueError(f"label {label_id} belongs to another object; choose a free one")
        mask = self._mask_to_commit(object_id)
        kept = set() if overwrite else others
        change = self._labels.write(mask, label_id, kept, info.label_id)
        new_info = replace(info, name=name or info.name, label_id=label_id, is_locked=True)
        if new_info == info and change.is_empty:
            return label_id
        self._change(self._state.with_object(new_info), change, object_id)
        if new_info != info:
            self.objects_changed.emit(object_id)
        if not change.is_empty:
            self.labels_changed.emit(object_id)
        return label_id

    def _mask_to_commit(self, object_id: int) -> np.ndarray:
        prompts = self._state.prompts.for_object(object_id)
        used, result = self._results.get(object_id, (None, None))
        if result is not None and result.slices and used == prompts:
            return result.mask
        decided = {(p.axis, p.index) for p in prompts if says_where(p)}
        if not decided:
            raise ValueError(
                f"object {object_id} has no box, mask or positive point, so there is nothing to "
                "commit; add one first"
            )
        mask = np.zeros(self.volume.shape, dtype=bool)
        for axis, index in sorted(decided):
            np.moveaxis(mask, axis, 0)[index] |= self.predict(object_id, index, axis).mask
        return mask

    def _next_label_id(self) -> int:
        return 1 + max((o.label_id or 0 for o in self._state.objects.values()), default=0)

    def undo(self) -> bool:
        """Take back the last step (a prompt, a choice, a commit, a removal); False if none is."""
        if not self._done:
            return False
        step = self._done.pop()
        if step.change is not None:
            self._labels.revert(step.change)
        self._undone.append(step)
        self._show(step.before, step)
        return True

    def redo(self) -> bool:
        """Do again what was undone last; False if there is nothing."""
        if not self._undone:
            return False
        step = self._undone.pop()
        if step.change is not None:
            self._labels.apply(step.change)
        self._done.append(step)
        self._show(step.after, step)
        return True

    def save(self, folder: str | Path) -> None:
        """Write prompts, objects and labels into a folder; see `stacksam.session.files`."""
        from stacksam.session.files import save_session

        save_session(self, folder)

    @classmethod
    def restore(
        cls, folder: str | Path, volume: Volume | None = None, model: Predictor | None = None
    ) -> Session:
        """Open a saved session.

        Parameters
        ----------
        folder : path-like
        volume : Volume, optional
            The image it was made on; by default the file of the same name beside the folder.
        model : Predictor, optional
            By default the one of the same name.
        """
        from stacksam.session.files import restore_session

        return restore_session(folder, volume, model)

    def _add(self, object_id: int, make: Callable[[int], Prompt]) -> int:
        if (
            isinstance(object_id, bool)
            or not isinstance(object_id, int | np.integer)
            or object_id < 1
        ):
            raise ValueError(
                f"object id is {object_id!r}; it has to be a whole number of at least 1"
            )
        prompt = make(self._next_prompt_id)
        self._next_prompt_id += 1
        state = self._state
        is_new = object_id not in state.objects
        if is_new:
            state = state.with_object(new_object(int(object_id)))
        self._change(replace(state, prompts=state.prompts.with_prompt(prompt)))
        if is_new:
            self.objects_changed.emit(object_id)
        self.prompts_changed.emit(object_id)
        return prompt.prompt_id

    def _change(self, state: State, change: LabelsChange | None = None, object_id: int = 0) -> None:
        self._done.append(_Step(self._state, state, change, object_id))
        self._undone.clear()
        self._state = state

    def _show(self, state: State, step: _Step) -> None:
        """Take over a state of the history and say what differs."""
        self._state = state
        before, after = step.before, step.after
        prompts_before, prompts_after = before.prompts.by_object(), after.prompts.by_object()
        for object_id in dict.fromkeys([*before.objects, *after.objects]):
            if before.objects.get(object_id) != after.objects.get(object_id):
                self.objects_changed.emit(object_id)
            if prompts_before.get(object_id) != prompts_after.get(object_id):
                self.prompts_changed.emit(object_id)
        if step.change is not None and not step.change.is_empty:
            self.labels_changed.emit(step.object_id)

    def _object(self, object_id: int) -> ObjectInfo:
        try:
            return self._state.objects[object_id]
        except KeyError:
            raise ValueError(f"there is no object {object_id}; add a prompt for it first") from None

    def _check_slice(self, index: int, axis: int) -> int:
        return check_index(index, self.volume.n_slices(check_axis(axis)))


def _offset(progress: Progress | None, offset: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(offset + done, total)
