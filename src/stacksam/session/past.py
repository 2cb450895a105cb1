"""What can be undone, on disk: a journal of its own, which leads to where the session stands."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import error as ZlibError

from stacksam.core.windows import Window
from stacksam.io.atomic import atomic_path
from stacksam.session import facts
from stacksam.session.history import History, Step
from stacksam.session.lines import Entry, Place, entry_of, read_lines, to_line, with_masks
from stacksam.session.state import State

STORED_BYTES = 64 * 2**20
"""Of masks and labels that are written; older steps can be undone no more after a restart."""


def write_history(folder: Path, history: History, state: State, place: Place) -> str:
    """Write what can be undone and done again.

    Parameters
    ----------
    folder : Path
    history : History
    state : State
        The present one.
    place : Place
        Of the journal in `folder` at this moment.

    Returns
    -------
    name : str
        Of the file.

    Raises
    ------
    WriteError
        If there is no space or no permission.
    """
    done, undone = _newest(history.done), list(reversed(history.undone))
    steps = [*done, *undone]
    base = steps[0].before if steps else state
    first = {
        "kind": "base",
        "place": [place.lines, place.offset, place.checksum],
        "window": [base.window.low, base.window.high],
        "facts": facts.difference(State(base.window), base),
        "results": facts.results_to_dict(base),
    }
    told = (with_masks(entry_of("step", step), step) for step in steps)
    back = (with_masks(entry_of("undo", s.reversed()), s.reversed()) for s in history.undone)
    name = f"history-{uuid.uuid4().hex[:8]}.jsonl"
    with atomic_path(folder / name) as temporary, open(temporary, "wb") as file:
        file.writelines(_lines([first, *told, *back]))
    return name


@dataclass(frozen=True)
class Told:
    """What `write_history` wrote.

    Attributes
    ----------
    base : State
        Before the first step.
    place : Place
        Of the journal at which it was written.
    entries : list of dict
        What leads from `base` to there.
    """

    base: State
    place: Place
    entries: list[Entry]


def read_history(path: Path) -> Told | None:
    """Read what `write_history` wrote; None if it is missing or damaged."""
    try:
        part = read_lines(path)
        base, *entries = part.entries
        lines, offset, checksum = base["place"]
        empty = State(Window(*map(float, base["window"])))
        state = facts.patched(empty, base["facts"], base["results"])
        is_whole = part.place.offset == path.stat().st_size
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return Told(state, Place(int(lines), int(offset), str(checksum)), entries) if is_whole else None


def retold(base: State, entries: Iterable[Entry], present: State, n_voxels: int) -> History:
    """The history that a session had after these entries.

    Parameters
    ----------
    base : State
        Before the first entry.
    entries : iterable of dict
        With masks; those that are no steps are passed over.
    present : State
        To which they have to lead.
    n_voxels : int
        Of the image.

    Returns
    -------
    history : History
        Empty if the entries do not tell it.
    """
    history, state = History(), base
    try:
        for entry in entries:
            if entry["kind"] == "step":
                after = facts.patched(state, entry["facts"], entry["results"])
                labels = entry["labels"]
                change = None if labels is None else facts.change_from_dict(labels, n_voxels)
                text, how = str(entry["text"]), entry["how"]
                history.add(Step(text, state, after, change, int(entry["object"]), how))
                state = after
            elif entry["kind"] in ("undo", "redo"):
                step = history.undo() if entry["kind"] == "undo" else history.redo()
                told = None if step is None else step.after
                state = told or facts.patched(state, entry["facts"], entry["results"])
    except (KeyError, TypeError, ValueError, ZlibError):
        return History()
    return history if state == present else History()


def _newest(steps: list[Step]) -> list[Step]:
    """The last steps that are not too large together."""
    left, first = STORED_BYTES, len(steps)
    while first and left >= steps[first - 1].nbytes:
        first -= 1
        left -= steps[first].nbytes
    return steps[first:]


def _lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    place = Place()
    for entry in entries:
        line, place = to_line(entry, place)
        yield line
