"""OME-Zarr metadata (NGFF 0.1 to 0.5): axes, scale and translation of each resolution level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stacksam.core.volume import Volume
from stacksam.io.units import in_mm

if TYPE_CHECKING:
    import zarr

_LETTERS = {"time": "T", "channel": "C"}


class Grid(NamedTuple):
    """Axes of a stack with scale and translation in the axes' units."""

    axes: tuple[dict[str, Any], ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


def ome_attributes(group: zarr.Group | zarr.Array) -> Mapping[str, Any]:
    """Return the OME attributes of a group, which format 3 keeps under a key of their own."""
    attributes = group.attrs.asdict()
    nested = attributes.get("ome")
    return nested if isinstance(nested, dict) else attributes


def set_ome(group: zarr.Group, attributes: dict[str, Any]) -> None:
    """Write OME attributes with their version: 0.4 in Zarr format 2, 0.5 in format 3."""
    if group.metadata.zarr_format == 3:
        group.attrs["ome"] = {**ome_attributes(group), "version": "0.5", **attributes}
        return
    versioned = dict(attributes)
    if "multiscales" in versioned:
        versioned["multiscales"] = [{"version": "0.4", **m} for m in versioned["multiscales"]]
    if "image-label" in versioned:
        versioned["image-label"] = {"version": "0.4", **versioned["image-label"]}
    group.attrs.update(versioned)


def axis_letters(multiscale: Mapping[str, Any]) -> str:
    """Return one letter per axis.

    Examples
    --------
    >>> axis_letters({"axes": [{"name": "t", "type": "time"}, {"name": "y"}, {"name": "x"}]})
    'TYX'
    """
    return "".join(
        _LETTERS.get(a.get("type", "")) or a["name"][:1].upper() for a in _axes(multiscale)
    )


def _axes(multiscale: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the axes as version 0.4 writes them; before 0.3 there are always five."""
    axes = multiscale.get("axes") or [*"tczyx"]
    return [{"name": axis} if isinstance(axis, str) else dict(axis) for axis in axes]


def level_transform(multiscale: Mapping[str, Any], level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and translation of all axes in their units, 1 and 0 where none is given."""
    count = len(_axes(multiscale))
    scale, translation = np.ones(count), np.zeros(count)
    for transform in (
        *(multiscale["datasets"][level].get("coordinateTransformations") or []),
        *(multiscale.get("coordinateTransformations") or []),
    ):
        if transform["type"] == "scale":
            factors = np.asarray(transform["scale"], float)
            scale, translation = scale * factors, translation * factors
        elif transform["type"] == "translation":
            translation = translation + np.asarray(transform["translation"], float)
    return scale, translation


def placement_mm(multiscale: Mapping[str, Any], level: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and translation of z, y and x in mm, None where not all of it is known."""
    letters = axis_letters(multiscale)
    if not set("ZYX") <= set(letters):
        return None
    where = [letters.index(letter) for letter in "ZYX"]
    units = np.array([in_mm(_axes(multiscale)[i].get("unit")) for i in where])
    scale, translation = level_transform(multiscale, level)
    scale, translation = scale[where] * units, translation[where] * units
    is_known = np.isfinite([*scale, *translation]).all() and min(scale) > 0
    return (scale, translation) if is_known else None


def grid_of_volume(volume: Volume | None) -> Grid:
    """Return the grid of a volume: in mm or µm; without a translation where axes are turned."""
    axes = tuple({"name": letter, "type": "space"} for letter in "zyx")
    if volume is None or volume.spacing_zyx is None:
        return Grid(axes, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    spacing, origin = volume.spacing_zyx, (0.0, 0.0, 0.0)
    unit, per_mm = ("millimeter", 1.0) if min(spacing) >= 0.1 else ("micrometer", 1000.0)
    affine = volume.affine
    if affine is not None and np.allclose(affine[:3, :3], np.diag(spacing), rtol=1e-6, atol=1e-9):
        origin = tuple(affine[:3, 3].tolist())
    return Grid(
        tuple({**axis, "unit": unit} for axis in axes),
        tuple(step * per_mm for step in spacing),
        tuple(place * per_mm for place in origin),
    )


def grid_of_image(image: zarr.Group, shape: Sequence[int]) -> Grid | None:
    """Return the grid of the level of an image that has this shape as (Z, Y, X) or (T, Y, X)."""
    multiscale = ome_attributes(image)["multiscales"][0]
    letters = axis_letters(multiscale)
    for level, dataset in enumerate(multiscale["datasets"]):
        sizes = dict(zip(letters, image[dataset["path"]].shape, strict=True))
        for stack in ("ZYX", "TYX"):
            if all(sizes.get(a, 1) == n for a, n in zip(stack, shape, strict=True)):
                return _grid_of_level(multiscale, level, stack)
    return None


def _grid_of_level(multiscale: Mapping[str, Any], level: int, stack: str) -> Grid:
    letters, axes = axis_letters(multiscale), _axes(multiscale)
    scale, translation = level_transform(multiscale, level)
    found, steps, places = [], [], []
    for letter in stack:
        where = letters.find(letter)
        plain = {"name": letter.lower(), "type": "time" if letter == "T" else "space"}
        found.append(plain if where < 0 else {**plain, **axes[where]})
        steps.append(1.0 if where < 0 else float(scale[where]))
        places.append(0.0 if where < 0 else float(translation[where]))
    return Grid(tuple(found), tuple(steps), tuple(places))


def multiscale_of(name: str, grid: Grid, count: int, prefix: str = "") -> dict[str, Any]:
    """Describe `count` levels, each taking every second row and column of the one before it.

    Voxel centres of a coarse level are then voxel centres of the fine one, so that all levels have
    the same translation.
    """
    datasets = []
    first, y, x = grid.scale
    for level in range(count):
        scale = [first, y * 2**level, x * 2**level]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(math.fabs(place) > 0 for place in grid.translation):
            transforms.append({"type": "translation", "translation": [*grid.translation]})
        datasets.append({"path": f"{prefix}{level}", "coordinateTransformations": transforms})
    return {"name": name, "axes": [*grid.axes], "datasets": datasets}
