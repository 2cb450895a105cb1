"""From napari's world to voxels: units, the axes of an image layer, the slice on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer

MOST_CHANNELS = 6
"""An unnamed leading axis up to this long is taken for channels, a longer one for time."""


@dataclass(frozen=True)
class Grid:
    """Which axes of an image layer are (z,) y and x, and which frame of the others is meant.

    Attributes
    ----------
    shape : tuple of int
        Of the layer, without colours.
    spatial : tuple of int
        Two or three layer axes, ascending.
    channel, time : int or None
        Layer axes.
    channel_index, time_index : int
        The chosen frame on them.
    """

    shape: tuple[int, ...]
    spatial: tuple[int, ...]
    channel: int | None = None
    time: int | None = None
    channel_index: int = 0
    time_index: int = 0

    @property
    def ndim(self) -> int:
        """Axes of the layer."""
        return len(self.shape)

    @property
    def offset(self) -> np.ndarray:
        """Layer coordinates of the chosen frame's origin, float array (ndim,)."""
        offset = np.zeros(self.ndim)
        for axis, index in ((self.channel, self.channel_index), (self.time, self.time_index)):
            if axis is not None:
                offset[axis] = index
        return offset

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of a layer that covers the chosen frame only: 1 on all other axes."""
        return tuple(n if axis in self.spatial else 1 for axis, n in enumerate(self.shape))

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """(Z, Y, X); Z is 1 for a flat image."""
        z, y, x = (1,) * (3 - len(self.spatial)) + tuple(self.shape[a] for a in self.spatial)
        return z, y, x

    def to_zyx(self, coords: Any) -> np.ndarray:
        """Coordinates of a frame's layer, (..., ndim), as voxels (..., 3)."""
        coords = np.asarray(coords, float)
        zyx = np.zeros((*coords.shape[:-1], 3))
        zyx[..., 3 - len(self.spatial) :] = coords[..., list(self.spatial)]
        return zyx

    def from_zyx(self, zyx: Any) -> np.ndarray:
        """Voxels (..., 3) as coordinates of a frame's layer, (..., ndim)."""
        zyx = np.asarray(zyx, float)
        coords = np.zeros((*zyx.shape[:-1], self.ndim))
        coords[..., list(self.spatial)] = zyx[..., 3 - len(self.spatial) :]
        return coords

    def select(self, data: Any) -> Any:
        """The chosen frame of the layer's data, lazily where the data are lazy."""
        key: list[int | slice] = [slice(None)] * self.ndim
        for axis, index in ((self.channel, self.channel_index), (self.time, self.time_index)):
            if axis is not None:
                key[axis] = index
        return data if self.ndim == len(self.spatial) else data[tuple(key)]


@dataclass(frozen=True)
class View:
    """The slice that the viewer shows.

    Attributes
    ----------
    axis : {0, 1, 2}
        Axis of the volume across which slices are counted.
    index : int
        Clipped to the volume.
    is_flat : bool
        Whether one slice is shown; False in the 3D display.
    """

    axis: int
    index: int
    is_flat: bool = True


def read_grid(layer: Layer, channel_index: int = 0, time_index: int = 0) -> Grid:
    """Find out what the axes of an image layer mean, from their labels or else from their order.

    Raises
    ------
    ValueError
        If the layer has more axes than time, channel, z, y and x.
    """
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    shape = tuple(int(n) for n in data.shape[: layer.ndim])
    roles = _roles(tuple(str(label).lower() for label in layer.axis_labels), shape)
    if roles is None:
        raise ValueError(
            f"layer '{layer.name}' has {layer.ndim} axes; StackSAM takes time, channel, z, y and "
            "x, so choose a part of it first (Layer > Split Stack)"
        )
    spatial, channel, time = roles
    return Grid(
        shape,
        spatial,
        channel,
        time,
        0 if channel is None else min(max(channel_index, 0), shape[channel] - 1),
        0 if time is None else min(max(time_index, 0), shape[time] - 1),
    )


Roles = tuple[tuple[int, ...], int | None, int | None]


def _roles(labels: tuple[str, ...], shape: tuple[int, ...]) -> Roles | None:
    """(spatial axes, channel axis, time axis), None if there are too many."""
    ndim = len(shape)
    channel = next((a for a, label in enumerate(labels) if label in ("c", "channel")), None)
    time = next((a for a, label in enumerate(labels) if label in ("t", "time")), None)
    rest = [a for a in range(ndim) if a not in (channel, time)]
    if len(rest) == 2 and channel is None and time is not None:
        return tuple(range(ndim)), None, None  # a 2D time-lapse is a stack along time
    if len(rest) == 2 and time is not None and channel is not None:
        rest, time = sorted([*rest, time]), None
    while len(rest) > 3:
        axis = rest.pop(0)
        if channel is None and (
            time is not None or (shape[axis] <= MOST_CHANNELS and not rest[3:])
        ):
            channel = axis
        elif time is None:
            time = axis
        else:
            return None
    return tuple(rest), channel, time


def to_data(viewer: Any, layer: Layer, position: Any) -> np.ndarray:
    """World position as data coordinates of a layer, also where layers differ in units.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : Layer
    position : sequence of float
        In the viewer's world, at least ``layer.ndim`` long.

    Returns
    -------
    coords : ndarray of shape (layer.ndim,)
    """
    position = np.asarray(position, float)[-layer.ndim :]
    return np.asarray(layer.world_to_data(position / world_factors(viewer, layer)))


def world_factors(viewer: Any, layer: Layer) -> np.ndarray:
    """World units per unit of the layer, per axis; 1 where the viewer does not convert."""
    units = viewer.layers.extent.units
    if units is None:
        return np.ones(layer.ndim)
    pairs = zip(layer.units, units[-layer.ndim :], strict=True)
    return np.array([float((1.0 * own).to(world).magnitude) for own, world in pairs])


def slice_index(coordinate: float, n_slices: int) -> int:
    """The slice that napari shows at a data coordinate, clipped to the volume."""
    return int(np.clip(np.round(coordinate), 0, n_slices - 1))


def current_view(viewer: Any, layer: Layer, grid: Grid) -> View | None:
    """The slice of the image that the viewer shows now.

    Returns
    -------
    view : View or None
        None if an axis is displayed that is neither z, y nor x, or the layer is gone.
    """
    skipped = viewer.dims.ndim - grid.ndim  # world axes that the layer does not have
    if skipped < 0:
        return None  # the layer is being removed
    order = [d - skipped for d in viewer.dims.order if d >= skipped]
    n_displayed = int(viewer.dims.ndisplay)
    if len(grid.spatial) == 2:
        return View(0, 0) if set(order[-2:]) == set(grid.spatial) else None
    spatial = [axis for axis in order if axis in grid.spatial]
    across = spatial[0]  # in the 3D display, the one that 2D would slice
    if not set(order[-n_displayed:]) <= set(grid.spatial):
        return None
    axis = grid.spatial.index(across)
    point = to_data(viewer, layer, viewer.dims.point)
    return View(axis, slice_index(point[across], grid.shape[across]), n_displayed == 2)


def frame_options(viewer: Any, image: Layer, grid: Grid) -> dict[str, Any]:
    """Options that put a layer on the chosen frame of an image, in the viewer's world units.

    napari's drawing tools do not convert units, so layers that are drawn on have to have the
    world's; the place in space is the image's.
    """
    factors = world_factors(viewer, image)
    units = viewer.layers.extent.units
    matrix = np.array(image.affine.affine_matrix, float)
    matrix[:-1, -1] *= factors
    matrix[:-1, :-1] *= factors[:, None] / factors[None, :]
    return {
        "scale": np.asarray(image.scale) * factors,
        "translate": (np.asarray(image.translate) + np.asarray(image.scale) * grid.offset)
        * factors,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": matrix,
        "units": image.units if units is None else units[-image.ndim :],
        "axis_labels": image.axis_labels,
    }


def place_on_frame(layer: Layer, options: dict[str, Any]) -> None:
    """Give a layer the options of `frame_options`, as far as they differ."""
    for name, value in options.items():
        old = getattr(layer, name)
        old = old.affine_matrix if name == "affine" else old
        is_same = (
            tuple(old) == tuple(value)
            if name in ("units", "axis_labels")
            else np.array_equal(old, value)
        )
        if not is_same:
            setattr(layer, name, value)
