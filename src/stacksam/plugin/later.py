"""Calls to come, which may outlive Qt: at the end of a program nobody knows which goes first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

from qtpy.QtCore import QObject, Qt, QTimer, Signal

_ALL: WeakSet[Later | Soon] = WeakSet()


class Later:
    """Calls a function after a while, in the event loop of the thread that made it.

    Parameters
    ----------
    function : callable
    repeats : bool
        Whether it is called again and again until `stop`.
    """

    def __init__(self, function: Callable[[], None], repeats: bool = False) -> None:
        self._timer = QTimer()
        self._timer.setSingleShot(not repeats)
        self._timer.timeout.connect(function)
        _ALL.add(self)

    @property
    def is_waiting(self) -> bool:
        """Whether a call is to come."""
        with suppress(RuntimeError):
            return bool(self._timer.isActive())
        return False

    def start(self, milliseconds: int = 0) -> None:
        """Call after this long, counted anew from now."""
        with suppress(RuntimeError):
            self._timer.start(milliseconds)

    def stop(self) -> None:
        """Call no more."""
        with suppress(RuntimeError):
            self._timer.stop()


class Soon:
    """Calls a function in the next turn of the event loop, before anything is drawn.

    A timer of no time comes after that: in a large window a drawing takes tens of milliseconds.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self.is_waiting = False
        self._function = function
        self._bell = _Bell()
        self._bell.rung.connect(self._call, Qt.ConnectionType.QueuedConnection)
        _ALL.add(self)

    def start(self) -> None:
        """Call, once."""
        if not self.is_waiting:
            with suppress(RuntimeError):
                self._bell.rung.emit()
                self.is_waiting = True

    def stop(self) -> None:
        """Call no more."""
        self.is_waiting = False

    def _call(self) -> None:
        if self.is_waiting:
            self.is_waiting = False
            self._function()


class _Bell(QObject):
    rung = Signal()


def is_all_done() -> bool:
    """Whether no call of any `Later` or `Soon` is to come."""
    return not any(later.is_waiting for later in _ALL)
