"""Adding layers without getting in the user's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


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


def remove_layers(viewer: Any, layers: Sequence[Any]) -> None:
    """Remove layers; those that are gone already are skipped."""
    for layer in layers:
        with suppress(ValueError, KeyError, RuntimeError):
            viewer.layers.remove(layer)
