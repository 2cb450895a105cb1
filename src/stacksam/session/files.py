"""Sessions on disk: one JSON file of facts, one array of labels.

The folder holds no path and no image; the image is recognised by its fingerprint and found by the
name it had, beside the folder.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.prompts import PromptSet, prompt_from_dict, prompt_to_dict
from stacksam.core.volume import Volume
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
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
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
        volume = volume or _find_image(folder, facts["image"])
        if volume.fingerprint != facts["fingerprint"]:
            raise ReadError(
                "the image is not the one this session was made on, or it has changed; "
                "give the right image"
            )
        low, high = facts["window"]
        session = Session(volume, model or load_model(facts["model"]), window=(low, high))
        prompts = PromptSet(tuple(prompt_from_dict(p) for p in facts["prompts"]))
        objects = {o["object_id"]: _object_from_dict(o) for o in facts["objects"]}
        session._take(replace(State(prompts), objects=MappingProxyType(objects)))
        session._next_prompt_id = int(facts["next_prompt_id"])
    except (KeyError, TypeError) as error:
        raise ReadError(f"{FACTS} is damaged ({error}); restore a backup of the folder") from error
    session._labels.data = _read_labels(folder / LABELS, volume.shape)
    return session


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
        with np.load(path) as arrays:
            labels = arrays["labels"]
    except (OSError, ValueError, KeyError, BadZipFile, ZlibError) as error:
        raise ReadError(f"{LABELS} cannot be read; restore a backup of the folder") from error
    if labels.shape != shape:
        raise ReadError(f"{LABELS} has shape {labels.shape}; the image has {shape}")
    return labels


def _find_image(folder: Path, name: str) -> Volume:
    from stacksam.io import read

    path = folder.resolve().parent / name
    if not name or not path.exists():
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
