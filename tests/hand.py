"""A hand for tests: real mouse and key events in a napari window that is on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


class Hand:
    """Clicks, drags and types into one viewer; places are data coordinates of a layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Shown.
    wait : callable
        Waits until a function returns True.
    """

    def __init__(self, viewer: Any, wait: Callable[[Callable[[], bool]], None]) -> None:
        self.viewer, self.wait = viewer, wait
        self.canvas = viewer.window._qt_viewer.canvas
        self.native = self.canvas.native
        self._n_drawings = 0
        self.canvas._scene_canvas.events.draw.connect(self._on_draw, position="last")

    def look(self) -> None:
        """Wait until the canvas has its size and shows what was asked for last."""
        size = (self.native.width(), self.native.height())
        while True:
            before = self._n_drawings
            self.canvas._scene_canvas.update()
            self.wait(lambda before=before: self._n_drawings > before)
            now = (self.native.width(), self.native.height())
            if now == size == tuple(self.canvas._scene_canvas.size):
                return
            size = now

    def _on_draw(self, event: Any) -> None:
        self._n_drawings += 1

    def place(self, layer: Any, coords: Sequence[float]) -> QPoint:
        """Where a place of a layer is on the canvas."""
        units = self.viewer.layers.extent.units
        world = np.asarray(layer.data_to_world(coords))
        if units is not None:
            pairs = zip(layer.units, units[-layer.ndim :], strict=True)
            world = world * [(1.0 * own).to(to).magnitude for own, to in pairs]
        shown = [d - (self.viewer.dims.ndim - layer.ndim) for d in self.viewer.dims.displayed]
        row, column = (float(world[axis]) for axis in shown)
        scene = self.canvas._scene_canvas.scene
        mapped = self.canvas.view.scene.node_transform(scene).map([column, row, 0, 1])
        x, y = mapped[:2] / mapped[3]
        spot = QPoint(round(x), round(y))
        assert self.native.rect().contains(spot), f"{coords} is at {spot}, off the canvas"
        return spot

    def click(self, layer: Any, coords: Sequence[float]) -> None:
        """Press and release without moving."""
        self.look()
        spot = self.place(layer, coords)
        QTest.mouseMove(self.native, spot)
        QTest.mouseClick(self.native, LEFT, Qt.KeyboardModifier.NoModifier, spot)
        QApplication.processEvents()

    def drag(
        self, layer: Any, path: Sequence[Sequence[float]], button: Any = LEFT, steps: int = 4
    ) -> None:
        """Press at the first place, move along the others, release at the last."""
        self.look()
        spots = [self.place(layer, coords) for coords in path]
        QTest.mouseMove(self.native, spots[0])
        QTest.mousePress(self.native, button, Qt.KeyboardModifier.NoModifier, spots[0])
        for start, end in pairwise(spots):
            for step in range(1, steps + 1):
                self._move(start + (end - start) * step / steps, button)
        QTest.mouseRelease(self.native, button, Qt.KeyboardModifier.NoModifier, spots[-1])
        QApplication.processEvents()

    def _move(self, spot: QPoint, button: Any) -> None:
        """Move with a button down; napari hears of a move every 5 ms at most."""
        from qtpy.QtCore import QEvent, QPointF
        from qtpy.QtGui import QMouseEvent

        point = QPointF(spot)
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            point,
            QPointF(self.native.mapToGlobal(spot)),
            Qt.MouseButton.NoButton,
            button,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.native, event)
        QTest.qWait(7)

    def key(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key over the canvas."""
        self.native.setFocus()
        QTest.keyClick(self.native, key, modifier)
        QApplication.processEvents()


def press(button: Any) -> None:
    """Click a button in the dock."""
    assert button.isEnabled(), f"{button.text()} is disabled"
    QTest.mouseClick(button, LEFT, Qt.KeyboardModifier.NoModifier, button.rect().center())
    QApplication.processEvents()
