"""What the manifest names: the dock, at work in the viewer that opened it."""

import atexit
import sys
from typing import Any
from weakref import WeakSet

import qtpy
from qtpy.compat import isalive
from qtpy.QtWidgets import QMainWindow, QWidget

from stacksam.plugin.workbench import Workbench
from stacksam.widgets.dock import SegmentDock

_OPEN: "WeakSet[StackSAM]" = WeakSet()


class StackSAM(SegmentDock):
    """`SegmentDock` with a workbench; napari gives it the viewer by this parameter's name."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._windows: list[QWidget] = []
        self.bench = Workbench(napari_viewer, self)
        bench, windows = self.bench, self._windows
        self.destroyed.connect(lambda: bench.close(all(map(isalive, windows))))
        _OPEN.add(self)
        trouble = known_trouble()
        if trouble:
            self.show_message(trouble, is_error=True)

    def showEvent(self, event: Any) -> None:
        """Remember the main window, to know later whether only the dock was closed."""
        super().showEvent(event)
        parent: QWidget | None = self
        while parent is not None and not isinstance(parent, QMainWindow):
            parent = parent.parentWidget()
        if parent is not None and parent not in self._windows:
            self._windows.append(parent)


def known_trouble() -> str:
    """What is known to end this Python before long, and what to do; empty on other computers.

    PySide6 6.12.0 gives up a reference to None in every call. Up to Python 3.11 they run out.
    """
    if qtpy.API_NAME != "PySide6" or sys.version_info >= (3, 12):
        return ""
    if not str(qtpy.PYSIDE_VERSION).startswith("6.12.0"):
        return ""
    return 'PySide6 6.12.0 crashes Python 3.11. Save your work; pip install "PySide6<6.12".'


@atexit.register
def _close_all() -> None:
    """End threads and journals of programs that end without an event loop.

    Qt destroys its windows after Python is gone, so it must not call back then.
    """
    for dock in list(_OPEN):
        if isalive(dock):
            dock.destroyed.disconnect()
        dock.bench.close(is_viewer_alive=False)
