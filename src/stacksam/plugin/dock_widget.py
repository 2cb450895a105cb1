"""What the manifest names: the dock, at work in the viewer that opened it."""

import atexit
from typing import Any
from weakref import WeakSet

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

    def showEvent(self, event: Any) -> None:
        """Remember the main window, to know later whether only the dock was closed."""
        super().showEvent(event)
        parent: QWidget | None = self
        while parent is not None and not isinstance(parent, QMainWindow):
            parent = parent.parentWidget()
        if parent is not None and parent not in self._windows:
            self._windows.append(parent)


@atexit.register
def _close_all() -> None:
    """End threads and journals of programs that end without an event loop.

    Qt destroys its windows after Python is gone, so it must not call back then.
    """
    for dock in list(_OPEN):
        if isalive(dock):
            dock.destroyed.disconnect()
        dock.bench.close(is_viewer_alive=False)
