"""A timer that may outlive Qt: at the end of a program nobody knows which of the two goes first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

from qtpy.QtCore import QTimer

_ALL: WeakSet[Later] = WeakSet()


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


def is_all_done() -> bool:
    """Whether no call of any `Later` is to come."""
    return not any(later.is_waiting for later in _ALL)
