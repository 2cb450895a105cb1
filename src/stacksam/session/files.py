"""Sessions on disk: one JSON file of facts, one array of labels.

The folder holds no path and no image; the image is recognised by its fingerprint and found by the
name it had, beside the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.prompts import MaskPrompt, PromptSet, prompt_from_dict, prompt_to_dict
from stacksam.core.volume import Volume
from stacksam.core.windows import Window
from stacksam.io.atomic import atomic_path
from stacksam.sam import Predictor, load_model
from stacksam.session.state import ObjectInfo, State

if TYPE_CHECKING:
    from stacksam.session.session import Session

VERSION = 1
FACTS, LABELS = "session.json", "labels.npz"


def save_session(session: Session, folder: str | Path) -> None:
    """Write a session; each file is complete or the earlier one stays.

    Parameters
    ----------
    session : Session
    folder : path-like
        Made if missing.

    Raises
    ------
    WriteError
        If the folder cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"the folder {folder.name} cannot be made ({error.strerror}); choose another one"
        ) from error
    state = session._state
    facts = {
        "version": VERSION,
        "image": Path(session.volume.name).name,
        "fingerprint": session.volume.fingerprint,
        "model": session.model.name,
        "model_fingerprint": session.model.fingerprint,
        "window": [session.window.low, session.window.high],
        "next_prompt_id": session._next_prompt_id,
        "objects": [_object_to_dict(o) for o in state.objects.values()],
        "prompts": [prompt_to_dict(p) for p in state.prompts],
    }
    with atomic_path(folder / LABELS) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, labels=session.labels)
    with atomic_path(folder / FACTS) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def restore_session(folder: str | Path, volume: Volume | None, model: Predictor | None) -> Session:
    """Open a saved session.

    Parameters
    ----------
    folder : path-like
    volume : Volume or None
        By default read from the file of the same name beside the folder.
    model : Predictor or None

    Returns
    -------
    session : Session
        With an empty history.

    Raises
    ------
    ReadError
        If files are missing or damaged, or the image is not the one the session was made on.
    """
    from stacksam.session.session import Session

    folder = Path(folder)
    facts = _read_facts(folder / FACTS)
    try:
        image, fingerprint, model_name = (
            str(facts[key]) for key in ("image", "fingerprint", "model")
        )
        low, high = (float(limit) for limit in facts["window"])
        window, state = Window(low, high), _read_state(facts)
        next_prompt_id = max(int(facts["next_prompt_id"]), state.prompts.next_id)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReadError(f"{FACTS} is damaged ({error}); restore a backup of the folder") from error
    volume = volume or _find_image(folder, image)
    if volume.fingerprint != fingerprint:
        raise ReadError(
            "the image is not the one this session was made on, or it has changed; "
            "give the right image"
        )
    _check_places(state, volume)
    labels = _read_labels(folder / LABELS, volume.shape)
    session = Session(volume, model or load_model(model_name), window=window)
    session._state, session._next_prompt_id = state, next_prompt_id
    session._labels.data = labels
    return session


def _read_state(facts: dict[str, Any]) -> State:
    prompts = PromptSet()
    for data in facts["prompts"]:
        prompts = prompts.with_prompt(prompt_from_dict(data))
    objects = {int(o["object_id"]): _object_from_dict(o) for o in facts["objects"]}
    if not set(prompts.object_ids) <= set(objects):
        raise ValueError("prompts of an object that is not listed")
    return State(prompts, MappingProxyType(objects))


def _check_places(state: State, volume: Volume) -> None:
    """Refuse prompts that lie outside of the image, which only damage can bring about."""
    for prompt in state.prompts:
        shape = volume.plane_shape(prompt.axis) if prompt.axis in (0, 1, 2) else ()
        is_inside = bool(shape) and 0 <= prompt.index < volume.n_slices(prompt.axis)
        if not is_inside or (isinstance(prompt, MaskPrompt) and prompt.shape != shape):
            raise ReadError(
                f"{FACTS} is damaged (a prompt does not fit the image); restore a backup of the "
                "folder"
            )


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReadError(
            f"there is no {FACTS} in {path.parent.name}; choose a session folder"
        ) from None
    except (OSError, ValueError) as error:
        raise ReadError(f"{FACTS} cannot be read; restore a backup of the folder") from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        raise ReadError(
            f"{FACTS} is not of version {VERSION}; open it with the program that wrote it"
        )
    return facts


def _read_labels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    from zipfile import BadZipFile
    from zlib import error as ZlibError

    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            labels = arrays["labels"]
    except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile, ZlibError) as error:
        raise ReadError(f"{LABELS} cannot be read; restore a backup of the folder") from error
    if labels.shape != shape or labels.dtype not in (np.uint8, np.uint16, np.uint32):
        raise ReadError(
            f"{LABELS} holds {labels.dtype} of shape {labels.shape}; the image has {shape}"
        )
    return np.ascontiguousarray(labels)


def _find_image(folder: Path, name: str) -> Volume:
    from stacksam.io import read

    path = folder.resolve().parent / Path(name).name
    if not Path(name).name or not path.exists():
        raise ReadError("the session's image is not beside its folder; give it as volume")
    return read(path)


def _object_to_dict(info: ObjectInfo) -> dict[str, Any]:
    return {
        "object_id": info.object_id,
        "name": info.name,
        "label_id": info.label_id,
        "color": list(info.color),
        "is_locked": info.is_locked,
    }


def _object_from_dict(values: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        int(values["object_id"]),
        str(values["name"]),
        None if values["label_id"] is None else int(values["label_id"]),
        tuple(float(v) for v in values["color"]),  # type: ignore[arg-type]
        bool(values["is_locked"]),
    )
