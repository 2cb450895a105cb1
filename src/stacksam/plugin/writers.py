"""Writer for one labels layer, in the layer's geometry."""

from __future__ import annotations

from typing import Any

from stacksam.plugin.layers import layer_to_volume


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer to NIfTI, NRRD, MHA or TIFF (npe2 single-layer writer command).

    Raises
    ------
    WriteError
        If the file cannot be written or the format cannot hold the labels.
    """
    from napari.layers import Layer

    from stacksam.io import write_labels

    like = layer_to_volume(Layer.create(data, meta, "labels"))
    write_labels(path, like.data, like=like)
    return [path]
