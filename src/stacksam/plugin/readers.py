"""Reader for the volume formats that napari itself does not open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stacksam.plugin.layers import volume_to_layer

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm")
LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return `read_layers` if this is one file of a known format (npe2 reader command)."""
    is_known = isinstance(path, str | Path) and str(path).lower().endswith(SUFFIXES)
    return read_layers if is_known else None


def read_layers(path: str) -> list[LayerData]:
    """Read a file as one image layer in millimetres; `ReadError` says what is wrong with it."""
    from stacksam.io import read

    return [volume_to_layer(read(path))]
