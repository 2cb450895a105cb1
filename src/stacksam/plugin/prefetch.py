"""Work in the gaps: what the user is likely to need next is read and encoded beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stacksam.plugin.engine import BACKGROUND

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk

REACH = 4
"""Slices on each side of the current one."""


class Prefetch:
    """Asks the engine for the neighbourhood of the slice on the screen.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._key = ("prefetch", id(self))

    def close(self) -> None:
        """Stop."""
        self.desk.engine.cancel(self._key)

    def restart(self) -> None:
        """Forget what was planned and begin around the slice that is on the screen now."""
        desk, view = self.desk, self.desk.view
        if view is None or not view.is_flat or not desk.is_open:
            return
        desk.engine.submit(
            self._steps(view.axis, view.index),
            priority=BACKGROUND,
            key=self._key,
            on_error=lambda error: None,
        )

    def _steps(self, axis: int, index: int) -> Iterator[Any]:
        """Read slices, the nearest first, then encode the active object's field on them."""
        session = self.desk.session
        n_slices = session.volume.n_slices(axis)
        order = [index + sign * k for k in range(REACH + 1) for sign in ((1, -1) if k else (1,))]
        inside = [i for i in order if 0 <= i < n_slices]
        active = session.active_object
        prediction = None if active is None else session.prediction(active, index, axis)
        field = None if prediction is None else prediction.slice_prediction.field
        return _warm(session.predictor, axis, inside, field)


def _warm(predictor: Any, axis: int, indices: list[int], field: Any) -> Iterator[None]:
    predictor.sweep()
    yield
    for index in indices:
        predictor.read(axis, index)
        yield
    for index in indices if field is not None else ():
        predictor.embed(axis, index, field)
        yield
