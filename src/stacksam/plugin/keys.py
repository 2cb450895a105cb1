"""Keys of the workbench; none of them is one of napari's own for images, points or shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """One key: napari's name for it, how it is written for people, and what it does."""

    binding: str
    shown: str
    text: str
    command: str


KEYS = (
    Key("Q", "Q", "Point on the object", "point+"),
    Key("W", "W", "Point beside the object", "point-"),
    Key("Shift-B", "Shift+B", "Box", "box"),
    Key("Shift-S", "Shift+S", "Scribble", "scribble"),
    Key("Shift-O", "Shift+O", "Lasso", "lasso"),
    Key("Shift-E", "Shift+E", "Paint (E erases, P paints, [ and ] change the brush)", "paint"),
    Key("Shift-Z", "Shift+Z", "Pan and zoom", "pan"),
    Key("K", "K", "Next candidate", "candidate"),
    Key("G", "G", "Propagate", "propagate"),
    Key("Shift-X", "Shift+X", "Cancel the propagation", "cancel"),
    Key(".", ".", "Propagate one slice up", "step_up"),
    Key(",", ",", "Propagate one slice down", "step_down"),
    Key("U", "U", "Go to the least certain slice", "least_certain"),
    Key("Shift-C", "Shift+C", "Commit the object", "commit"),
    Key("Control-Alt-C", "Ctrl+Alt+C", "Commit all marked objects", "commit_all"),
    Key("Shift-W", "Shift+W", "The object is not on this slice", "absent"),
    Key("N", "N", "New object", "new_object"),
    Key("H", "H", "Hide or show the object", "hide"),
    Key("Control-Z", "Ctrl+Z", "Undo", "undo"),
    Key("Control-Shift-Z", "Ctrl+Shift+Z", "Redo", "redo"),
)

MOUSE = (
    ("Right drag", "CT and MR: across changes the window's width, along its centre"),
    ("Click in the strip", "Go to that slice"),
    ("Delete", "Remove the selected points or boxes (layer tool Select)"),
    ("Ctrl+E", "Look along another axis"),
)


def cheat_sheet() -> list[tuple[str, str]]:
    """All keys and mouse gestures as (key, text)."""
    return [*((key.shown, key.text) for key in KEYS), *MOUSE]


class KeyBindings:
    """Binds the keys to a viewer for as long as the workbench is open.

    Parameters
    ----------
    viewer : napari.Viewer
    run : callable
        Called with a command's name.
    """

    def __init__(self, viewer: Any, run: Callable[[str], None]) -> None:
        self._viewer, self._run = viewer, run
        for key in KEYS:
            viewer.bind_key(key.binding, self._action(key.command), overwrite=True)

    def close(self) -> None:
        """Give the keys back."""
        for key in KEYS:
            self._viewer.bind_key(key.binding, None)

    def bind_undo(self, layer: Any) -> None:
        """Let a layer's own undo keys take back steps of the session."""
        for key in KEYS:
            if key.command in ("undo", "redo"):
                layer.bind_key(key.binding, self._action(key.command), overwrite=True)

    def _action(self, command: str) -> Callable[[Any], None]:
        return lambda _: self._run(command)
