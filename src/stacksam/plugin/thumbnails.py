"""The candidates of the slice on the screen: up to three masks, small, with scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive

from stacksam.core.fields import crop_image
from stacksam.core.windows import Window, apply_window, to_grey

if TYPE_CHECKING:
    from stacksam.core.volume import Volume
    from stacksam.plugin.desk import Desk

Place = tuple[int, int, int]  # object, axis, index
MOST_KNOWN = 16
"""Slices whose candidates are remembered."""


@dataclass(frozen=True)
class Thumbnails:
    """What the model saw (S, S) in [0, 1], and its masks (S, S) bool with scores."""

    image: np.ndarray
    masks: tuple[tuple[np.ndarray, float], ...]


def draw_thumbnails(
    volume: Volume, window: Window, axis: int, index: int, found: Any
) -> Thumbnails:
    """Crop a slice to the field that a prediction was made in; runs in the engine's thread.

    Parameters
    ----------
    volume : Volume
    window : Window
    axis, index : int
    found : SlicePrediction
    """
    size = int(found.logits.shape[0])
    plane = volume.read_slice(index, axis)
    image = crop_image(plane, found.field, size, lambda part: to_grey(apply_window(part, window)))
    masks = tuple((logits > 0, float(score)) for logits, score in found.candidates)
    return Thumbnails(np.asarray(image), masks)


class CandidateView:
    """Shows candidates in the panel, and takes the user's choice.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._known: dict[Place, tuple[Thumbnails, Any, int]] = {}
        desk.dock.candidates.chosen.connect(self.choose)

    def close(self) -> None:
        """Show nothing any more."""
        self.desk.dock.candidates.chosen.disconnect(self.choose, missing_ok=True)
        if isalive(self.desk.dock):
            self._clear_panel()

    def offer(self, place: Place, thumbnails: Thumbnails) -> None:
        """Remember what a new prediction offers."""
        object_id, axis, index = place
        if object_id not in self.desk.session.objects:
            return
        prediction = self.desk.session.prediction(object_id, index, axis)
        if prediction is not None:
            self._known.pop(place, None)
            self._known[place] = (thumbnails, prediction, 0)
            while len(self._known) > MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
            self.show_current()

    def choose(self, number: int) -> None:
        """Make a candidate the slice's mask."""
        place = self._place()
        known = None if place is None else self._known.get(place)
        if place is None or known is None or not 0 <= number < len(known[0].masks):
            return
        thumbnails, prediction, _ = known
        self._known[place] = (thumbnails, prediction, number)
        self.desk.attempt(lambda: prediction.choose(number))
        self.show_current()

    def choose_next(self) -> None:
        """Make the next candidate the slice's mask, the first one after the last."""
        place = self._place()
        known = None if place is None else self._known.get(place)
        if known is not None and known[0].masks:
            self.choose((known[2] + 1) % len(known[0].masks))

    def show_current(self) -> None:
        """Show the candidates of the active object on the screen's slice."""
        place = self._place()
        known = None if place is None else self._known.get(place)
        if place is None or known is None or not self._is_true(place):
            self._clear_panel()
            return
        thumbnails, _, shown = known
        self.desk.dock.candidates.set_candidates(thumbnails.image, list(thumbnails.masks), shown)

    def _is_true(self, place: Place) -> bool:
        """Whether the slice is still as it was predicted, or one of its candidates chosen."""
        object_id, axis, index = place
        _, prediction, shown = self._known[place]
        now = self.desk.session.prediction(object_id, index, axis)
        if now is None or now.slice_prediction.key == prediction.slice_prediction.key:
            return True
        mask = prediction.candidates[shown].mask
        return now.slice_prediction.given is not None and np.array_equal(now.mask, mask)

    def _place(self) -> Place | None:
        view, active = self.desk.view, self.desk.active_object
        if view is None or active is None:
            return None
        return active, view.axis, view.index

    def _clear_panel(self) -> None:
        if self.desk.dock.candidates.count:
            self.desk.dock.candidates.clear()
