"""Journals of every session: work on the same image is offered again, after a crash or a close."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stacksam.core.errors import StackSAMError

if TYPE_CHECKING:
    from stacksam.plugin.workbench import Workbench
    from stacksam.session import Session

FOLDER_VARIABLE = "STACKSAM_JOURNALS"
"""Names another folder for journals, such as one on a faster disk."""

KEPT = timedelta(days=30)
"""Journals of work that nobody asked for again for so long are deleted."""


def journal_root() -> Path:
    """Where journals lie."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    import pooch

    return Path(pooch.os_cache("stacksam")) / "journals"


def new_folder() -> Path:
    """A folder for one session's journal; not made yet."""
    return journal_root() / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}"


def begin_journal(session: Session) -> tuple[Path | None, str]:
    """Journal a session from now on.

    Returns
    -------
    folder : Path or None
        None if it cannot be written to; work then goes on without a journal.
    trouble : str
        Why not.
    """
    folder = new_folder()
    try:
        session.start_journal(folder)
    except (StackSAMError, OSError) as error:
        return None, f"Work is not saved for a crash: {error}"
    return folder, ""


class Recovery:
    """Knows the journals of this workbench, and restores what others left.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self._folders: dict[int, tuple[Session, Path]] = {}
        bench.dock.recovery.restore_asked.connect(self.restore)
        bench.dock.recovery.discard_asked.connect(self.discard)

    def keep(self, session: Session, folder: Path | None, trouble: str = "") -> None:
        """Remember a session whose journal has begun."""
        session.journal_failed.connect(self._on_trouble)
        if folder is not None:
            self._folders[id(session)] = (session, folder)
        if trouble:
            self._on_trouble(trouble)

    def offer(self) -> None:
        """Offer the unfinished work of the image that is open."""
        session = self.bench.session
        if session is None:
            return
        fingerprint = session.volume.fingerprint

        def look() -> list[Any]:
            from stacksam.session.journals import discard, unfinished

            found = unfinished(journal_root())
            old = [work for work in found if datetime.now(UTC) - work.time > KEPT]
            for work in old:
                discard(work.folder)
            return [w for w in found if w not in old and w.fingerprint == fingerprint]

        self.bench.errands.submit(look, key="unfinished", on_step=self._show)

    def _show(self, found: list[Any]) -> None:
        offers = [{"key": str(work.folder), "text": _describe(work)} for work in found]
        self.bench.dock.recovery.offer(offers)

    def restore(self, key: str) -> None:
        """Go on with the work in a folder."""
        desk, folder = self.bench.desk, Path(key)
        if desk is None:
            return
        volume, model = desk.session.volume, desk.session.model

        def read() -> tuple[Session, Path]:
            from stacksam.session import Session

            session = Session.restore(folder, volume, model)
            session.start_journal(folder)
            return session, folder

        self.bench.engine.submit(read, key="restore", on_step=lambda read: self._adopt(*read))

    def _adopt(self, session: Session, folder: Path) -> None:
        former = self.bench.session
        self.keep(session, folder)
        self.bench.adopt(session)
        if former is not None:
            self._end(former, is_finished=not former.can_undo)  # its work is offered next time
        self.bench.dock.show_message(f"Restored: {_count(len(session.objects), 'object')}.")

    def discard(self, key: str) -> None:
        """Delete the work in a folder."""
        from stacksam.session.journals import discard

        discard(Path(key))

    def close(self) -> None:
        """End all journals; work stays, as a window is easily closed too early."""
        for session, _ in list(self._folders.values()):
            self._end(session, is_finished=not session.can_undo)

    def _end(self, session: Session, is_finished: bool = True) -> None:
        from stacksam.session.journals import discard

        session.journal_failed.disconnect(self._on_trouble, missing_ok=True)
        _, folder = self._folders.pop(id(session), (session, None))
        if folder is not None:
            with suppress(StackSAMError, OSError):
                session.stop_journal(is_finished)
            if is_finished:
                discard(folder)

    def _on_trouble(self, text: str) -> None:
        if text:
            self.bench.dock.show_message(text, is_error=True)


def _describe(work: Any) -> str:
    when = work.time.astimezone().strftime("%d %b %Y, %H:%M")
    name = f"{work.image}, " if work.image else ""
    return f"{name}{when}, {_count(work.n_steps, 'step')}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
