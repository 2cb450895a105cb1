"""What a session knows and can take back: its facts, its labels, its history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from stacksam.core.prompts import PromptSet
from stacksam.core.volume import Volume
from stacksam.core.windows import Window, WindowSpec, resolve_window
from stacksam.session.history import History, Step
from stacksam.session.labels import LabelImage, LabelsChange
from stacksam.session.lines import Entry, Log, entry_of, now
from stacksam.session.state import ObjectInfo, State

if TYPE_CHECKING:
    from stacksam.session.journal import Journal


class Record:
    """The evented base of `Session`: every change of a fact is one step, and none is computed here.

    Parameters
    ----------
    volume : Volume
    window : str, (low, high) or Window
        See `resolve_window`.
    """

    prompts_changed = Signal(int)
    objects_changed = Signal(int)
    labels_changed = Signal(int)
    results_changed = Signal(int)
    active_changed = Signal()
    window_changed = Signal()
    history_changed = Signal()
    journal_failed = Signal(str)

    def __init__(self, volume: Volume, window: WindowSpec = "auto") -> None:
        self.volume = volume
        self._state = State(resolve_window(volume, window), window_name=name_of(window))
        self._labels = LabelImage(volume.shape)
        self._history = History()
        self._next_prompt_id = 1
        self._next_object_id = 1
        self._active: int | None = None
        self._hidden: frozenset[int] = frozenset()
        self._listed: tuple[State, frozenset[int], dict[int, ObjectInfo]] | None = None
        self._log = Log()
        self._journal: Journal | None = None
        self._trouble = ""

    @property
    def window(self) -> Window:
        """What the model sees as black and as white."""
        return self._state.window

    @property
    def window_name(self) -> str:
        """What `window` was asked for as, such as ``auto``; empty for (low, high)."""
        return self._state.window_name

    @property
    def objects(self) -> dict[int, ObjectInfo]:
        """Objects by id, in the order in which they were begun."""
        state, hidden = self._state, self._hidden
        if self._listed is None or self._listed[0] is not state or self._listed[1] is not hidden:
            prompts = state.prompts.by_object()
            listed = {
                i: replace(info, prompts=prompts.get(i, ()), is_visible=i not in hidden)
                for i, info in state.objects.items()
            }
            self._listed = state, hidden, listed
        return dict(self._listed[2])

    @property
    def labels(self) -> np.ndarray:
        """ndarray of shape (Z, Y, X), unsigned: the committed objects. Do not write into it."""
        return self._labels.data

    @property
    def active_object(self) -> int | None:
        """The object that new prompts are meant for; not part of the history."""
        return self._active

    @active_object.setter
    def active_object(self, object_id: int | None) -> None:
        if object_id is not None:
            self._object(object_id)
        if object_id != self._active:
            self._active = object_id
            self.active_changed.emit()

    def set_visible(self, object_id: int, is_visible: bool) -> None:
        """Show or hide an object; not part of the history."""
        self._object(object_id)
        hidden = self._hidden - {object_id} if is_visible else self._hidden | {object_id}
        if hidden != self._hidden:
            self._hidden = hidden
            self._write_down({"kind": "hidden", "time": now(), "ids": sorted(hidden)})
            self.objects_changed.emit(object_id)

    def undo(self) -> bool:
        """Take back the last step, whatever it was; False if there is none."""
        return self._travel("undo", self._history.undo())

    def redo(self) -> bool:
        """Do again what was undone last; False if there is nothing."""
        return self._travel("redo", self._history.redo())

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._history.undone)

    @property
    def undo_text(self) -> str:
        """What `undo` would take back, such as ``propagate liver``; empty if nothing."""
        return self._history.done[-1].text if self._history.done else ""

    @property
    def redo_text(self) -> str:
        """What `redo` would do again; empty if nothing."""
        return self._history.undone[-1].text if self._history.undone else ""

    def _do(
        self,
        text: str,
        state: State,
        change: LabelsChange | None = None,
        object_id: int = 0,
        how: dict[str, Any] | None = None,
    ) -> bool:
        """Make a state the present one: one step, unless nothing differs.

        The change of the labels has been made already.
        """
        if change is not None and change.is_empty:
            change = None
        if state == self._state and change is None:
            return False
        step = Step(text, self._state, state, change, object_id, how)
        self._history.add(step)
        self._take("step", step)
        return True

    def _travel(self, kind: str, step: Step | None) -> bool:
        if step is None:
            return False
        if step.change is not None:
            self._labels.apply(step.change)
        self._take(kind, step)
        return True

    def _take(self, kind: str, step: Step) -> None:
        """Let a step's outcome be the present, and say what differs."""
        self._state = step.after
        self._next_prompt_id = max(self._next_prompt_id, step.after.prompts.next_id)
        self._next_object_id = max(self._next_object_id, 1 + max(step.after.objects, default=0))
        self._note(kind, step)
        self._announce(step)

    def _note(self, kind: str, step: Step) -> None:
        entry = entry_of(kind, step) | {"next": [self._next_prompt_id, self._next_object_id]}
        self._write_down(entry, step, is_urgent=step.change is not None)

    def _write_down(self, entry: Entry, step: Step | None = None, is_urgent: bool = False) -> None:
        """Remember what happened, and have it journalled; urgent is what must not be lost."""
        self._log.append(entry)
        if self._journal is None:
            return
        self._journal.put(entry, step, is_urgent)
        if self._journal.trouble != self._trouble:
            self._trouble = self._journal.trouble
            self.journal_failed.emit(self._trouble)

    def _announce(self, step: Step) -> None:
        before, after = step.before, step.after
        prompted = _prompted_otherwise(before.prompts, after.prompts)
        for object_id in dict.fromkeys([*before.objects, *after.objects]):
            if before.objects.get(object_id) != after.objects.get(object_id):
                self.objects_changed.emit(object_id)
            if object_id in prompted:
                self.prompts_changed.emit(object_id)
            if _shown(before, object_id) != _shown(after, object_id):
                self.results_changed.emit(object_id)
        if step.change is not None:
            self.labels_changed.emit(step.object_id)
        if (before.window, before.window_name) != (after.window, after.window_name):
            self.window_changed.emit()
        if self._active is not None and self._active not in after.objects:
            self.active_object = None
        elif len(new := after.objects.keys() - before.objects.keys()) == 1:
            self.active_object = next(iter(new))
        self.history_changed.emit()

    def _object(self, object_id: int) -> ObjectInfo:
        try:
            return self._state.objects[object_id]
        except KeyError:
            raise ValueError(f"there is no object {object_id}; add a prompt for it first") from None

    def _text(self, verb: str, *object_ids: int) -> str:
        """What a menu calls a step."""
        if len(object_ids) != 1:
            return f"{verb} {len(object_ids)} objects"
        info = self._state.objects.get(object_ids[0])
        return f"{verb} {info.name if info else f'object {object_ids[0]}'}"


def _prompted_otherwise(before: PromptSet, after: PromptSet) -> set[int]:
    """Objects whose prompts differ."""
    if before is after:
        return set()
    known, new = before.by_object(), after.by_object()
    return {i for i in [*known, *new] if known.get(i) != new.get(i)}


def name_of(window: WindowSpec) -> str:
    """The window's name, empty where it was given by its limits."""
    return window if isinstance(window, str) else ""


def _shown(state: State, object_id: int) -> tuple[Any, Any]:
    """What a viewer shows of an object besides its labels."""
    info = state.objects.get(object_id)
    return state.results.get(object_id), None if info is None else info.clean_up
