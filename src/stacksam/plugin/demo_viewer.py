"""The demo's result in napari, a window for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stacksam.plugin import sample_data
from stacksam.plugin.layers import grid_options

if TYPE_CHECKING:
    import napari


def open_demo(labels: Mapping[str, Path]) -> list[napari.Viewer]:
    """Open the shipped samples with these label files over them.

    Parameters
    ----------
    labels : mapping from sample name to label file
        Names end in ``_corrected`` where the prompts were.
    """
    import napari

    from stacksam.io import read

    viewers = []
    for name, path in labels.items():
        ((data, options, _),) = getattr(sample_data, name.removesuffix("_corrected"))()
        viewer = napari.Viewer(title=f"StackSAM demo: {name}")
        image = viewer.add_image(data, **options)
        found = np.asarray(read(path).data)
        viewer.add_labels(found, name=f"{image.name} StackSAM labels", **grid_options(image))
        viewers.append(viewer)
    return viewers


def show_demo(labels: Mapping[str, Path]) -> None:
    """Open the demo and stay until its windows are closed."""
    import napari

    open_demo(labels)
    napari.run()
