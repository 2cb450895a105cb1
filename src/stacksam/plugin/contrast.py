"""The model sees what the user sees: the window follows the layer's contrast limits, and back."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.fields import crop_image, whole_slice
from stacksam.core.windows import apply_window, to_grey
from stacksam.plugin.engine import INTERACTION
from stacksam.plugin.later import Later

if TYPE_CHECKING:
    from stacksam.plugin.desk import Desk

SETTLE_MS = 350
"""The window is taken over when the limits have rested for this long."""

PREVIEW_SIZE = 96
COARSE_MM = 0.02
"""Voxels at least this large come from a scanner, not from a microscope."""

RIGHT = 2
FULL_DRAG = 300.0
"""Pixels of the screen over which a drag doubles the window's width."""


def is_scan(image: Any) -> bool:
    """Whether a layer looks like CT or MR: grey, and with voxels of a scanner's size."""
    if getattr(image, "rgb", False):
        return False
    pairs = zip(image.units, image.scale, strict=True)
    sizes = [
        (float(scale) * unit).to("mm").magnitude
        for unit, scale in pairs
        if unit.is_compatible_with("mm")
    ]
    return bool(sizes) and max(sizes) >= COARSE_MM


class ContrastLink:
    """Keeps the session's window and the layer's contrast limits equal, if that is wanted.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._is_setting = False
        self._timer = Later(self._take_over)
        desk.image.events.contrast_limits.connect(self._on_limits)
        desk.session.window_changed.connect(self._on_window)
        desk.dock.window_panel.follow_layer_toggled.connect(self._on_toggled)

    def close(self) -> None:
        """Follow no longer."""
        self._timer.stop()
        self.desk.image.events.contrast_limits.disconnect(self._on_limits)
        self.desk.session.window_changed.disconnect(self._on_window, missing_ok=True)
        self.desk.dock.window_panel.follow_layer_toggled.disconnect(
            self._on_toggled, missing_ok=True
        )

    @property
    def _follows(self) -> bool:
        return self.desk.dock.window_panel.follow_layer and not self.desk.session.volume.rgb

    def _on_toggled(self, is_on: bool) -> None:
        if is_on:
            self._take_over()

    def _on_limits(self, event: Any) -> None:
        if self._follows and not self._is_setting:
            self._timer.start(SETTLE_MS)

    def _take_over(self) -> None:
        low, high = (float(v) for v in self.desk.image.contrast_limits)
        window = self.desk.session.window
        if self._follows and (window.low, window.high) != (low, high):
            self.desk.attempt(lambda: self.desk.session.set_window((low, high)))

    def _on_window(self) -> None:
        """A preset was chosen, or a step undone: the user sees it, too."""
        window, image = self.desk.session.window, self.desk.image
        if not self.desk.session.volume.rgb and window.high > window.low:
            self._is_setting = True
            try:
                image.contrast_limits = (window.low, window.high)
            finally:
                self._is_setting = False
        self.show_preview()

    def show_preview(self) -> None:
        """Draw what the model sees of the slice on the screen."""
        desk, view = self.desk, self.desk.view
        if view is None or not desk.dock.groups["window"].is_open:
            return
        volume, window = desk.session.volume, desk.session.window

        def draw() -> np.ndarray:
            spacing = volume.plane_spacing(view.axis)
            aspect = 1.0 if spacing is None else spacing[0] / spacing[1]
            field = whole_slice(volume.plane_shape(view.axis), pixel_aspect=aspect)
            plane = volume.read_slice(view.index, view.axis)
            return np.asarray(
                crop_image(
                    plane, field, PREVIEW_SIZE, lambda part: to_grey(apply_window(part, window))
                )
            )

        desk.engine.submit(
            draw,
            priority=INTERACTION,
            key=("preview of the window", id(self)),
            on_step=desk.dock.window_panel.set_preview,
        )


def drag_window(viewer: Any, image: Any, event: Any) -> Generator[None, None, None]:
    """Right drag: across changes the window's width, along its centre (a drag callback's body).

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    event : napari's mouse event
        Marked as handled, so that the camera does not zoom.
    """
    low, high = (float(v) for v in image.contrast_limits)
    center, width = (low + high) / 2, high - low
    start = np.array(event.pos, float)
    event.handled = True
    yield
    while event.type == "mouse_move":
        down, right = np.array(event.pos, float)[::-1] - start[::-1]
        new_width = width * 2.0 ** (right / FULL_DRAG)
        new_center = center + width * down / FULL_DRAG
        image.contrast_limits = (new_center - new_width / 2, new_center + new_width / 2)
        event.handled = True
        yield
    event.handled = True
