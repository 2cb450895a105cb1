"""What a session has to compute, frozen, so that one other thread may run it.

A job holds the prompts, the window and the model as they were when it was made and never looks at
the session again; the session takes what it found if nothing of that has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from stacksam.core.cancelling import is_cancelled
from stacksam.core.cleanup import CleanUp
from stacksam.core.masks import Box
from stacksam.core.prompts import Prompt, PromptSet
from stacksam.propagation import (
    Contest,
    Plan,
    SliceMask,
    SlicePrediction,
    SlicePredictor,
    agree,
    make_plan,
    run_plans,
    run_slice,
    says_where,
    smooth_stack,
)
from stacksam.propagation.box_limit import cut
from stacksam.session.results import PropagationResult

ZRange = tuple[int, int]


@dataclass(frozen=True)
class SliceJob:
    """One object on one slice.

    Attributes
    ----------
    object_id, index, axis : int
    prompts : tuple of Prompt
        On this slice.
    plan : Plan or None
        Of the object in the stack, where the slice's prompts correct what arrives from a
        neighbour; None where they count alone.
    predictor : SlicePredictor
        Volume, window and model.
    """

    object_id: int
    index: int
    axis: int
    prompts: tuple[Prompt, ...]
    plan: Plan | None
    predictor: SlicePredictor = field(repr=False)

    def run(self, cancel: Event | None = None) -> SlicePrediction:
        """Compute; any one thread may.

        Raises
        ------
        ValueError
            If the prompts do not say where the object is, nor does a neighbour.
        """
        if self.plan is not None:
            found = run_slice(self.predictor, self.plan, self.index, cancel)
            if found is not None:
                return found
        return self.predictor.from_prompts(self.axis, self.index, self.prompts)


def slice_job(
    predictor: SlicePredictor,
    prompts: PromptSet,
    object_id: int,
    index: int,
    axis: int,
    in_stack: bool,
) -> SliceJob:
    """Make a job for a slice.

    Parameters
    ----------
    predictor : SlicePredictor
    prompts : PromptSet
        Of the whole session.
    object_id, index, axis : int
    in_stack : bool
        Whether points on a slice that another one's prompts reach correct what arrives there, as
        in a propagation. Otherwise the slice's prompts count alone.

    Raises
    ------
    ValueError
        If no prompt says where the object is.
    """
    here = prompts.on_slice(object_id, index, axis)
    plan = None
    if in_stack and here:
        whole = _plan_or_none(prompts, object_id, axis, predictor.volume.n_slices(axis))
        plan = whole if whole is not None and index in whole.corrections else None
    if plan is None and not any(map(says_where, here)):
        raise ValueError(
            f"slice {index} has no box, mask or positive point of this object; add one first"
        )
    return SliceJob(object_id, index, axis, here, plan, predictor)


def _plan_or_none(prompts: PromptSet, object_id: int, axis: int, n_slices: int) -> Plan | None:
    try:
        return make_plan(prompts, object_id, axis, n_slices)
    except ValueError:
        return None


@dataclass(frozen=True)
class Finish:
    """What is done to a whole object once it has been carried through the stack.

    Parameters
    ----------
    consensus : bool
        Keep what the model finds from at least two of the three sides; see `agree`.
    smooth : float
        Smooth in 3D, in pixels of the finest axis; see `smooth_stack`. 0 is off.

    Raises
    ------
    ValueError
        If `smooth` is negative or not finite.
    """

    consensus: bool = False
    smooth: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.smooth < float("inf"):
            raise ValueError(f"smooth is {self.smooth}; it has to be a finite number, at least 0")

    @property
    def is_off(self) -> bool:
        """True if objects stay as they are."""
        return not (self.consensus or self.smooth)


@dataclass(frozen=True)
class PropagationTask:
    """One object of a job: its prompts, what they say about the slices, and its clean-up."""

    prompts: PromptSet
    plan: Plan
    clean_up: CleanUp | None = None


def propagation_job(
    predictor: SlicePredictor,
    prompts: Mapping[int, PromptSet],
    axis: int,
    z_range: ZRange | None = None,
    sensitivity: float = 0.5,
    clean_up: Mapping[int, CleanUp | None] | None = None,
    finish: Finish | None = None,
    boxes: Mapping[int, Box] | None = None,
) -> PropagationJob:
    """Make a job for several objects.

    Parameters
    ----------
    predictor : SlicePredictor
    prompts : mapping of object id to PromptSet
        Of each object alone.
    axis, z_range, sensitivity
        See `make_plan`.
    clean_up : mapping of object id to CleanUp or None, optional
    finish : Finish, optional
    boxes : mapping of object id to (y0, x0, y1, x1), optional
        Pixels that an object is kept in on every slice; see `box_limits`.

    Raises
    ------
    ValueError
        If an object has nothing along this axis that says where it is.
    """
    count, settings, limits = predictor.volume.n_slices(axis), clean_up or {}, boxes or {}
    tasks = {}
    for object_id, given in prompts.items():
        plan = make_plan(given, object_id, axis, count, z_range, sensitivity)
        plan = replace(plan, box=limits.get(object_id))
        tasks[object_id] = PropagationTask(given, plan, settings.get(object_id))
    return PropagationJob(tasks, axis, z_range, sensitivity, predictor, finish or Finish())


@dataclass(frozen=True, eq=False)
class PropagationJob:
    """Several objects along one axis, side by side.

    Attributes
    ----------
    tasks : mapping of object id to PropagationTask
    axis : int
    z_range : (start, stop) or None
    sensitivity : float
    predictor : SlicePredictor
    finish : Finish
    """

    tasks: Mapping[int, PropagationTask]
    axis: int
    z_range: ZRange | None
    sensitivity: float
    predictor: SlicePredictor = field(repr=False)
    finish: Finish = Finish()
    _found: list[tuple[int, int, SliceMask]] = field(default_factory=list, repr=False)
    _contest: Contest = field(default_factory=Contest, repr=False)
    _decoded: dict[int, int] = field(default_factory=dict, repr=False)
    _finished: set[int] = field(default_factory=set, repr=False)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """In the order in which they are computed."""
        return tuple(self.tasks)

    @property
    def n_slices(self) -> int:
        """How many slices `run` yields at most."""
        count = self.predictor.volume.n_slices(self.axis)
        low, high = (0, count) if self.z_range is None else self.z_range
        inside = range(max(low, 0), min(high, count))
        return sum(
            len(inside) + sum(k not in inside for k in task.plan.keyframes)
            for task in self.tasks.values()
        )

    def run(self, cancel: Event | None = None) -> Iterator[tuple[int, int, SliceMask]]:
        """Compute, once; any one thread may.

        Parameters
        ----------
        cancel : Event, optional
            Checked before each slice. What was yielded until then stays valid.

        Yields
        ------
        object_id, index, found : int, int, SliceMask
            ``found.mask`` (H, W) bool is cleaned up, ``found.confidence`` in [0, 1]. A slice comes
            a second time, perhaps empty, where `finish` has changed it. Pixels that several objects
            claim are shared out at the end, see `results`.
        """
        spacing = self.predictor.volume.plane_spacing(self.axis)
        plans = {object_id: task.plan for object_id, task in self.tasks.items()}
        decoded, object_id = self.predictor.decoded, 0
        for object_id, index, prediction in run_plans(self.predictor, plans, self._contest, cancel):
            task, decoded = self.tasks[object_id], self._count(object_id, decoded)
            found = _inside(task.plan, index, SliceMask.from_prediction(prediction))
            if found is None:
                continue
            self._found.append((object_id, index, found))
            yield object_id, index, found.cleaned(task.clean_up, spacing)
            self.predictor.sweep()
        self._count(object_id, decoded)
        for object_id, task in self.tasks.items():
            if is_cancelled(cancel):
                return
            decoded = self.predictor.decoded
            for index, found in self._finish_object(object_id, task.plan, cancel):
                yield object_id, index, found.cleaned(task.clean_up, spacing)
            self._count(object_id, decoded)
            self._finished.add(object_id)

    def _count(self, object_id: int, before: int) -> int:
        """Add what was decoded since to an object's account; a look beyond goes to the next one."""
        now = self.predictor.decoded
        self._decoded[object_id] = self._decoded.get(object_id, 0) + now - before
        return now

    def _finish_object(
        self, object_id: int, plan: Plan, cancel: Event | None
    ) -> list[tuple[int, SliceMask]]:
        """Apply `finish` to an object; the slices that it changed."""
        if self.finish.is_off:
            return []
        before = {index: found for i, index, found in self._found if i == object_id}
        after = before
        if self.finish.consensus:
            after = agree(self.predictor, plan, after, cancel)
        if self.finish.smooth:
            kept = plan.keyframes.keys() | plan.corrections.keys()
            spacing = self.predictor.volume.spacing_zyx
            after = smooth_stack(after, self.axis, self.finish.smooth, kept, spacing)
        limited = {index: _inside(plan, index, found) for index, found in after.items()}
        after = {index: found for index, found in limited.items() if found is not None}
        others = [found for found in self._found if found[0] != object_id]
        self._found[:] = others + [(object_id, index, found) for index, found in after.items()]
        gone = {i: replace(before[i], box=None, packed=b"") for i in before.keys() - after.keys()}
        now = after | gone
        return [(i, now[i]) for i in sorted(now) if now[i] != before.get(i)]

    def run_all(
        self, progress: Callable[[int, int], None] | None = None, cancel: Event | None = None
    ) -> None:
        """Run to the end, or until cancelled.

        Parameters
        ----------
        progress : callable, optional
            Called with (slices done, slices at most), all objects together.
        cancel : Event, optional
        """
        total = self.predictor.volume.n_slices(self.axis) * len(self.tasks)
        for done, _ in enumerate(self.run(cancel), start=1):
            if progress:
                progress(min(done, total), total)
        if progress and self._finished == self.tasks.keys():
            progress(total, total)

    def keep(self, found: Mapping[int, Collection[int]]) -> None:
        """Forget what was found of some objects on other than these slices."""
        kept = [f for f in self._found if f[0] not in found or f[1] in found[f[0]]]
        self._found[:] = kept
        self._finished.difference_update(found)

    def empty_result(self, object_id: int) -> PropagationResult:
        """The result of an object of which no slice was computed."""
        keyframes = self.tasks[object_id].prompts.touched_slices(object_id, self.axis)
        shape = self.predictor.volume.shape
        return PropagationResult(self.axis, shape, {}, keyframes, object_id in self._finished)

    def results(self) -> dict[int, PropagationResult]:
        """What was found until now, before clean-up; each contested pixel goes to one object.

        Objects that no slice was computed of are left out.
        """
        found: dict[int, dict[int, SliceMask]] = {}
        for object_id, index, mask in tuple(self._found):
            found.setdefault(object_id, {})[index] = mask
        keyframes = {i: self.tasks[i].prompts.touched_slices(i, self.axis) for i in found}
        return {
            object_id: PropagationResult(
                self.axis,
                self.predictor.volume.shape,
                slices,
                keyframes[object_id],
                complete=object_id in self._finished,
                decoded=self._decoded.get(object_id, 0),
            )
            for object_id, slices in self._contest.share_out(found, keyframes).items()
        }


def _inside(plan: Plan, index: int, found: SliceMask) -> SliceMask | None:
    """What lies in the plan's box; None where that is nothing, unless it is a keyframe."""
    if plan.box is None:
        return found
    found = cut(found, plan.box)
    return None if found.is_empty and index not in plan.keyframes else found
