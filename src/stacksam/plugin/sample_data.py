"""The shipped volumes for napari's Open Sample menu."""

from __future__ import annotations

from pathlib import Path

import stacksam
from stacksam.core.windows import WindowSpec
from stacksam.plugin.layers import volume_to_layer
from stacksam.plugin.readers import LayerData

_FOLDER = Path(stacksam.__file__).parent / "sample_data"


def abdomen_ct() -> list[LayerData]:
    """Return the generated abdomen CT phantom in Hounsfield units."""
    return _sample("abdomen_ct.nii.gz", "Abdomen CT", "ct-soft-tissue")


def nuclei() -> list[LayerData]:
    """Return the generated 3D fluorescence nuclei."""
    return _sample("nuclei.tif", "Nuclei", "auto")


def _sample(file: str, name: str, window: WindowSpec) -> list[LayerData]:
    data, options, kind = volume_to_layer(stacksam.read(_FOLDER / file), window)
    return [(data, options | {"name": name}, kind)]
