"""Letters that say where left, right, front, back, head and feet of the patient are."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacksam.plugin.coordinates import Grid
from stacksam.plugin.layers import METADATA

LETTERS = (("S", "I"), ("P", "A"), ("L", "R"))
"""Towards larger and towards smaller z, y, x in LPS."""


def patient_affine(layer: Any) -> np.ndarray | None:
    """The (4, 4) matrix from voxels to LPS mm that our readers keep; None of other layers."""
    kept = layer.metadata.get(METADATA)
    affine = kept.get("affine") if isinstance(kept, dict) else None
    return None if affine is None else np.asarray(affine)


def letter_of(direction: np.ndarray) -> str:
    """The letter of a direction (z, y, x) in LPS; the axis that it is nearest to counts.

    Examples
    --------
    >>> letter_of(np.array([0.1, 0.0, -1.0]))
    'R'
    """
    axis = int(np.argmax(np.abs(direction)))
    towards, away = LETTERS[axis]
    return towards if direction[axis] > 0 else away


def opposite(letter: str) -> str:
    """The letter of the other way."""
    pairs = dict(LETTERS) | {b: a for a, b in LETTERS}
    return pairs[letter]


def screen_letters(viewer: Any, layer: Any, grid: Grid) -> tuple[str, str, str, str] | None:
    """Letters at the top, right, bottom and left of the canvas; None where they are not known."""
    affine = patient_affine(layer)
    if affine is None or len(grid.spatial) != 3 or viewer.dims.ndisplay != 2:
        return None
    skipped = viewer.dims.ndim - grid.ndim
    shown = [d - skipped for d in viewer.dims.displayed]
    if not set(shown) <= set(grid.spatial):
        return None
    origin = np.asarray(layer.data_to_world(np.zeros(grid.ndim)))
    camera = getattr(viewer, "scene", viewer).camera
    senses = [str(sense) for sense in getattr(camera, "orientation2d", ("down", "right"))]
    found = []
    for axis, sense, usual in zip(shown, senses, ("down", "right"), strict=True):
        step = np.zeros(grid.ndim)
        step[axis] = 1.0
        in_world = (np.asarray(layer.data_to_world(step)) - origin)[axis]
        direction = affine[:3, grid.spatial.index(axis)] * np.sign(in_world)
        found.append(letter_of(direction if sense.endswith(usual) else -direction))
    bottom, right = found
    return opposite(bottom), right, bottom, opposite(right)


def compass(letters: tuple[str, str, str, str]) -> str:
    """The letters around a cross, as text."""
    top, right, bottom, left = letters
    return f"   {top}\n{left}  +  {right}\n   {bottom}"


class Compass:
    """Shows the letters in the viewer's text overlay, unless the user has one of their own.

    It also turns the depth axis of the 3D display: napari draws z, y, x as a right-handed frame,
    in which patients, who are measured along right-handed x, y, z, come out mirrored.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._shown = ""
        self._former_depth = ""

    def show(self, layer: Any, grid: Grid) -> None:
        """Follow the view."""
        letters = screen_letters(self.viewer, layer, grid)
        self._set("" if letters is None else compass(letters))
        self._turn_depth(patient_affine(layer) is not None and len(grid.spatial) == 3)

    def close(self) -> None:
        """Take the letters away."""
        self._set("")
        self._turn_depth(False)

    def _turn_depth(self, is_patient: bool) -> None:
        camera = getattr(self.viewer, "scene", self.viewer).camera
        depth = str(camera.orientation[0])
        if is_patient and not self._former_depth:
            self._former_depth = depth
            camera.orientation = ("away", *camera.orientation[1:])
        elif not is_patient and self._former_depth:
            if depth == "away":  # otherwise the user has chosen
                camera.orientation = (self._former_depth, *camera.orientation[1:])
            self._former_depth = ""

    def _set(self, text: str) -> None:
        overlay = _text_overlay(self.viewer)
        if text == self._shown or (overlay.visible and overlay.text != self._shown):
            return
        overlay.position = "top_left"
        overlay.text = text
        overlay.visible = bool(text)
        self._shown = text


def _text_overlay(viewer: Any) -> Any:
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return viewer.text_overlay if overlays is None else overlays.text
