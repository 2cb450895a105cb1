"""Zarr arrays (formats 2 and 3) and OME-Zarr images (0.1 to 0.5), read where they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.lazy_view import LazyView
from stacksam.io.ngff import axis_letters, ome_attributes, placement_mm
from stacksam.io.remote import Address
from stacksam.io.zarr_chunks import check_chunks, full_key

if TYPE_CHECKING:
    import zarr

    from stacksam.io.remote_store import RemoteStore

METADATA_FILES = ("zarr.json", ".zarray", ".zgroup")
OWN_KEY = "stacksam"  # our attributes: what OME-Zarr has no place for


class Placement(NamedTuple):
    """Where a stack lies: spacing (z, y, x) in mm and affine, None where unknown."""

    spacing_zyx: tuple[float, ...] | None = None
    affine: np.ndarray | None = None


def is_zarr(path: Path) -> bool:
    """Say whether a folder is a Zarr array or group."""
    return any((path / name).is_file() for name in METADATA_FILES)


def read_zarr(
    path: Path | Address, suffix: str, channel: Choice, time: int | None, series: Choice
) -> Volume:
    """Read an OME-Zarr image, one level of it, or a plain array; no voxel is loaded.

    OME-Zarr gives axes and spacing, `series` chooses the resolution level (0, the finest, without
    a choice). Without a unit the spacing counts as unknown. A translation becomes an affine.
    A plain array is (Y, X), (Z, Y, X) or (T, Z, Y, X), or has named dimensions.
    """
    import zarr

    store = _remote_store(path) if isinstance(path, Address) else None
    node = _open_remote(store) if store is not None else zarr.open(path, mode="r")
    name = path.name
    while isinstance(node, zarr.Group) and "multiscales" not in ome_attributes(node):
        node, name = _only_image(node, name)
    if isinstance(node, zarr.Array):
        pick_index(series, 1, "series", path.name)
        axes, is_colour = _array_axes(node, path.name)
        placement, names = _own_placement(node), []
    else:
        multiscale = ome_attributes(node)["multiscales"][0]
        level = _pick_level(node, multiscale, series, path.name)
        placement = _placement(node, multiscale, level)
        names = _channel_names(node)
        node = node[multiscale["datasets"][level]["path"]]
        axes, is_colour = axis_letters(multiscale), False
        if len(axes) != node.ndim:
            raise ReadError(f"{path.name} names {len(axes)} axes, but its array has {node.ndim}")
    if store is not None:
        store.expect(node)
    stack, rgb, is_timelapse = pick_stack(
        LazyView(_Stored(node, path.name)),
        axes,
        name=path.name,
        channel=channel,
        time=time,
        channel_names=names,
        is_colour=is_colour,
    )
    spacing, affine = Placement() if is_timelapse else placement
    return make_volume(stack, path.name, rgb=rgb, spacing_zyx=spacing, affine=affine)


def _remote_store(address: Address) -> RemoteStore:
    try:
        from stacksam.io.remote_store import RemoteStore

        return RemoteStore(address)
    except ImportError as error:
        raise ReadError(
            f"{address.name} lies on a server, and a package to read it is not installed; pip "
            'install "napari-stacksam[remote]" brings it'
        ) from error


def _open_remote(store: RemoteStore) -> zarr.Group | zarr.Array:
    """Open what lies at an address; a ReadError if there is no Zarr."""
    import zarr

    try:
        return zarr.open(store, mode="r")
    except FileNotFoundError:
        if store.was_refused:
            raise store.explained(PermissionError()) from None
        raise ReadError(
            f"{store.name} was not found or is not a Zarr array or image; check the address"
        ) from None


class _Stored:
    """A Zarr array whose damaged chunks are reported in one sentence."""

    def __init__(self, array: zarr.Array, name: str) -> None:
        self._array, self._name = array, name
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)
        self.chunks = array.chunks

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            check_chunks(self._array, full_key(key, len(self.shape)), self._name)
            return np.asarray(self._array[key])
        except (MemoryError, ReadError):
            raise
        except Exception as error:  # each codec has its own
            raise ReadError(
                f"{self._name} has a chunk that is damaged or cannot be opened; copy or export it "
                "again"
            ) from error


def _only_image(group: zarr.Group, name: str) -> tuple[zarr.Group | zarr.Array, str]:
    """Return the only image below a group; several, or a plate, are for the user to choose from."""
    attributes = ome_attributes(group)
    if "plate" in attributes:
        example = f"{name}/{attributes['plate']['wells'][0]['path']}/0"
        raise ReadError(f"{name} is a plate with many images; open one of them, such as {example}")
    children = sorted(key for key in group.keys() if key != "OME")  # noqa: SIM118
    if not children:
        raise ReadError(f"{name} is a Zarr group without an image; open the folder that holds it")
    if len(children) > 1:
        listed = ", ".join(children[:10]) + (" ..." if len(children) > 10 else "")
        raise ReadError(
            f"{name} holds several images ({listed}); open one of them, such as "
            f"{name}/{children[0]}"
        )
    return group[children[0]], f"{name}/{children[0]}"


def _array_axes(array: zarr.Array, name: str) -> tuple[str, bool]:
    """Return the axes of a plain array and whether the last one holds colours."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.asdict().get("_ARRAY_DIMENSIONS") or ()
    letters = "".join(str(n).upper() for n in names)
    if len(names) == array.ndim and len(set(letters)) == array.ndim and set(letters) <= {*"TCZYX"}:
        return letters, False
    is_colour = array.ndim > 2 and array.shape[-1] == 3 and array.dtype == np.uint8
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(array.ndim - int(is_colour))
    if axes is None:
        raise ReadError(
            f"{name} has shape {array.shape}; name its dimensions, or save (Y, X), (Z, Y, X) or "
            "(T, Z, Y, X)"
        )
    return axes + ("S" if is_colour else ""), is_colour


def _pick_level(group: zarr.Group, multiscale: Mapping[str, Any], series: Choice, name: str) -> int:
    paths = [dataset["path"] for dataset in multiscale["datasets"]]
    sizes = ["x".join(str(n) for n in group[path].shape) for path in paths]
    return pick_index(0 if series is None else series, len(paths), "series", name, sizes)


def _channel_names(group: zarr.Group) -> list[str]:
    channels = ome_attributes(group).get("omero", {}).get("channels", [])
    names = [str(channel.get("label", "")) for channel in channels]
    return names if all(names) else []


def _placement(group: zarr.Group, multiscale: Mapping[str, Any], level: int) -> Placement:
    """Return where a level lies: exactly if we wrote it, by scale and translation otherwise."""
    fine, this = placement_mm(multiscale, 0), placement_mm(multiscale, level)
    if fine is None or this is None:
        return Placement()
    scale, translation = this
    own = _own_placement(group)
    if own.affine is not None and _fits(own.affine, fine[0]):
        to_fine = np.diag([*(scale / fine[0]), 1.0])
        to_fine[:3, 3] = (translation - fine[1]) / fine[0]
        return Placement(None, own.affine @ to_fine)
    if not translation.any():
        return Placement(tuple(scale.tolist()))
    affine = np.diag([*scale, 1.0])
    affine[:3, 3] = translation
    return Placement(tuple(scale.tolist()), affine)


def _fits(affine: np.ndarray, scale: np.ndarray) -> bool:
    """Say whether the scale is still the one our affine was written with."""
    return np.allclose(np.linalg.norm(affine[:3, :3], axis=0), scale, rtol=1e-3, atol=0)


def _own_placement(node: zarr.Group | zarr.Array) -> Placement:
    """Return the placement our writer left in the attributes."""
    own = node.attrs.asdict().get(OWN_KEY) or {}
    spacing: Sequence[float] | None = own.get("spacing_zyx")
    affine = own.get("affine")
    return Placement(
        None if spacing is None else tuple(spacing),
        None if affine is None else np.asarray(affine, float),
    )
