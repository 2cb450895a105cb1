"""Packs: training images and their labels in one file that numpy alone reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_LZMA, BadZipFile, ZipFile
from zlib import error as ZlibError

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.core.windows import apply_window, resolve_window


@dataclass(frozen=True)
class PackedItem:
    """One image or volume with its labels.

    Attributes
    ----------
    dataset : str
    split : {"train", "val"}
    image : ndarray of shape (Z, Y, X) or (Z, Y, X, 3), uint8, or (Z, Y, X), int16
        Windowed with ``auto``, as at inference; CT (int16) is kept in Hounsfield units, since
        people look at it through many windows.
    labels : ndarray of shape (Z, Y, X), uint16
    spacing_zyx : tuple of three floats or None
    window : (low, high) or None
        Of CT: the limits that ``auto`` gives.
    """

    dataset: str
    split: str
    image: np.ndarray
    labels: np.ndarray
    spacing_zyx: tuple[float, float, float] | None
    window: tuple[float, float] | None = None


def make_item(dataset: str, side: str, volume: Volume, labels: np.ndarray) -> PackedItem:
    """CT as it is, anything else through the window ``auto``.

    Parameters
    ----------
    dataset : str
    side : {"train", "val"}
    volume : Volume
    labels : ndarray of the volume's shape, uint16
    """
    window, slices = resolve_window(volume, "auto"), range(volume.n_slices())
    if _is_hounsfield(volume):
        image = np.stack([volume.read_slice(z).astype(np.int16) for z in slices])
        limits = (window.low, window.high)
        return PackedItem(dataset, side, image, labels, volume.spacing_zyx, limits)
    shown = [np.round(255 * apply_window(volume.read_slice(z), window)) for z in slices]
    return PackedItem(dataset, side, np.stack(shown).astype(np.uint8), labels, volume.spacing_zyx)


def write_pack(path: Path, items: Iterable[PackedItem], *, is_small: bool = False) -> None:
    """Write items as one compressed npz file, atomically.

    Parameters
    ----------
    path : Path
    items : iterable of PackedItem
    is_small : bool
        With LZMA, and images as differences: about a seventh smaller, and slower to write and read.
    """
    from stacksam.io.atomic import atomic_path

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        write_items(file, items, is_small=is_small)


def write_items(file: IO[bytes], items: Iterable[PackedItem], *, is_small: bool = False) -> None:
    """Write a pack to an open file, see `write_pack`."""
    index = []
    with ZipFile(file, "w", ZIP_LZMA if is_small else ZIP_DEFLATED) as archive:
        for number, item in enumerate(items):
            image = as_differences(item.image) if is_small else item.image
            _add(archive, f"image_{number}", image)
            _add(archive, f"labels_{number}", item.labels)
            index.append(
                {
                    "dataset": item.dataset,
                    "split": item.split,
                    "spacing": item.spacing_zyx,
                    "window": item.window,
                    "differences": is_small,
                }
            )
        _add(archive, "index", np.frombuffer(json.dumps(index).encode(), np.uint8))


def _add(archive: ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def read_pack(path: Path) -> list[PackedItem]:
    """Load a pack into memory; ReadError if it is damaged."""
    damages = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError)
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            index = json.loads(arrays["index"].tobytes())
            return [
                PackedItem(
                    entry["dataset"],
                    entry["split"],
                    from_differences(arrays[f"image_{number}"])
                    if entry.get("differences")
                    else arrays[f"image_{number}"],
                    arrays[f"labels_{number}"],
                    None if entry["spacing"] is None else tuple(entry["spacing"]),
                    None if entry["window"] is None else tuple(entry["window"]),
                )
                for number, entry in enumerate(index)
            ]
    except (*damages, BadZipFile, ZlibError, LZMAError) as error:
        raise ReadError(f"{path.name} cannot be read; delete it, and it is packed again") from error


def as_differences(image: np.ndarray) -> np.ndarray:
    """What compresses better than an image: steps from column to column, low bytes before high.

    Parameters
    ----------
    image : ndarray of shape (Z, Y, X) or (Z, Y, X, 3), uint8 or int16

    Returns
    -------
    planes : ndarray of shape (1 or 2, *image.shape), uint8

    Examples
    --------
    >>> as_differences(np.array([[[5, 7, 6]]], np.uint8)).tolist()
    [[[[5, 2, 255]]]]
    """
    steps = np.diff(image, axis=2, prepend=np.zeros_like(image[:, :, :1]))  # wraps around
    size = image.itemsize
    octets = np.ascontiguousarray(steps.astype(image.dtype.newbyteorder("<"))).view(np.uint8)
    return np.stack([octets[..., k::size] for k in range(size)])


def from_differences(planes: np.ndarray) -> np.ndarray:
    """The image (Z, Y, X) or (Z, Y, X, 3), uint8 or int16, of `as_differences`."""
    if len(planes) == 1:
        return np.cumsum(planes[0], axis=2, dtype=np.uint8)
    steps = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view("<i2")[..., 0]
    return np.cumsum(steps, axis=2, dtype=np.int16)


def _is_hounsfield(volume: Volume) -> bool:
    """Whether values look like CT: signed whole numbers that reach from air to soft tissue."""
    if volume.rgb or volume.spacing_zyx is None:
        return False
    values = volume.sample_values()
    low, high = float(values.min()), float(values.max())
    is_whole = bool((values == np.round(values)).all())
    return is_whole and -4096 <= low <= -150 and 100 <= high <= 32767
