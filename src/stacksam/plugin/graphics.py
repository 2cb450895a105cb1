"""The graphics context that is current while napari removes a layer."""

from __future__ import annotations

from typing import Any
from weakref import ref

from qtpy.compat import isalive
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget


class ContextGuard:
    """Makes the canvas of a viewer current before one of its layers goes.

    napari 0.9 carries out all waiting graphics commands when it removes a layer, in whatever
    context happens to be current: that of another window, or the one in which Qt puts a window
    together. Numbers of textures and buffers mean other things there, so the next drawing fails or
    the program ends, depending on what was drawn last.

    Parameters
    ----------
    viewer : napari.Viewer
    dock : QWidget
        In the viewer's window, at the latest when a layer comes.
    """

    def __init__(self, viewer: Any, dock: QWidget) -> None:
        self._events, self._dock = viewer.layers.events, ref(dock)
        self._canvas: ref[QWidget] | None = None
        self._events.inserted.connect(self._find)
        self._events.removing.connect(self._on_removing)

    def close(self) -> None:
        """Guard no longer."""
        self._events.inserted.disconnect(self._find)
        self._events.removing.disconnect(self._on_removing)

    def _find(self, event: Any = None) -> None:
        """Remember the canvas, as the dock may be gone when its layers are removed."""
        dock = self._dock()
        if dock is None or not isalive(dock):
            return
        found = dock.window().findChildren(QOpenGLWidget)
        if found:  # others are small: the histograms of layer controls
            self._canvas = ref(max(found, key=lambda w: w.width() * w.height()))

    def _on_removing(self, event: Any) -> None:
        self._find()
        canvas = None if self._canvas is None else self._canvas()
        if canvas is not None and isalive(canvas) and canvas.isValid():
            canvas.makeCurrent()
