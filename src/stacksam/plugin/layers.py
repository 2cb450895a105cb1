"""Geometry between napari layers and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.volume import AXIS_NAMES, Volume
from stacksam.core.windows import WindowSpec, resolve_window

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Shapes

Box = tuple[int, int, int, int]


def volume_to_layer(volume: Volume, window: WindowSpec = "auto") -> tuple[Any, dict[str, Any], str]:
    """Turn a volume into napari's (data, options, layer type).

    The layer's world is the volume's: voxel centres land where `Volume.affine` puts them. Spacing
    goes into ``scale``, where other plugins look for it, and only direction and origin into
    ``affine``. Without a known spacing the layer stays in pixels. The window becomes the
    contrast limits.

    Returns
    -------
    layer_data : tuple of (array-like, dict, "image")
    """
    limits = resolve_window(volume, window)
    options: dict[str, Any] = {
        "name": volume.name or "volume",
        "rgb": volume.rgb,
        "axis_labels": AXIS_NAMES,
    }
    if not volume.rgb and limits.high > limits.low:
        options["contrast_limits"] = (limits.low, limits.high)
    if volume.spacing_zyx is not None:
        options |= {"scale": volume.spacing_zyx, "units": ("mm",) * 3}
    if volume.affine is not None:
        options["affine"] = volume.affine @ np.diag([*(1 / np.array(volume.spacing_zyx)), 1.0])
    return volume.data, options, "image"


def layer_to_volume(layer: Image | Labels) -> Volume:
    """Turn an image or labels layer into a volume, with spacing and place if its units are lengths.

    Raises
    ------
    ValueError
        If the layer has more than three axes.
    """
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    if layer.ndim not in (2, 3):
        raise ValueError(
            f"layer '{layer.name}' has {layer.ndim} axes; StackSAM takes 2 or 3, so choose one "
            "time point or channel first (Layer > Split Stack)"
        )
    is_rgb = bool(getattr(layer, "rgb", False))
    return Volume(
        data[..., :3] if is_rgb else data, affine=affine_mm(layer), rgb=is_rgb, name=layer.name
    )


def affine_mm(layer: Layer) -> np.ndarray | None:
    """Return the (4, 4) matrix from voxels to mm (z, y, x) of a 3D layer, None without lengths."""
    if layer.ndim != 3 or not all(unit.is_compatible_with("mm") for unit in layer.units):
        return None
    to_mm = np.array([(1.0 * unit).to("mm").magnitude for unit in layer.units])
    origin = np.asarray(layer.data_to_world((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis, corner in enumerate(np.eye(3)):
        matrix[:3, axis] = (np.asarray(layer.data_to_world(corner)) - origin) * to_mm
    matrix[:3, 3] = origin * to_mm
    return matrix


def grid_options(layer: Layer) -> dict[str, Any]:
    """Return the options that put a new layer on the grid of this one."""
    return {
        "scale": layer.scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def box_on_slice(shapes: Shapes | None, image: Image) -> tuple[int, int, Box]:
    """Read the last drawn shape as a box prompt.

    Returns
    -------
    axis, index : int
        The slice of `image` on which it was drawn; 0, 0 for a 2D image.
    box_yxyx : tuple of 4 int
        Half-open, in the order of the remaining axes, at least one pixel wide, perhaps reaching
        beyond the image.

    Raises
    ------
    ValueError
        If nothing was drawn, or not within one slice.
    """
    if shapes is None or not len(shapes.data):
        raise ValueError("no box yet; press Draw box and drag one around the object")
    corners = np.array([image.world_to_data(shapes.data_to_world(c)) for c in shapes.data[-1]])
    axis, index = 0, 0
    if image.ndim == 3:
        axis = int(np.argmin(np.ptp(corners, axis=0)))
        if np.ptp(corners[:, axis]) > 0.5:
            raise ValueError("the box is not in one slice; draw it in the 2D view")
        index = int(np.floor(corners[:, axis].mean() + 0.5))
        corners = np.delete(corners, axis, axis=1)
    # napari puts pixel centres on integers, a half-open box counts from their edges
    edges = np.floor(np.stack([corners.min(axis=0), corners.max(axis=0)]) + 1.0).astype(int)
    (y0, x0), (y1, x1) = edges.tolist()
    return axis, index, (y0, x0, max(y1, y0 + 1), max(x1, x0 + 1))
