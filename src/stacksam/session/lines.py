"""The journal file: one line of JSON per action, each with a checksum over all lines before it.

A line is ``<checksum> <JSON>``. Since checksums are chained, what was cut off, changed or taken out
is noticed at that line; everything before it counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stacksam.session import facts
from stacksam.session.history import Step

JOURNAL = "journal.jsonl"

START = "0" * 16
"""The checksum before the first line."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A line's end in a journal: how many lines and bytes lie before it, and their checksum."""

    lines: int = 0
    offset: int = 0
    checksum: str = START


def entry_of(kind: str, step: Step) -> Entry:
    """What happened, as JSON values without masks.

    Parameters
    ----------
    kind : {"step", "undo", "redo"}
    step : Step
        That leads from the former state to the present one.
    """
    entry = {
        "kind": kind,
        "time": now(),
        "text": step.text,
        "how": step.how,
        "facts": facts.difference(step.before, step.after),
        "object": step.object_id,
    }
    if step.change is not None and step.how is not None and "import" in step.how:
        entry["labels"] = facts.change_to_dict(step.change)  # nobody could compute them again
    return entry


def with_masks(entry: Entry, step: Step) -> Entry:
    """The same entry with everything that the step changed, so that it can be read back alone."""
    prompts = step.after.prompts
    results = {
        str(i): None if r is None else facts.result_to_dict(r, prompts.for_object(i))
        for i, r in facts.results_difference(step.before, step.after).items()
    }
    labels = None if step.change is None else facts.change_to_dict(step.change)
    return {**entry, "results": results, "labels": labels}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_line(entry: Entry, place: Place) -> tuple[bytes, Place]:
    """A line of the file, and the place behind it."""
    text = _to_json(entry)
    checksum = _checksum(place.checksum, text)
    line = checksum.encode("ascii") + b" " + text + b"\n"
    return line, Place(place.lines + 1, place.offset + len(line), checksum)


class Log:
    """Entries in the order in which they were written down, kept as JSON, a tenth of their size.

    Parameters
    ----------
    entries : iterable of dict, optional

    Examples
    --------
    >>> log = Log([{"kind": "begin"}])
    >>> log.append({"kind": "undo"})
    >>> [entry["kind"] for entry in log]
    ['begin', 'undo']
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._texts = [_to_json(entry) for entry in entries]

    def append(self, entry: Entry) -> None:
        """Write down one more."""
        self._texts.append(_to_json(entry))

    @property
    def nbytes(self) -> int:
        """Of all lines."""
        return sum(map(len, self._texts))

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Entry]:
        return map(json.loads, self._texts)


@dataclass(frozen=True)
class Part:
    """Consecutive lines that were read.

    Attributes
    ----------
    entries : list of dict
    place : Place
        Behind the last line that is whole.
    lost : int
        Bytes that follow and cannot be believed. A last line without its end does not count, for
        a program that is ended while it writes leaves one.
    """

    entries: list[Entry]
    place: Place
    lost: int


def read_lines(path: Path, start: Place | None = None, stop: int | None = None) -> Part:
    """Read a journal as far as it can be believed.

    Parameters
    ----------
    path : Path
        A missing file is one without lines.
    start : Place, optional
        By default the beginning.
    stop : int, optional
        Lines from this offset on are not looked at.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    place, entries = start or Place(), []
    try:
        with open(path, "rb") as file:
            file.seek(place.offset)
            content = file.read(-1 if stop is None else max(0, stop - place.offset))
    except FileNotFoundError:
        content = b""
    begin = place.offset
    for line in _whole_lines(content):
        entry = _entry_in(line, place.checksum)
        if entry is None:
            break
        entries.append(entry)
        place = Place(place.lines + 1, place.offset + len(line), line[:16].decode("ascii"))
    rest = content[place.offset - begin :]
    return Part(entries, place, len(rest) if b"\n" in rest else 0)


def _whole_lines(content: bytes) -> Iterator[bytes]:
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield line


def _entry_in(line: bytes, before: str) -> Entry | None:
    """The entry of a line whose checksum is right, otherwise None."""
    text = line[17:-1]
    if line[:17] != _checksum(before, text).encode("ascii") + b" ":
        return None
    entry = json.loads(text)
    return entry if isinstance(entry, dict) else None


def _to_json(entry: Entry) -> bytes:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode("ascii")


def _checksum(before: str, text: bytes) -> str:
    return hashlib.blake2b(before.encode("ascii") + text, digest_size=8).hexdigest()
