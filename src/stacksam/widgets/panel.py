"""What all panels of the dock have in common: they show one session and follow its signals."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal, SignalInstance
from qtpy.compat import isalive
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from stacksam.session import Session
    from stacksam.session.state import ObjectInfo

SPACING = 4  # px between the rows of a panel


def while_alive(method: Callable[..., Any]) -> Callable[..., None]:
    """Skip a widget's method once Qt has deleted the widget; a session may outlive its panels."""

    @wraps(method)
    def guarded(self: QWidget, *args: Any) -> None:
        if isalive(self):
            method(self, *args)

    return guarded


class Panel(QWidget):
    """Shows a session's facts and holds none of them.

    Attributes
    ----------
    follows : tuple of str
        Names of the session's signals after which `refresh` is called.
    problem : psygnal signal (str)
        One sentence for the user: what could not be done and why.
    summary_changed : psygnal signal (str)
        What a closed group says about this panel.
    """

    follows: ClassVar[tuple[str, ...]] = ()
    problem = Signal(str)
    summary_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._followed: list[SignalInstance] = []

    @property
    def session(self) -> Session | None:
        """The session that is shown."""
        return self._session

    @property
    def active(self) -> ObjectInfo | None:
        """The object that prompts go to, as it is now; read it once and use it."""
        session = self._session
        if session is None or session.active_object is None:
            return None
        return session.objects.get(session.active_object)

    def set_session(self, session: Session | None) -> None:
        """Show another session, or none."""
        for signal in self._followed:
            signal.disconnect(self._on_session_changed, missing_ok=True)
        self._session = session
        self._followed = [] if session is None else [getattr(session, n) for n in self.follows]
        for signal in self._followed:
            signal.connect(self._on_session_changed)
        self.refresh()

    def refresh(self) -> None:
        """Show what the session says now."""

    def attempt(self, edit: Callable[[], object]) -> bool:
        """Do a quick edit of the session; what it refuses becomes a `problem`."""
        try:
            edit()
        except (ValueError, TypeError) as error:
            self.problem.emit(_as_sentence(str(error)))
            return False
        return True

    @while_alive
    def _on_session_changed(self) -> None:
        self.refresh()


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
