"""What has to be loaded before a session can begin; all of it runs in the engine's thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from stacksam.core.volume import Volume
from stacksam.core.windows import WindowSpec
from stacksam.plugin.recovery import begin_journal


@dataclass(frozen=True)
class Prepared:
    """A new session for the GUI's thread to own, its model, and where its journal lies."""

    session: Any
    model: Any
    folder: Path | None
    trouble: str


def prepare(volume: Volume, window: WindowSpec, model: Any) -> Prepared:
    """Load the model if it is given by name, look at the volume, begin session and journal.

    Parameters
    ----------
    volume : Volume
    window : WindowSpec
    model : Predictor or str
    """
    from stacksam.session import Session

    loaded = load_and_warm(model) if isinstance(model, str) else model
    _ = volume.fingerprint  # computed once, and not while the window waits
    session = Session(volume, loaded, window)
    return Prepared(session, loaded, *begin_journal(session))


def load_and_warm(name: str) -> Any:
    """Load a model and run it once, as the first run is slow."""
    from stacksam.plugin.engine import leave_a_core
    from stacksam.sam import FieldPrompts, load_model

    leave_a_core()
    model = load_model(name)
    grey = np.zeros((model.input_size, model.input_size), np.float32)
    model.decode(model.encode(grey), FieldPrompts(((8.0, 8.0),), (True,)))
    return model


class Download:
    """A transfer that a thread makes and the window looks at.

    Attributes
    ----------
    cancel : threading.Event
    progress : tuple of int
        Bytes that are here, and bytes in all (0 if not known).
    """

    def __init__(self) -> None:
        self.cancel = Event()
        self.progress = (0, 0)

    def report(self, done: int, total: int) -> None:
        """Note how far it is."""
        self.progress = (done, total)


def must_fetch(name: str) -> bool:
    """Whether a model is known by name and not here yet."""
    from stacksam.sam.registry import list_models

    return any(entry.name == name and not entry.is_here for entry in list_models())


def fetch(name: str, download: Download) -> None:
    """Download a model that is known by name and not here yet; of a file do nothing."""
    from stacksam.sam.registry import download_model

    if must_fetch(name):
        download_model(name, progress=download.report, cancel=download.cancel)


def model_entries(current: str = "") -> list[dict[str, Any]]:
    """What the model panel shows of each known model, and of a file that is in use."""
    from stacksam.sam.registry import list_models

    entries = [
        {
            "name": entry.name,
            "text": entry.summary,
            "size": _size_text(entry),
            "licence": getattr(entry, "licence_text", entry.licence),
            "is_ready": bool(entry.is_here),
        }
        for entry in list_models()
    ]
    if current and current not in {entry["name"] for entry in entries}:
        entries.append({"name": current, "text": Path(current).name, "is_ready": True})
    return entries


def _size_text(entry: Any) -> str:
    size = getattr(entry, "size", None)
    if size is None and entry.path is not None and entry.path.is_file():
        size = entry.path.stat().st_size
    return "" if not size else f"{size / 1e6:.0f} MB"
