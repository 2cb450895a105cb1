"""Journals that nobody closed: work that a crash left behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from stacksam.core.errors import ReadError
from stacksam.session.files import DAMAGED, half_written
from stacksam.session.folder_lock import LOCK, is_in_use
from stacksam.session.lines import JOURNAL, read_lines
from stacksam.session.snapshot import FACTS, array_files, read_snapshot


@dataclass(frozen=True)
class Unfinished:
    """Work that can be restored.

    Attributes
    ----------
    folder : Path
        For `Session.restore`.
    image : str
        The image's file name where it lies beside the folder, otherwise empty.
    fingerprint : str
        Of the image, as `Volume.fingerprint`.
    time : datetime
        Of the last action, in UTC.
    n_steps : int
        Actions that changed something.
    """

    folder: Path = field(repr=False)
    image: str
    fingerprint: str
    time: datetime
    n_steps: int


def unfinished(folder: str | Path) -> list[Unfinished]:
    """Journals in a folder, or in folders in it, whose program ended without closing them.

    Those that a running program holds, that are empty, or that cannot be read at all are left out.

    Parameters
    ----------
    folder : path-like
        A missing one has none.

    Returns
    -------
    found : list of Unfinished
        The latest first.
    """
    folder = Path(folder)
    paths = [folder / JOURNAL, *sorted(folder.glob(f"*/{JOURNAL}"))]
    found = [_look_at(path) for path in paths if path.is_file() and not _is_closed(path)]
    offered = [work for work in found if work is not None]
    return sorted(offered, key=lambda work: work.time, reverse=True)


def discard(folder: str | Path) -> None:
    """Delete a session folder's own files, and the folder if nothing else is in it.

    One that a program holds is left alone.
    """
    folder = Path(folder)
    if is_in_use(folder):
        return
    named = [folder / name for name in (JOURNAL, FACTS, LOCK, DAMAGED)]
    for path in [*named, *array_files(folder), *half_written(folder)]:
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _look_at(path: Path) -> Unfinished | None:
    try:
        if is_in_use(path.parent):
            return None
        entries = read_lines(path).entries
        image = read_snapshot(path.parent).image
    except (OSError, ReadError):
        return None
    n_steps = sum(entry["kind"] in ("step", "undo", "redo") for entry in entries)
    if not n_steps:
        return None
    time = datetime.fromisoformat(entries[-1]["time"])
    return Unfinished(path.parent, image.name, image.fingerprint, time, n_steps)


def _is_closed(path: Path) -> bool:
    """Whether the last line, which is short if so, says that the journal was closed."""
    with suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 256))
        last = file.read().splitlines()[-1:]
        return bool(last) and b'"kind":"close"' in last[0]
    return False
