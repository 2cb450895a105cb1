"""One propagation at a time: slices stream into the preview, and what was found is kept."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive

from stacksam.core.prompts import MaskPrompt
from stacksam.plugin.engine import PROPAGATION

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk

REPORT_SECONDS = 0.1
"""Progress and strip are renewed this often at most."""


class PropagationRun:
    """Starts, shows and stops propagations.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._job: Any = None
        self._cancel = Event()
        self._done = 0
        self._reported = 0.0
        self._goal: int | None = None
        self._then: Callable[[], None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether one is under way."""
        return self._job is not None

    def start(self, request: Any, then: Callable[[], None] | None = None) -> None:
        """Propagate what the panel asks for along the axis of the view.

        Parameters
        ----------
        request : PropagationRequest
        then : callable, optional
            Called at the end, unless the run was cancelled or failed.

        Raises
        ------
        ValueError
            If no slice along this axis says where the object is, or another run is under way.
        """
        from stacksam.session import Finish  # brings torch

        desk, view = self.desk, self.desk.view
        if self.is_running:
            raise ValueError("a propagation is under way; cancel it first")
        if view is None:
            raise ValueError("show two of the axes z, y and x to propagate along the third")
        desk.flush()
        ids = self._objects(request, view.axis)
        z_range = self._range(request, ids, view.axis, view.index)
        self._goal = None
        if request.steps is not None:
            step = request.steps if request.direction == "up" else -request.steps
            last = desk.session.volume.n_slices(view.axis) - 1
            self._goal = min(max(view.index + step, 0), last)
        finish = Finish(request.consensus, request.smooth)
        job = desk.session.propagation_job(
            ids,
            view.axis,
            z_range,
            sensitivity=request.sensitivity,
            finish=finish,
            inside="boxes" if request.inside_boxes else None,
        )
        self._job, self._cancel, self._done, self._reported = job, Event(), 0, 0.0
        self._then = then
        desk.strip.begin(job)
        desk.dock.propagation.set_progress(0, job.n_slices)
        desk.engine.submit(
            job.run(self._cancel),
            priority=PROPAGATION,
            key=("propagation", id(self)),
            on_step=lambda step: self._on_step(job, *step),
            on_done=lambda: self._finish(job),
            on_error=lambda error: self._on_error(job, error),
        )

    def cancel(self) -> None:
        """Stop after the slice that is under way; what was found is kept."""
        self._cancel.set()

    def stop(self) -> None:
        """Stop now, as the desk is being cleared; what was found is kept."""
        job = self._job
        if job is not None:
            self._cancel.set()
            self.desk.engine.cancel(("propagation", id(self)))
            self._finish(job)

    def _objects(self, request: Any, axis: int) -> list[int]:
        session, active = self.desk.session, self.desk.active_object
        if not request.all_objects:
            if active is None:
                raise ValueError("choose an object first, or mark one")
            if session.objects[active].is_locked:
                raise ValueError("this object is finished; press Edit again to change it")
            return [active]
        ids = []
        for object_id, info in session.objects.items():
            if not info.is_locked and any(p.axis == axis for p in info.prompts):
                ids.append(object_id)
        if not ids:
            raise ValueError("no unlocked object is marked along this axis; mark one first")
        return ids

    def _range(self, request: Any, ids: list[int], axis: int, index: int) -> tuple[int, int] | None:
        """Half-open limits; one step goes on from what there is already."""
        session = self.desk.session
        n_slices = session.volume.n_slices(axis)
        marked = [
            p.index
            for i in ids
            for p in session.objects[i].prompts
            if p.axis == axis and not (isinstance(p, MaskPrompt) and p.is_absent)
        ]
        if request.steps is not None:
            known = [*marked, index]
            result = session.result(ids[0])
            if result is not None and result.axis == axis:
                known += list(result.slices)
            step = request.steps if request.direction == "up" else -request.steps
            known.append(index + step)
            return max(min(known), 0), min(max(known) + 1, n_slices)
        low, high = request.z_range or (0, n_slices)
        if request.direction == "up" and marked:
            low = max(low, min(marked))
        if request.direction == "down" and marked:
            high = min(high, max(marked) + 1)
        return None if (low, high) == (0, n_slices) else (low, high)

    def _on_step(self, job: Any, object_id: int, index: int, found: Any) -> None:
        """One slice has come."""
        desk = self.desk
        if job is not self._job:
            return
        self._done += 1
        if desk.is_previewed(object_id):
            desk.preview.write(object_id, job.axis, index, found.mask)
            desk.live.note_drawn(object_id, job.axis, index)
        desk.strip.add(object_id, index, found)
        now = perf_counter()
        if now - self._reported > REPORT_SECONDS:
            self._reported = now
            desk.dock.propagation.set_progress(self._done, job.n_slices)
            desk.strip.show_running()

    def _finish(self, job: Any) -> None:
        if job is not self._job:
            return
        desk, is_stopped = self.desk, self._cancel.is_set()
        self._job = None
        desk.strip.end()
        results = desk.session.accept_propagation(job)
        if not isalive(desk.dock):
            return
        desk.dock.propagation.finished()
        desk.strip.show()
        if not desk.is_open:
            return
        if not results and not is_stopped:
            desk.dock.show_message(
                "The intensities or the model changed meanwhile; propagate again."
            )
        elif is_stopped:
            desk.dock.show_message("Cancelled; slices found so far are kept.")
        else:
            desk.dock.show_message(_summary(desk.session, results))
        if self._goal is not None and not is_stopped:
            desk.go_to(self._goal, job.axis)
        if self._then is not None and results and not is_stopped:
            self._then()

    def _on_error(self, job: Any, error: Exception) -> None:
        """Keep what came before the error."""
        self.desk.fail(error)
        self._cancel.set()
        self._finish(job)


def _summary(session: Any, results: dict[int, Any]) -> str:
    if len(results) == 1:
        ((object_id, result),) = results.items()
        return f"{session.objects[object_id].name}: {len(result.slices)} slices."
    return f"{len(results)} objects, {sum(len(r.slices) for r in results.values())} slices."
