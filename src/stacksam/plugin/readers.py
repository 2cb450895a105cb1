"""Reader for the volume formats that napari itself does not open, DICOM folders among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stacksam.core.errors import ReadError
from stacksam.plugin.layers import volume_to_layer

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm", ".zip")
MOST_SERIES = 20
LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return `read_layers` for a file of a known format or a DICOM folder (npe2 command)."""
    if not isinstance(path, str | Path):
        return None
    if Path(path).is_dir():
        return read_layers if _holds_dicom(Path(path)) else None
    return read_layers if str(path).lower().endswith(SUFFIXES) else None


def read_layers(path: str) -> list[LayerData]:
    """Read a file as image layers in millimetres, one for each series of a DICOM folder or archive.

    Raises
    ------
    ReadError
        What is wrong with it.
    """
    from stacksam.io import read

    try:
        return [volume_to_layer(read(path))]
    except ReadError:
        found = _read_series(path) if _may_hold_series(Path(path)) else []
        if not found:
            raise
        return found


def _read_series(path: str) -> list[LayerData]:
    """One layer per series; series that are no stack, such as a scout, are left out."""
    from stacksam.io import read

    found = []
    for number in range(MOST_SERIES):
        try:
            data, options, kind = volume_to_layer(read(path, series=number))
        except ReadError:
            continue
        found.append((data, options | {"name": f"{options['name']} series {number}"}, kind))
    return found


def _may_hold_series(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == ".zip"


def _holds_dicom(folder: Path) -> bool:
    from stacksam.io.dicom_files import find_files

    is_store = any((folder / name).exists() for name in (".zgroup", ".zarray", "zarr.json"))
    return not is_store and bool(find_files(folder))
