"""The shipped volumes for napari's Open Sample menu."""

from __future__ import annotations

from pathlib import Path

import stacksam
from stacksam.plugin.readers import LayerData, read_layers

_FOLDER = Path(stacksam.__file__).parent / "sample_data"


def abdomen_ct() -> list[LayerData]:
    """Return the generated abdomen CT phantom in Hounsfield units."""
    return read_layers(str(_FOLDER / "abdomen_ct.nii.gz"))


def nuclei() -> list[LayerData]:
    """Return the generated 3D fluorescence nuclei."""
    return read_layers(str(_FOLDER / "nuclei.tif"))
