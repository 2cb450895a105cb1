"""The widgets, for tests that are skipped as a whole where Qt is missing."""

from __future__ import annotations

from importlib import import_module

import pytest

from window_support import why_no_window

QtWidgets = pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
QtCore = import_module("qtpy.QtCore")
QtGui = import_module("qtpy.QtGui")
widgets = import_module("stacksam.widgets")
Qt = QtCore.Qt
LEFT = Qt.MouseButton.LeftButton


def record(signal: object) -> list:
    """A list that grows with what a psygnal signal says; one value for one argument."""
    said: list = []
    signal.connect(lambda *args: said.append(args[0] if len(args) == 1 else args))
    return said


def show(qtbot: object, widget: object, width: int = 320, height: int = 400) -> object:
    """Open a widget in a window, as mouse events need it; returns the widget."""
    qtbot.addWidget(widget)
    widget.resize(width, height)
    with qtbot.waitExposed(widget):
        widget.show()
    return widget


def click(qtbot: object, widget: object, x: float | None = None, y: float | None = None) -> None:
    """Press and release the left button on a widget, by default in its middle."""
    place = widget.rect().center() if x is None else QtCore.QPoint(round(x), round(y))
    qtbot.mouseClick(widget, LEFT, pos=place)
