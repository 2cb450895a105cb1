"""Adding layers without getting in the user's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import ref

from qtpy.QtCore import QTimer


@contextmanager
def quietly_above(viewer: Any, image: Any) -> Iterator[None]:
    """Put layers that are added within right above the image, and keep what is selected.

    napari puts new layers on top and selects them, which would hide prompts and end drawing.
    """
    selected = list(viewer.layers.selection)
    active = viewer.layers.selection.active
    before = len(viewer.layers)
    try:
        yield
    finally:
        place = next((i for i, layer in enumerate(viewer.layers) if layer == image), None)
        for number in range(before, len(viewer.layers)):
            if place is not None and place + 1 < number:
                viewer.layers.move(number, place + 1)
        if active is not None:
            viewer.layers.selection.active = active
        elif selected:
            viewer.layers.selection.clear()
            viewer.layers.selection.update(selected)


def remove_gently(viewer: Any, layers: Sequence[Any], pause: int = 60) -> None:
    """Remove layers one after the other, with a drawing between them.

    vispy 0.17 ends the whole program on some graphics drivers (Mesa's llvmpipe for one) if two
    layers go between two drawings and a third one comes.

    Parameters
    ----------
    viewer : napari.Viewer
    layers : sequence of layers
        Those that are gone already are skipped.
    pause : int
        Milliseconds between two of them.
    """
    # weakly, as the viewer may be closed in the meantime
    known, *waiting = (ref(getattr(x, "__wrapped__", x)) for x in (viewer, *layers))

    def remove_next() -> None:
        viewer = known()
        while waiting and viewer is not None:
            with suppress(ValueError, KeyError, RuntimeError):
                viewer.layers.remove(waiting.pop(0)())
                break
        if waiting and viewer is not None:
            QTimer.singleShot(pause, remove_next)

    remove_next()
