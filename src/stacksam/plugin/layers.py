"""Geometry between napari layers and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.volume import AXIS_NAMES, Volume
from stacksam.core.windows import WindowSpec, resolve_window
from stacksam.plugin.coordinates import Grid, read_grid

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

METADATA = "stacksam"
"""Key in a layer's metadata under which what napari cannot hold is kept."""

TILT_TOLERANCE = 1e-3
"""Directions this close to an axis are drawn as lying on it."""


def volume_to_layer(
    volume: Volume, window: WindowSpec | None = None
) -> tuple[Any, dict[str, Any], str]:
    """Turn a volume into napari's (data, options, layer type).

    Spacing goes into ``scale``, where other plugins look for it, direction and origin into
    ``affine``, so that voxel centres land where `Volume.affine` puts them. Of a scan across the
    axes (an oblique or a sagittal series) only the origin is drawn, as napari shows slices along
    its world's axes only; the whole matrix stays in the metadata, from where it is written again.
    Without a known spacing the layer stays in pixels.

    Parameters
    ----------
    volume : Volume
    window : optional
        Becomes the contrast limits; by default what the file asks for, or ``auto``.

    Returns
    -------
    layer_data : tuple of (array-like, dict, "image")
    """
    limits = resolve_window(volume, window or volume.scan.window or "auto")
    options: dict[str, Any] = {
        "name": volume.name or "volume",
        "rgb": volume.rgb,
        "axis_labels": AXIS_NAMES,
        "metadata": {METADATA: {"scan": volume.scan, "affine": volume.affine}},
    }
    if not volume.rgb and limits.high > limits.low:
        options["contrast_limits"] = (limits.low, limits.high)
    if volume.spacing_zyx is not None:
        options |= {"scale": volume.spacing_zyx, "units": ("mm",) * 3}
    if volume.affine is not None:
        options["affine"] = _drawable(volume.affine, np.array(volume.spacing_zyx))
    return volume.data, options, "image"


def _drawable(affine: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The matrix from scaled voxels to the world, without directions that are off the axes."""
    matrix = affine @ np.diag([*(1 / spacing), 1.0])
    linear = matrix[:3, :3]
    off_axis = np.abs(linear - np.diag(np.diag(linear))).max()
    if off_axis > TILT_TOLERANCE:
        matrix[:3, :3] = np.eye(3)
    return matrix


def layer_to_volume(layer: Image | Labels, grid: Grid | None = None) -> Volume:
    """Turn a frame of an image or labels layer into a volume, placed if its units are lengths.

    Parameters
    ----------
    layer : Image or Labels
    grid : Grid, optional
        Which channel and time point; by default the first ones.

    Raises
    ------
    ValueError
        If the layer has more axes than time, channel, z, y and x.
    """
    grid = grid or read_grid(layer)
    data = grid.select(layer.data[0] if getattr(layer, "multiscale", False) else layer.data)
    is_rgb = bool(getattr(layer, "rgb", False))
    kept = _kept(layer)
    options = {"scan": kept["scan"]} if "scan" in kept and grid.ndim == 3 else {}
    return Volume(
        data[..., :3] if is_rgb else data,
        affine=affine_mm(layer, grid),
        rgb=is_rgb,
        name=layer.name,
        **options,
    )


def affine_mm(layer: Layer, grid: Grid | None = None) -> np.ndarray | None:
    """Return the (4, 4) matrix from voxels to mm (z, y, x); None for 2D or without lengths."""
    axes = tuple(range(layer.ndim)) if grid is None else grid.spatial
    units = [layer.units[axis] for axis in axes]
    if len(axes) != 3 or not all(unit.is_compatible_with("mm") for unit in units):
        return None
    to_mm = np.array([(1.0 * unit).to("mm").magnitude for unit in units])
    scale = np.asarray(layer.scale)[list(axes)] * to_mm
    kept = _kept(layer).get("affine")
    if kept is not None and np.allclose(np.linalg.norm(kept[:3, :3], axis=0), scale, rtol=1e-4):
        return np.array(kept)
    start = np.zeros(layer.ndim) if grid is None else grid.offset
    origin = np.asarray(layer.data_to_world(start))
    matrix = np.eye(4)
    for column, axis in enumerate(axes):
        step = start.copy()
        step[axis] += 1
        moved = np.asarray(layer.data_to_world(step)) - origin
        matrix[:3, column] = moved[list(axes)] * to_mm
    matrix[:3, 3] = origin[list(axes)] * to_mm
    return matrix


def _kept(layer: Layer) -> dict[str, Any]:
    """What `volume_to_layer` kept in the metadata, as plugins may replace it with anything."""
    kept = layer.metadata.get(METADATA)
    return {k: v for k, v in kept.items() if v is not None} if isinstance(kept, dict) else {}


def grid_options(layer: Layer) -> dict[str, Any]:
    """Return the options that put a new layer on the grid of this one."""
    kept = {k: v for k, v in _kept(layer).items() if k == "affine"}
    return {
        "scale": layer.scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
        "metadata": {METADATA: kept} if kept else {},
    }
