"""A session at one moment, on disk: one JSON file of facts, one array of labels.

The folder holds no path and no image; the image is recognised by its fingerprint and found by the
name it had, beside the folder.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.prompts import MaskPrompt
from stacksam.core.sparse_stack import SparseStack, empty_stack
from stacksam.core.volume import Volume
from stacksam.core.windows import Window
from stacksam.io.atomic import atomic_path
from stacksam.session import facts
from stacksam.session.lines import Place
from stacksam.session.state import State

VERSION = 3
FACTS = "session.json"
CHUNKS = (16, 256, 256)
TEXTS = ("image", "image_hash", "fingerprint", "model", "model_fingerprint", "labels", "history")

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ImageFacts:
    """By what an image is recognised.

    Attributes
    ----------
    name : str
        Its file's name if it lies beside the session folder, otherwise empty: names of files may
        be names of people.
    name_hash : str
        Of the file's name.
    fingerprint : str
        See `Volume.fingerprint`.
    shape : (Z, Y, X)
    """

    name: str
    name_hash: str
    fingerprint: str
    shape: Shape

    @classmethod
    def of(cls, volume: Volume, folder: Path) -> ImageFacts:
        """Describe a volume for a session folder."""
        name = Path(volume.name).name
        is_beside = bool(name) and (folder.resolve().parent / name).exists()
        salted = f"{volume.fingerprint} {name}".encode()
        name_hash = hashlib.blake2b(salted, digest_size=8).hexdigest()
        return cls(name if is_beside else "", name_hash, volume.fingerprint, volume.shape)


@dataclass(frozen=True)
class Snapshot:
    """Everything of a session but its labels and its history.

    Attributes
    ----------
    image : ImageFacts
    model, model_fingerprint : str
    state : State
    next_ids : (int, int)
        Of prompts and of objects.
    labels : str
        The file with the labels; empty if there are none.
    history : str
        The file with what can be undone; empty if there is none.
    hidden : tuple of int
        Objects that a viewer does not show.
    place : Place
        Of the journal up to which the snapshot tells what happened.
    """

    image: ImageFacts
    model: str
    model_fingerprint: str
    state: State
    next_ids: tuple[int, int] = (1, 1)
    labels: str = ""
    history: str = ""
    hidden: tuple[int, ...] = ()
    place: Place = field(default_factory=Place)


def write_snapshot(folder: Path, snapshot: Snapshot, labels: np.ndarray) -> Snapshot:
    """Put a snapshot in the place of the earlier one, all of it or nothing.

    Parameters
    ----------
    folder : Path
        An existing folder.
    snapshot : Snapshot
    labels : ndarray of shape (Z, Y, X), unsigned

    Returns
    -------
    snapshot : Snapshot
        That names the file of its labels.

    Raises
    ------
    WriteError
        If there is no space or no permission.
    """
    name = f"labels-{uuid.uuid4().hex[:8]}.zarr.zip" if labels.any() else ""
    snapshot = replace(snapshot, labels=name)
    try:
        if name:
            with atomic_path(folder / name) as temporary:
                _write_labels(temporary, labels)
        content = _to_json(snapshot)
        whole = {"version": VERSION, "checksum": _checksum(content), "facts": content}
        with atomic_path(folder / FACTS) as temporary:
            temporary.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    except BaseException:
        with suppress(OSError):
            if name:
                (folder / name).unlink()
        raise
    for path in array_files(folder):
        if path.name not in (name, snapshot.history):
            with suppress(OSError):
                path.unlink()
    return snapshot


def array_files(folder: Path) -> list[Path]:
    """Files that a snapshot in a folder may name."""
    return [*folder.glob("labels-*.zarr.zip"), *folder.glob("history-*.jsonl")]


def _write_labels(path: Path, labels: Any) -> None:
    """Write a Zarr array into a ZIP file, whose checksums tell of damage."""
    import zarr

    chunks = tuple(min(n, limit) for n, limit in zip(labels.shape, CHUNKS, strict=True))
    with zarr.storage.ZipStore(path, mode="w") as store:
        if not isinstance(labels, SparseStack):
            zarr.create_array(store, data=labels, chunks=chunks, fill_value=0)
            return
        array = zarr.create_array(
            store, shape=labels.shape, dtype=labels.dtype, chunks=chunks, fill_value=0
        )
        for start in sorted({index // chunks[0] * chunks[0] for index in labels.planes}):
            slab = slice(start, start + chunks[0])
            array[slab] = labels[slab]


def read_snapshot(folder: Path) -> Snapshot:
    """Read what `write_snapshot` wrote.

    Raises
    ------
    ReadError
        If there is none, or it is damaged.
    """
    try:
        whole = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReadError(f"there is no {FACTS} in {folder.name}; choose a session folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReadError(f"{FACTS} cannot be read; restore a backup of the folder") from error
    if not isinstance(whole, dict) or whole.get("version") != VERSION:
        raise ReadError(
            f"{FACTS} is not of version {VERSION}; open it with the program that wrote it"
        )
    try:
        if whole["checksum"] != _checksum(whole["facts"]):
            raise ValueError("its checksum is wrong")
        return _from_json(whole["facts"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReadError(f"{FACTS} is damaged ({error}); restore a backup of the folder") from error


def read_labels(folder: Path, snapshot: Snapshot) -> Any:
    """The labels of a snapshot: ndarray of shape (Z, Y, X), unsigned.

    Raises
    ------
    ReadError
        If they are missing or damaged.
    """
    import zarr

    shape, name = snapshot.image.shape, Path(snapshot.labels).name
    if not name:
        return empty_stack(shape, np.uint8)
    try:
        with zarr.storage.ZipStore(folder / name, mode="r") as store:
            array = zarr.open_array(store, mode="r")
            if array.shape != shape or array.dtype not in (np.uint8, np.uint16, np.uint32):
                raise ReadError(
                    f"{name} holds {array.dtype} of shape {array.shape}; the image has {shape}"
                )
            labels = empty_stack(shape, array.dtype)
            for start in range(0, shape[0], array.chunks[0]):
                slab = slice(start, min(start + array.chunks[0], shape[0]))
                labels[slab] = array[slab]
            return labels
    except ReadError:
        raise
    except Exception as error:  # codecs and metadata raise whatever they like
        raise ReadError(f"{name} cannot be read; restore a backup of the folder") from error


def check_places(state: State, shape: Shape) -> None:
    """ValueError if prompts or results lie outside of the image, which only damage brings about."""
    for prompt in state.prompts:
        is_inside = prompt.axis in (0, 1, 2) and 0 <= prompt.index < shape[prompt.axis]
        plane = tuple(n for a, n in enumerate(shape) if a != prompt.axis)
        if not is_inside or (isinstance(prompt, MaskPrompt) and prompt.shape != plane):
            raise ValueError("a prompt does not fit the image")
    for kept in state.results.values():
        result = kept.result
        if result.shape != shape or result.axis not in (0, 1, 2):
            raise ValueError("a result does not fit the image")
        if not all(0 <= index < shape[result.axis] for index in result.slices):
            raise ValueError("a result does not fit the image")


def _to_json(snapshot: Snapshot) -> dict[str, Any]:
    image, state, place = snapshot.image, snapshot.state, snapshot.place
    return {
        "image": image.name,
        "image_hash": image.name_hash,
        "fingerprint": image.fingerprint,
        "shape": list(image.shape),
        "model": snapshot.model,
        "model_fingerprint": snapshot.model_fingerprint,
        "window": [state.window.low, state.window.high],
        "next_ids": list(snapshot.next_ids),
        "labels": snapshot.labels,
        "history": snapshot.history,
        "hidden": list(snapshot.hidden),
        "journal": {"lines": place.lines, "offset": place.offset, "checksum": place.checksum},
        "state": facts.difference(State(state.window), state),
        "results": facts.results_to_dict(state),
    }


def _from_json(values: dict[str, Any]) -> Snapshot:
    z, y, x = (int(n) for n in values["shape"])
    low, high = (float(limit) for limit in values["window"])
    state = facts.patched(State(Window(low, high)), values["state"], values["results"])
    check_places(state, (z, y, x))
    next_prompt_id, next_object_id = (int(i) for i in values["next_ids"])
    place = values["journal"]
    text = {key: _text(values[key]) for key in TEXTS}
    return Snapshot(
        ImageFacts(text["image"], text["image_hash"], text["fingerprint"], (z, y, x)),
        text["model"],
        text["model_fingerprint"],
        state,
        (max(next_prompt_id, state.prompts.next_id), next_object_id),
        text["labels"],
        text["history"],
        tuple(int(i) for i in values["hidden"]),
        Place(int(place["lines"]), int(place["offset"]), _text(place["checksum"])),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where text is expected")
    return value


def _checksum(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()
