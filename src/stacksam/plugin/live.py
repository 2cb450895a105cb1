"""Keeps the preview true to the session: asks for slices whose prompts changed, and draws.

A slice that has to be predicted is a job for the engine; everything else is drawn from what the
session knows, the slice on the screen at once and the others in the gaps of the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from stacksam.plugin.engine import INTERACTION
from stacksam.plugin.later import Later
from stacksam.plugin.thumbnails import CandidateView, Thumbnails, draw_thumbnails

if TYPE_CHECKING:
    from stacksam.core.prompts import Prompt
    from stacksam.plugin.desk import Desk

SLOT_SECONDS = 0.008
"""How long drawing may keep the event loop at a time."""

Slice = tuple[int, int]
Place = tuple[int, int, int]  # object, axis, index


class LiveSlices:
    """Draws objects slice by slice.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.candidates = CandidateView(desk)
        self._prompts: dict[int, dict[Slice, tuple[Prompt, ...]]] = {}
        self._drawn: dict[int, set[Slice]] = {}
        self._to_draw: dict[Place, None] = {}
        self._is_accepting = False
        self._timer = Later(self._draw_some, repeats=True)
        session = desk.session
        self._slots = (
            (session.prompts_changed, self._on_prompts_changed),
            (session.results_changed, self._on_results_changed),
            (session.objects_changed, self._on_objects_changed),
            (session.window_changed, self._on_window_changed),
        )
        for signal, slot in self._slots:
            signal.connect(slot)

    def close(self) -> None:
        """Stop."""
        self._timer.stop()
        self._to_draw.clear()
        self.candidates.close()
        for signal, slot in self._slots:
            signal.disconnect(slot, missing_ok=True)

    def draw_all(self) -> None:
        """Draw every object of the session, as after it was opened."""
        for object_id, info in self.desk.session.objects.items():
            self._prompts[object_id] = _by_slice(info.prompts)
            self.redraw(object_id)
            for axis, index in self._prompts[object_id]:
                if not info.is_locked:
                    self._ask(object_id, axis, index)

    def draw(self, object_id: int, axis: int, index: int) -> None:
        """Draw an object on a slice from what the session knows."""
        desk = self.desk
        mask = None
        if desk.is_previewed(object_id):
            mask = desk.session.shown_slice(object_id, index, axis)
        drawn = self._drawn.setdefault(object_id, set())
        if mask is None or not mask.any():
            drawn.discard((axis, index))
            mask = None
        else:
            drawn.add((axis, index))
        desk.preview.write(object_id, axis, index, mask)

    def note_drawn(self, object_id: int, axis: int, index: int) -> None:
        """A slice was drawn by someone else."""
        self._drawn.setdefault(object_id, set()).add((axis, index))

    def redraw(self, object_id: int) -> None:
        """Draw all slices of an object again: what is on the screen now, the rest soon."""
        wanted = dict.fromkeys(self._drawn.get(object_id, set()))
        session = self.desk.session
        if object_id in session.objects:
            result = session.result(object_id) if self.desk.is_previewed(object_id) else None
            if result is not None:
                wanted |= dict.fromkeys((result.axis, index) for index in result.slices)
            wanted |= dict.fromkeys(self._prompts.get(object_id, {}))
        view = self.desk.view
        if view is not None and wanted:
            self.draw(object_id, view.axis, view.index)
            wanted.pop((view.axis, view.index), None)
        self._to_draw |= {(object_id, axis, index): None for axis, index in wanted}
        if self._to_draw and not self._timer.is_waiting:
            self._timer.start(0)

    def finish_drawing(self) -> None:
        """Draw what is still waiting, without pauses."""
        while self._to_draw:
            self._draw_some()

    def on_view_changed(self) -> None:
        """Another slice is on the screen: the active object lies on top there."""
        self.on_active_changed()

    def on_active_changed(self) -> None:
        """Draw the active object over others on the screen, and show its candidates."""
        view, active = self.desk.view, self.desk.active_object
        has_layer = self.desk.preview.layer is not None  # otherwise the user has removed it
        if view is not None and active is not None and has_layer and self._drawn.get(active):
            self.draw(active, view.axis, view.index)
        self.candidates.show_current()

    def _draw_some(self) -> None:
        """Draw waiting slices for a few milliseconds."""
        end = perf_counter() + SLOT_SECONDS
        while self._to_draw and perf_counter() < end:
            object_id, axis, index = next(iter(self._to_draw))
            del self._to_draw[(object_id, axis, index)]
            if object_id in self.desk.session.objects:
                self.draw(object_id, axis, index)
            else:
                self._drawn.get(object_id, set()).discard((axis, index))
                self.desk.preview.write(object_id, axis, index, None)
        if not self._to_draw:
            self._timer.stop()

    def _on_prompts_changed(self, object_id: int) -> None:
        """Find out on which slices, and predict or draw these."""
        info = self.desk.session.objects.get(object_id)
        before = self._prompts.get(object_id, {})
        now = {} if info is None else _by_slice(info.prompts)
        self._prompts[object_id] = now
        for place in dict.fromkeys([*before, *now]):
            if before.get(place) != now.get(place):
                if place in now:
                    self._ask(object_id, *place)
                elif info is not None:
                    self.draw(object_id, *place)
                    self.candidates.show_current()
        if info is None:
            self.redraw(object_id)

    def _ask(self, object_id: int, axis: int, index: int) -> None:
        """Let the engine predict a slice; later requests for it replace earlier ones."""
        desk, key = self.desk, ("slice", id(self), object_id, axis, index)
        try:
            job = desk.session.slice_job(object_id, index, axis)
        except ValueError:  # nothing says where it is: show what there is from elsewhere
            desk.engine.cancel(key)
            self.draw(object_id, axis, index)
            return
        volume, window = desk.session.volume, desk.session.window

        def steps() -> Iterator[Any]:
            found = job.run()
            yield found
            if found.candidates:
                yield draw_thumbnails(volume, window, axis, index, found)

        def on_step(value: Any) -> None:
            if isinstance(value, Thumbnails):
                self.candidates.offer((object_id, axis, index), value)
            else:
                self._accept(job, value)

        desk.engine.submit(steps(), priority=INTERACTION, key=key, on_step=on_step)

    def _accept(self, job: Any, found: Any) -> None:
        """Take over a prediction unless it comes too late."""
        if not self.desk.is_open:
            return
        self._is_accepting = True
        try:
            prediction = self.desk.session.accept(job, found)
        finally:
            self._is_accepting = False
        if prediction is not None:
            self.draw(job.object_id, job.axis, job.index)
            self.candidates.show_current()
            self.desk.prefetch.restart()

    def _on_results_changed(self, object_id: int) -> None:
        if not self._is_accepting:
            self.redraw(object_id)
            if object_id == self.desk.active_object:
                self.desk.strip.show()

    def _on_objects_changed(self, object_id: int) -> None:
        """Finished, hidden, shown again or gone."""
        if object_id not in self.desk.session.objects:
            self._prompts.pop(object_id, None)
        is_drawn = bool(self._drawn.get(object_id))
        if is_drawn != self.desk.is_previewed(object_id):
            self.redraw(object_id)

    def _on_window_changed(self) -> None:
        """Predict again what the user sees under other grey values."""
        for object_id, info in self.desk.session.objects.items():
            if not info.is_locked:
                for axis, index in self._prompts.get(object_id, {}):
                    self._ask(object_id, axis, index)


def _by_slice(prompts: tuple[Prompt, ...]) -> dict[Slice, tuple[Prompt, ...]]:
    grouped: dict[Slice, tuple[Prompt, ...]] = {}
    for prompt in prompts:
        place = (prompt.axis, prompt.index)
        grouped[place] = (*grouped.get(place, ()), prompt)
    return grouped
