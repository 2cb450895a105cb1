"""Sessions on disk: a snapshot and the journal of what led to it and what followed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import error as ZlibError

import numpy as np

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.sparse_stack import empty_stack
from stacksam.core.volume import Volume
from stacksam.core.windows import Window
from stacksam.io.atomic import atomic_path, explained
from stacksam.sam import Predictor, load_model
from stacksam.session import facts
from stacksam.session.folder_lock import FolderLock
from stacksam.session.history import History
from stacksam.session.journal import Journal
from stacksam.session.labels import LabelImage
from stacksam.session.lines import JOURNAL, Entry, Log, Part, Place, now, read_lines, to_line
from stacksam.session.past import read_history, retold, write_history
from stacksam.session.snapshot import (
    ImageFacts,
    Snapshot,
    check_places,
    read_labels,
    read_snapshot,
    write_snapshot,
)
from stacksam.session.state import State

if TYPE_CHECKING:
    from stacksam.session.session import Session

DAMAGED = "journal.damaged.jsonl"
"""Where a journal with lines that cannot be read is put aside, for somebody to look at."""


@dataclass(frozen=True)
class Content:
    """What a session folder says.

    Attributes
    ----------
    snapshot : Snapshot
        With all that the journal adds to it.
    labels : ndarray of shape (Z, Y, X), unsigned
    log : list of dict
        Every entry from the beginning on, as far as they can be read.
    is_closed : bool
        False if the program that wrote it ended in mid-work.
    is_whole : bool
        Whether the log leads to the snapshot without a gap.
    history : History
        What can be undone and done again.
    notes : tuple of str
        What is missing, one sentence each.
    """

    snapshot: Snapshot
    labels: np.ndarray
    log: list[Entry]
    is_closed: bool
    is_whole: bool
    history: History
    notes: tuple[str, ...] = ()


def save_session(session: Session, folder: str | Path) -> None:
    """Write a session; its folder holds the earlier one or this one, nothing in between.

    Parameters
    ----------
    session : Session
    folder : path-like
        Made if missing.

    Raises
    ------
    WriteError
        If the folder cannot be made or written to, or holds a session on another image.
    FolderInUseError
        If another session keeps its journal there.
    """
    lock = FolderLock(made(folder))
    try:
        _write(session, Path(folder), [{"kind": "close", "time": now()}])
    finally:
        lock.release()


def open_journal(session: Session, folder: str | Path) -> Journal:
    """Save a session and keep its folder up to date from then on; raises like `save_session`."""
    lock = FolderLock(made(folder))
    try:
        return Journal(Path(folder), lock, _write(session, Path(folder), []))
    except BaseException:
        lock.release()
        raise


def made(folder: str | Path) -> Path:
    """The folder, made if missing; WriteError if it cannot be."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"the folder {folder.name} cannot be made ({error.strerror}); choose another one"
        ) from error
    return folder


def _write(session: Session, folder: Path, last: list[Entry]) -> Snapshot:
    """Write snapshot and journal; the snapshot first, as it says all that counts."""
    image = ImageFacts.of(session.volume, folder)
    with suppress(ReadError):
        if read_snapshot(folder).image.fingerprint != image.fingerprint:
            raise WriteError(
                f"the folder {folder.name} holds a session on another image; choose another folder"
            )
    begin, *others = session._log
    named = {"image_hash": image.name_hash, "fingerprint": image.fingerprint}
    lines, place = [], Place()
    for entry in [begin | named | {"shape": list(image.shape)}, *others, *last]:
        line, place = to_line(entry, place)
        lines.append(line)
    snapshot = Snapshot(
        image,
        session.model.name,
        session.model.fingerprint,
        session._state,
        (session._next_prompt_id, session._next_object_id),
        history=write_history(folder, session._history, session._state, place),
        hidden=tuple(sorted(session._hidden)),
        place=place,
    )
    try:
        snapshot = write_snapshot(folder, snapshot, session.labels)
    except BaseException:
        with suppress(OSError):
            if snapshot.history:
                (folder / snapshot.history).unlink()
        raise
    with explained(folder / JOURNAL):
        if read_lines(folder / JOURNAL).lost:
            os.replace(folder / JOURNAL, folder / DAMAGED)
        for path in half_written(folder):
            path.unlink(missing_ok=True)
    with atomic_path(folder / JOURNAL) as temporary:
        temporary.write_bytes(b"".join(lines))
    return snapshot


def half_written(folder: Path) -> list[Path]:
    """What programs that were ended while they wrote have left."""
    return list(folder.glob(".stacksam-*"))


def restore_session(folder: str | Path, volume: Volume | None, model: Predictor | None) -> Session:
    """Open a session folder.

    Parameters
    ----------
    folder : path-like
    volume : Volume or None
        By default read from the file of the same name beside the folder.
    model : Predictor or None

    Returns
    -------
    session : Session
        With `notes` if something could not be read.

    Raises
    ------
    ReadError
        If files are missing or damaged, or the image is not the one the session was made on.
    """
    from stacksam.session.session import Session

    folder = Path(folder)
    content = read_folder(folder)
    snapshot = content.snapshot
    volume = volume or find_image(folder, snapshot.image)
    check_image(volume, snapshot.image)
    model = model or load_model(snapshot.model)
    session = Session(volume, model, window=snapshot.state.window)
    session._state, session._labels.data = snapshot.state, content.labels
    session._history, session._hidden = content.history, frozenset(snapshot.hidden)
    session._next_prompt_id, session._next_object_id = snapshot.next_ids
    session._log = Log(content.log if content.is_whole else [*session._log, {"kind": "gap"}])
    session.notes = content.notes
    if model.fingerprint != snapshot.model_fingerprint:
        session._write_down({"kind": "model", "time": now()} | session._model_facts())
        note = f"the session was made with another model ({snapshot.model}); new masks may differ"
        session.notes += (note,)
    return session


def read_folder(folder: Path) -> Content:
    """Read snapshot and journal; raises `ReadError` where `restore_session` does."""
    try:
        path = folder / JOURNAL
        try:
            snapshot = read_snapshot(folder)
            labels = read_labels(folder, snapshot)
        except ReadError as error:
            return _from_journal_alone(read_lines(path), error)
        before = read_lines(path, stop=snapshot.place.offset)
        after = read_lines(path, snapshot.place)
    except OSError as error:
        raise ReadError(
            f"{JOURNAL} cannot be read ({error.strerror}); close other programs"
        ) from error
    is_whole = before.place == snapshot.place
    written = snapshot.place
    snapshot, labels = with_entries(snapshot, labels, after.entries)
    snapshot = replace(snapshot, place=after.place)
    lost = after.lost if is_whole or after.entries else 0  # otherwise it is an older journal
    entries, history = before.entries + after.entries, History()
    told = read_history(folder / Path(snapshot.history).name)
    if told is not None and (is_whole or told.place == written):
        since = entries[told.place.lines :] if is_whole else after.entries
        history = retold(told.base, [*told.entries, *since], snapshot.state, labels.size)
    return _content(snapshot, labels, entries, is_whole, lost, history)


def _from_journal_alone(part: Part, error: ReadError) -> Content:
    """All that happened, from an empty session on; `error` where that is not possible."""
    entries = part.entries
    if not entries or any(e["kind"] in MOVES and "results" not in e for e in entries):
        raise error
    begin = entries[0]
    try:
        z, y, x = (int(n) for n in begin["shape"])
        image = ImageFacts("", begin["image_hash"], begin["fingerprint"], (z, y, x))
        window_name = str(begin["window_name"])
        state = State(Window(*map(float, begin["window"])), window_name=window_name)
        snapshot = Snapshot(image, begin["model"], begin["model_fingerprint"], state)
    except (KeyError, TypeError, ValueError):
        raise error from None
    labels = empty_stack(image.shape, np.uint8)
    snapshot, labels = with_entries(snapshot, labels, entries[1:])
    snapshot = replace(snapshot, place=part.place)
    history = retold(state, entries[1:], snapshot.state, labels.size)
    return _content(snapshot, labels, entries, True, part.lost, history)


MOVES = ("step", "undo", "redo")


def _content(
    snapshot: Snapshot,
    labels: np.ndarray,
    entries: list[Entry],
    is_whole: bool,
    lost: int,
    history: History,
) -> Content:
    is_closed = bool(entries) and entries[-1]["kind"] == "close"
    log = [
        {k: v for k, v in entry.items() if k != "results" and not _is_heavy(entry, k)}
        for entry in entries
        if entry["kind"] != "close"
    ]
    note = f"the end of {JOURNAL} is damaged ({lost} bytes); what happened there is lost"
    return Content(snapshot, labels, log, is_closed, is_whole, history, (note,) if lost else ())


def _is_heavy(entry: Entry, key: str) -> bool:
    return key == "labels" and "import" not in (entry["how"] or {})


def with_entries(
    snapshot: Snapshot, labels: np.ndarray, entries: Iterable[Entry]
) -> tuple[Snapshot, np.ndarray]:
    """A snapshot and its labels after what a journal says.

    Raises
    ------
    ReadError
        If an entry does not fit.
    """
    image = LabelImage(snapshot.image.shape)
    image.data = labels
    state = snapshot.state
    try:
        for entry in entries:
            snapshot = replace(
                snapshot,
                model=str(entry.get("model", snapshot.model)),
                model_fingerprint=str(entry.get("model_fingerprint", snapshot.model_fingerprint)),
            )
            if entry["kind"] == "hidden":
                snapshot = replace(snapshot, hidden=tuple(int(i) for i in entry["ids"]))
            if entry["kind"] not in MOVES:
                continue
            state = facts.patched(state, entry["facts"], entry["results"])
            check_places(state, snapshot.image.shape)
            if entry["labels"] is not None:
                image.apply(facts.change_from_dict(entry["labels"], image.data.size))
            next_prompt_id, next_object_id = entry["next"]
            snapshot = replace(snapshot, next_ids=(int(next_prompt_id), int(next_object_id)))
    except (KeyError, TypeError, ValueError, ZlibError) as error:
        raise ReadError(
            f"{JOURNAL} does not fit its snapshot ({error}); restore a backup of the folder"
        ) from error
    return replace(snapshot, state=state), image.data


def check_image(volume: Volume, image: ImageFacts) -> None:
    """ReadError unless a volume is the one a session was made on."""
    if volume.shape != image.shape:
        raise ReadError(
            f"the image has {volume.shape} voxels and is not the one this session was made on, "
            f"which has {image.shape}; give the right image"
        )
    if volume.fingerprint != image.fingerprint:
        raise ReadError(
            "the image is not the one this session was made on, or it has changed; "
            "give the right image"
        )


def find_image(folder: Path, image: ImageFacts) -> Volume:
    """Read the image of the same name beside the folder; ReadError if there is none."""
    from stacksam.io import read

    path = folder.resolve().parent / Path(image.name).name
    if not Path(image.name).name or not path.exists():
        raise ReadError("the session's image is not beside its folder; give it as volume")
    return read(path)
