"""Write down what happens in a session while it happens, in a thread of its own."""

from __future__ import annotations

import atexit
import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from threading import Condition, Thread

from stacksam.core.errors import ReadError, WriteError
from stacksam.io.atomic import explained
from stacksam.session.folder_lock import FolderLock
from stacksam.session.history import Step
from stacksam.session.labels import LabelImage, LabelsChange
from stacksam.session.lines import JOURNAL, Entry, Place, to_line, with_masks
from stacksam.session.snapshot import Snapshot, read_labels, write_snapshot

LINES_PER_SNAPSHOT = 200
BYTES_PER_SNAPSHOT = 32 * 2**20
"""A snapshot follows after this many lines or bytes, so that restoring stays quick."""

LONGEST_WAIT = 2.0
"""Seconds that an action waits at most for a slow disk."""

RETRY_AFTER = 5.0
"""Seconds after which a disk that was full is tried again."""


class Journal:
    """Append entries to a session folder's journal.

    An entry waits until it is written and the one before it is synced. So an action that has
    returned outlives the program, however that ends; a power cut may take the last one.

    Parameters
    ----------
    folder : Path
        With a snapshot and a journal that fits it.
    lock : FolderLock
        Released by `close`.
    snapshot : Snapshot
        What the folder holds now.
    """

    def __init__(self, folder: Path, lock: FolderLock, snapshot: Snapshot) -> None:
        self.folder = folder
        self.trouble = ""
        self._lock, self._snapshot, self._newest = lock, snapshot, snapshot
        self._changes: list[LabelsChange] = []
        self._waiting: deque[tuple[Entry, Step | None]] = deque()
        self._is_written = False  # the first of them, which is still to be synced
        self._is_closing = False
        self._changed = Condition()
        with explained(folder / JOURNAL):
            self._file = open(folder / JOURNAL, "r+b", buffering=0)  # noqa: SIM115
        self._saver: Thread | None = None
        self._thread = Thread(target=self._work, name="stacksam-journal", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def put(self, entry: Entry, step: Step | None = None, is_urgent: bool = False) -> None:
        """Have an entry written.

        Parameters
        ----------
        entry : dict
        step : Step, optional
            Whose masks belong to the entry.
        is_urgent : bool
            Wait until this entry is synced, too.
        """
        with self._changed:
            self._waiting.append((entry, step))
            self._wait(LONGEST_WAIT, for_sync=is_urgent)

    def flush(self, timeout: float = LONGEST_WAIT) -> bool:
        """Wait until everything is on the disk; False if it is not."""
        with self._changed:
            return self._wait(timeout, for_sync=True)

    def holds(self, folder: Path) -> bool:
        """Whether this journal lies in a folder."""
        return folder.exists() and self.folder.samefile(folder)

    def check(self) -> None:
        """Wait until everything is on the disk; WriteError if it cannot be written."""
        if not self.flush(10 * LONGEST_WAIT):
            raise WriteError(self.trouble or f"{JOURNAL} is written too slowly; try again")

    def close(self) -> None:
        """Finish writing and let go of the folder.

        Raises
        ------
        WriteError
            If the last entries could not be written.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._saver is not None:
            self._saver.join()
        atexit.unregister(self.flush)
        self._file.close()
        self._lock.release()
        if self._waiting:
            raise WriteError(self.trouble)

    def _wait(self, timeout: float, for_sync: bool) -> bool:
        """Have the thread try, and wait until all is written, or it failed."""

        def is_done() -> bool:
            left = len(self._waiting)
            return left == 0 or (left == 1 and self._is_written and not for_sync)

        self.trouble = ""
        self._changed.notify_all()
        self._changed.wait_for(lambda: is_done() or self.trouble, timeout)
        return is_done()

    def _work(self) -> None:
        while True:
            with self._changed:
                is_idle = not self._waiting or bool(self.trouble)
                if is_idle and not self._is_closing:
                    self._changed.wait(RETRY_AFTER)
                self._lock.touch()
                if not self._waiting:
                    if self._is_closing:
                        return
                    continue
                entry, step = self._waiting[0]
            trouble = self._append(entry, step)
            with self._changed:
                self.trouble, self._is_written = trouble, False
                if not trouble:
                    self._waiting.popleft()
                self._changed.notify_all()
                if trouble and self._is_closing:
                    return
            if not trouble:
                self._save_now_and_then()

    def _append(self, entry: Entry, step: Step | None) -> str:
        """Write one line and see it to the disk; say what went wrong, or nothing."""
        before = self._newest.place
        line, place = to_line(entry if step is None else with_masks(entry, step), before)
        try:
            with explained(self.folder / JOURNAL):
                self._file.seek(before.offset)
                self._file.truncate()  # of a line that did not fit last time
                write_all(self._file.fileno(), line)
                with self._changed:
                    self._is_written = True
                    self._changed.notify_all()
                os.fsync(self._file.fileno())
        except WriteError as error:
            return str(error)
        self._newest = newer(self._newest, entry, place, step)
        if step is not None and step.change is not None:
            with self._changed:
                self._changes.append(step.change)
        return ""

    def _save_now_and_then(self) -> None:
        """Begin a snapshot if one is due; lines are written while it is."""
        place, since = self._newest.place, self._snapshot.place
        has_many_lines = place.lines - since.lines >= LINES_PER_SNAPSHOT
        has_many_bytes = place.offset - since.offset >= BYTES_PER_SNAPSHOT
        is_saving = self._saver is not None and self._saver.is_alive()
        if (has_many_lines or has_many_bytes) and not is_saving:
            self._saver = Thread(target=self._save, args=(self._newest, tuple(self._changes)))
            self._saver.start()

    def _save(self, newest: Snapshot, changes: tuple[LabelsChange, ...]) -> None:
        labels = LabelImage(newest.image.shape)
        try:
            labels.data = read_labels(self.folder, self._snapshot)
            for change in changes:
                labels.apply(change)
            written = write_snapshot(self.folder, newest, labels.data)
        except (ReadError, WriteError, RuntimeError):  # the last if the program is just ending
            return  # the journal has it all, and the next line tries again
        with self._changed:
            self._snapshot = written
            del self._changes[: len(changes)]


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it; the system may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def newer(snapshot: Snapshot, entry: Entry, place: Place, step: Step | None) -> Snapshot:
    """What a snapshot would hold after one more line."""
    return replace(
        snapshot,
        state=snapshot.state if step is None else step.after,
        model=entry.get("model", snapshot.model),
        model_fingerprint=entry.get("model_fingerprint", snapshot.model_fingerprint),
        next_ids=tuple(entry.get("next", snapshot.next_ids)),
        hidden=tuple(entry["ids"]) if entry["kind"] == "hidden" else snapshot.hidden,
        place=place,
    )
