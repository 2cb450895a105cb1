"""What can be taken back: one list of steps, whatever they did."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stacksam.core.prompts import MaskPrompt, Prompt, ScribblePrompt
from stacksam.session.labels import LabelsChange
from stacksam.session.state import State

BUDGET = 256 * 2**20
"""Bytes that steps may hold; beyond it the oldest ones are forgotten."""

BYTES_PER_STEP = 1024
"""Of a step's small parts."""

BYTES_PER_OBJECT, BYTES_PER_PROMPT = 100, 8
"""Of the lists in a state that names other objects, or other prompts, than the one before it."""


@dataclass(frozen=True)
class Step:
    """One undoable step: the facts before and after it, and what it did to the labels.

    Attributes
    ----------
    text : str
        For a menu, such as ``propagate liver``.
    before, after : State
    change : LabelsChange or None
    object_id : int
        Whose labels changed.
    how : dict or None
        What to call to compute the step again, if it was computed; see `replay`.
    """

    text: str
    before: State
    after: State
    change: LabelsChange | None = None
    object_id: int = 0
    how: dict[str, Any] | None = None

    def reversed(self) -> Step:
        """The step that takes this one back."""
        change = None if self.change is None else self.change.reversed()
        return Step(self.text, self.after, self.before, change, self.object_id)

    @cached_property
    def nbytes(self) -> int:
        """About what only this step keeps in memory."""
        before, after = self.before, self.after
        size = BYTES_PER_STEP + (self.change.nbytes if self.change else 0)
        if before.objects is not after.objects:
            size += BYTES_PER_OBJECT * len(after.objects)
        if before.prompts is not after.prompts:
            old, new = ({id(p): p for p in state.prompts} for state in (before, after))
            known, differing = old | new, old.keys() ^ new.keys()
            size += sum(_bytes_of(known[i]) for i in differing)
            size += BYTES_PER_PROMPT * len(new)
        for some, others in ((before.results, after.results), (after.results, before.results)):
            size += sum(r.result.nbytes for i, r in some.items() if others.get(i) is not r)
        return size


@dataclass
class History:
    """Steps that were done and steps that were undone, newest last.

    Parameters
    ----------
    budget : int
        In bytes. The newest step is kept however large it is.
    """

    budget: int = BUDGET
    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)
    used: int = 0

    def add(self, step: Step) -> None:
        """A new step; what was undone before it is gone."""
        self.used += step.nbytes - sum(undone.nbytes for undone in self.undone)
        self.undone.clear()
        self.done.append(step)
        while self.used > self.budget and len(self.done) > 1:
            self.used -= self.done.pop(0).nbytes

    def undo(self) -> Step | None:
        """The step that takes the last one back, None if there is none."""
        if not self.done:
            return None
        self.undone.append(self.done.pop())
        return self.undone[-1].reversed()

    def redo(self) -> Step | None:
        """The step that was undone last, None if there is none."""
        if not self.undone:
            return None
        self.done.append(self.undone.pop())
        return self.done[-1]


def _bytes_of(prompt: Prompt) -> int:
    """Of a mask or a stroke; what else there is to a prompt is small."""
    if isinstance(prompt, MaskPrompt):
        return len(prompt.packed)
    return 120 * len(prompt.points_yx) if isinstance(prompt, ScribblePrompt) else 0
