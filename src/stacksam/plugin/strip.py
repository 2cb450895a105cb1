"""What the confidence strip shows: the active object's result, or the run that is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk


class Strip:
    """Feeds the strip and follows clicks in it.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._axis = 0
        self._running: dict[int, tuple[np.ndarray, np.ndarray]] | None = None
        self._keyframes: dict[int, list[int]] = {}
        desk.dock.strip.slice_chosen.connect(self._on_chosen)

    def close(self) -> None:
        """Show nothing any more."""
        self.desk.dock.strip.slice_chosen.disconnect(self._on_chosen, missing_ok=True)
        if isalive(self.desk.dock):
            self.desk.dock.strip.clear()

    def begin(self, job: Any) -> None:
        """A run begins: its slices are shown as they come."""
        session = self.desk.session
        self._axis = job.axis
        count = session.volume.n_slices(job.axis)
        self._running = {i: (np.zeros(count), np.zeros(count)) for i in job.object_ids}
        self._keyframes = {
            i: sorted({p.index for p in session.objects[i].prompts if p.axis == job.axis})
            for i in job.object_ids
        }

    def add(self, object_id: int, index: int, found: Any) -> None:
        """One slice of the run."""
        if self._running is not None:
            confidence, area = self._running[object_id]
            confidence[index], area[index] = found.confidence, found.n_pixels

    def end(self) -> None:
        """The run is over."""
        self._running = None

    def show_running(self) -> None:
        """Show the active object's part of the run."""
        active = self.desk.active_object
        if self._running is not None and active in self._running:
            values = self._running[active]
            self.desk.dock.strip.set_values(*values, self._keyframes[active], self._current())

    def show(self) -> None:
        """Show the active object's result."""
        desk, active = self.desk, self.desk.active_object
        if self._running is not None and active in self._running:
            self.show_running()
            return
        result = None if active is None else desk.session.result(active)
        if result is None:
            desk.dock.strip.clear()
            return
        self._axis = result.axis
        desk.dock.strip.set_values(
            result.confidence, result.areas, result.keyframes, self._current()
        )

    def show_current(self) -> None:
        """Move the marker to the slice on the screen."""
        self.desk.dock.strip.set_current(self._current())

    def _current(self) -> int | None:
        view = self.desk.view
        return view.index if view is not None and view.axis == self._axis else None

    def _on_chosen(self, index: int) -> None:
        self.desk.go_to(index, self._axis)
