"""Labels as OME-Zarr or as a plain Zarr array, slab by slab."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stacksam.core.errors import WriteError
from stacksam.core.volume import Volume
from stacksam.io.atomic import full_suffix
from stacksam.io.ngff import (
    Grid,
    grid_of_image,
    grid_of_volume,
    multiscale_of,
    ome_attributes,
    set_ome,
)
from stacksam.io.zarr_images import OWN_KEY, is_zarr

if TYPE_CHECKING:
    import zarr

_CHUNKS = (16, 256, 256)
_COARSEST = 512  # levels are added until the longer side of a slice is no longer than this
_NESTED_KEYS = {"name": "v2", "separator": "/"}  # one folder per axis, as OME-Zarr wants it
_OWN_NAME = "labels"  # of the label image in a file of ours


def is_zarr_target(path: Path) -> bool:
    """Say whether labels for `path` go into a Zarr folder: its own, or an image's labels group."""
    return full_suffix(path) in (".zarr", ".ome.zarr") or is_label_path(path)


def is_label_path(path: Path) -> bool:
    """Say whether this is ``image.ome.zarr/labels/NAME`` of an existing image."""
    return path.parent.name == "labels" and is_zarr(path.parent.parent)


def check_target(path: Path) -> None:
    """Refuse to replace a folder that is anything else than labels.

    Raises
    ------
    WriteError
        If the folder holds an image, other labels besides ours, or no Zarr at all.
    """
    if not path.is_dir() or not any(path.iterdir()):
        return
    node = _opened(path)
    attributes = {} if node is None else node.attrs.asdict()
    if is_label_path(path) and node is not None and "image-label" in ome_attributes(node):
        return
    if attributes.get(OWN_KEY, {}).get("kind") == "labels" and not _has_other_labels(node):
        return
    if "multiscales" in attributes or "ome" in attributes:
        raise WriteError(
            f"{path.name} holds an image or other labels, which would be lost; write to "
            f"{path.name}/labels/NAME to add labels to it"
        )
    raise WriteError(f"{path.name} is a folder with other content; choose another name")


def _opened(path: Path) -> Any:
    import zarr

    try:
        return zarr.open(path, mode="r")
    except Exception:  # noqa: BLE001 - whatever it holds is no Zarr we could replace
        return None


def write_zarr(folder: Path, target: Path, labels: Any, dtype: Any, like: Volume | None) -> None:
    """Write labels of shape (Z, Y, X) into an empty folder that will become `target`.

    A plain array keeps its geometry in our attributes only. ``.ome.zarr`` gets the layout the
    specification asks for, ``labels/labels`` inside of an image, with the image's levels being
    those of the labels: readers look for the image a label belongs to in the folder above.
    """
    if full_suffix(target) == ".zarr" and not is_label_path(target):
        _write_plain(folder, labels, dtype, like)
        return
    image = target.parent.parent if is_label_path(target) else None
    root = _new_group(folder, 2 if image is None else _format_of(image))
    group = root.create_group(f"labels/{_OWN_NAME}") if image is None else root
    grid = None if image is None else _grid_of(image, labels.shape)
    grid = grid or grid_of_volume(like)
    shapes = _level_shapes(labels.shape)
    levels = [_create_level(group, str(i), shape, dtype, grid) for i, shape in enumerate(shapes)]
    _write_levels(levels, labels)
    multiscale = multiscale_of(target.name, grid, len(levels))
    source = {"source": {"image": "../../"}}
    set_ome(group, {"multiscales": [multiscale], "image-label": source})
    group.attrs.update(_own_attributes(like))
    if image is None:
        set_ome(root["labels"], {"labels": [_OWN_NAME]})
        prefix = f"labels/{_OWN_NAME}/"
        set_ome(root, {"multiscales": [multiscale_of(target.name, grid, len(levels), prefix)]})
        root.attrs.update(_own_attributes(like))


def _write_plain(folder: Path, labels: Any, dtype: Any, like: Volume | None) -> None:
    import zarr

    array = zarr.create_array(
        folder,
        shape=labels.shape,
        dtype=dtype,
        chunks=_chunks(labels.shape),
        fill_value=0,
        zarr_format=2,
        chunk_key_encoding=_NESTED_KEYS,
    )
    array.attrs.update({"_ARRAY_DIMENSIONS": [*"zyx"]} | _own_attributes(like))
    _write_levels([array], labels)


def _new_group(folder: Path, zarr_format: Literal[2, 3]) -> zarr.Group:
    import zarr

    return zarr.create_group(folder, zarr_format=zarr_format)


def _grid_of(image: Path, shape: tuple[int, ...]) -> Grid | None:
    """Return the image's own axes and scale, also where they have no unit."""
    import zarr

    group = zarr.open_group(image, mode="r")
    return grid_of_image(group, shape) if "multiscales" in ome_attributes(group) else None


def prepare_labels_group(target: Path) -> None:
    """Create the labels group of an image if it has none."""
    if is_label_path(target) and not is_zarr(target.parent):
        set_ome(_new_group(target.parent, _format_of(target.parent.parent)), {"labels": []})


def register_label(target: Path) -> None:
    """Add a written label image to the list its image keeps, and to consolidated metadata."""
    import zarr

    if not is_label_path(target):
        return
    group = zarr.open_group(target.parent, mode="r+", use_consolidated=False)
    listed = list(ome_attributes(group).get("labels", []))
    if target.name not in listed:
        set_ome(group, {"labels": [*listed, target.name]})
    image = zarr.open_group(target.parent.parent, mode="r+")
    if image.metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # format 3 has no word on it yet, but it is there
            zarr.consolidate_metadata(image.store)


def slabs(labels: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Give the labels a few slices at a time."""
    for start in range(0, labels.shape[0], _CHUNKS[0]):
        part = slice(start, min(start + _CHUNKS[0], labels.shape[0]))
        yield part, np.asarray(labels[part])


def _write_levels(levels: list[zarr.Array], labels: Any) -> None:
    """Write each slab to all levels (see `multiscale_of`)."""
    for part, slab in slabs(labels):
        for level, array in enumerate(levels):
            step = 2**level
            array[part] = slab[:, ::step, ::step].astype(array.dtype)


def _level_shapes(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    z, y, x = shape
    shapes = [(z, y, x)]
    while max(shapes[-1][1:]) > _COARSEST:
        _, y, x = shapes[-1]
        shapes.append((z, -(-y // 2), -(-x // 2)))
    return shapes


def _create_level(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: Any, grid: Grid
) -> zarr.Array:
    options: dict[str, Any] = {"chunk_key_encoding": _NESTED_KEYS}
    if group.metadata.zarr_format == 3:
        options = {"dimension_names": [axis["name"] for axis in grid.axes]}
    return group.create_array(
        name, shape=shape, dtype=dtype, chunks=_chunks(shape), fill_value=0, **options
    )


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(n, limit) for n, limit in zip(shape, _CHUNKS, strict=True))


def _own_attributes(like: Volume | None) -> dict[str, Any]:
    """Return what we read back: the affine, which OME-Zarr cannot hold where axes are turned."""
    spacing = None if like is None else like.spacing_zyx
    affine = None if like is None else like.affine
    return {
        OWN_KEY: {
            "kind": "labels",
            "spacing_zyx": None if spacing is None else list(spacing),
            "affine": None if affine is None else affine.tolist(),
        }
    }


def _format_of(path: Path) -> Literal[2, 3]:
    return 3 if (path / "zarr.json").is_file() else 2


def _has_other_labels(node: Any) -> bool:
    """Say whether someone added label images to a file of ours."""
    try:
        listed = ome_attributes(node["labels"]).get("labels", [])
    except (KeyError, TypeError, IndexError):  # a plain array, or no labels group
        return False
    return any(name != _OWN_NAME for name in listed)
