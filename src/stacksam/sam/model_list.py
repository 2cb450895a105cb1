"""What is known of each model before it is downloaded: a list of ours and entries of the user's."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stacksam.core.errors import CheckpointError
from stacksam.io.atomic import atomic_path

PACKAGE_LIST = Path(__file__).with_name("models.json")

WEIGHTS_FOLDER = Path(__file__).parent.parent / "weights"

USER_LIST = "models.json"
"""Name of the user's list in the models folder."""

FOLDER_VARIABLE = "STACKSAM_MODELS"
"""Where downloads go and the user's list lies."""

OFFLINE_VARIABLE = "STACKSAM_OFFLINE"
"""A folder that is only read, such as a network drive on which somebody has put checkpoints."""

MIRROR_VARIABLE = "STACKSAM_MIRROR"
"""An address; checkpoints are fetched from ADDRESS/FILE_NAME instead of from their publishers."""


@dataclass(frozen=True)
class ModelEntry:
    """What a user should know before choosing a model.

    Attributes
    ----------
    name : str
    summary : str
        What it is for.
    licence : str
        Of the weights.
    path : Path or None
        Where the checkpoint lies, for those that are not downloaded.
    family : str
        How its network is built; ``""`` for "told by the file".
    file_name : str
        Of the download.
    url : str
        ``""`` where the publisher has no address that a program can fetch.
    page : str
        Where the publisher says so; for people.
    size : int or None
        Bytes.
    checksums : tuple of str
        ``KIND:DIGEST`` as published; see `stacksam.sam.checksums`. Empty, null in the list, where
        none is.
    is_non_commercial : bool
    citation : str
    extra : str
        Of this package, if the model needs one.
    """

    name: str
    summary: str
    licence: str
    path: Path | None = None
    family: str = ""
    file_name: str = ""
    url: str = ""
    page: str = ""
    size: int | None = None
    checksums: tuple[str, ...] = ()
    is_non_commercial: bool = False
    citation: str = ""
    extra: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the checkpoint lies on this computer."""
        return find_checkpoint(self) is not None

    @property
    def licence_text(self) -> str:
        """The licence, with a mark if it forbids commercial use."""
        return f"{self.licence} (NON-COMMERCIAL)" if self.is_non_commercial else self.licence


def models_folder() -> Path:
    """Folder for downloads; made when something is put there."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    import pooch

    return Path(pooch.os_cache("stacksam")) / "models"


def find_checkpoint(entry: ModelEntry) -> Path | None:
    """Where an entry's file lies: at its path, in the models folder or in the offline folder."""
    if entry.path is not None:
        return entry.path if entry.path.exists() else None
    offline = os.environ.get(OFFLINE_VARIABLE)
    folders = [models_folder(), *([Path(offline)] if offline else [])]
    places = (folder / entry.file_name for folder in folders if entry.file_name)
    return next((place for place in places if place.exists()), None)


def read_list(path: Path) -> dict[str, ModelEntry]:
    """Read a list of models; relative paths in it start from its folder.

    Raises
    ------
    CheckpointError
        If it is no JSON list of entries, or one lacks its name, summary or licence.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = [_entry_from(values, path.parent) for values in content]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"the list of models {path.name} cannot be read ({_reason(error)}); correct it or move "
            "it away"
        ) from error
    return {entry.name: entry for entry in entries}


def user_list() -> dict[str, ModelEntry]:
    """The user's own entries; empty if there is no list."""
    path = models_folder() / USER_LIST
    return read_list(path) if path.is_file() else {}


def add_to_user_list(entry: ModelEntry) -> None:
    """Write an entry into the user's list; an earlier one of that name is replaced."""
    entries = {**user_list(), entry.name: entry}
    with atomic_path(models_folder() / USER_LIST) as temporary:
        content = [_as_values(e) for e in entries.values()]
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _entry_from(values: dict[str, Any], folder: Path) -> ModelEntry:
    known = {field.name for field in fields(ModelEntry)}
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is unknown")
    for key in ("name", "summary", "licence"):
        if not isinstance(values[key], str) or not values[key].strip():
            raise ValueError(f"{key} is empty")
    path = values.get("path")
    return ModelEntry(
        **{
            **values,
            "path": None if path is None else folder / Path(path).expanduser(),
            "checksums": tuple(values.get("checksums") or ()),
        }
    )


def _as_values(entry: ModelEntry) -> dict[str, Any]:
    """What differs from the defaults, as JSON types."""
    defaults = asdict(ModelEntry(entry.name, entry.summary, entry.licence))
    always = ("name", "summary", "licence")
    values = {k: v for k, v in asdict(entry).items() if k in always or v != defaults[k]}
    return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"an entry lacks {error.args[0]!r}"
    return (str(error).splitlines() or [type(error).__name__])[0]
