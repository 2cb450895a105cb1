"""Pack training data into one file that the training step reads with numpy alone.

Only files on the train and val sides of SPLIT.json get in, and none of a data set that may not be
trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.core.windows import apply_window, resolve_window
from stacksam.training.config import DataConfig
from stacksam.training.synthetic import generate_image, generate_volume
from stacksam.training.synthetic_abdomen import SPACING_ZYX, draw_abdomen

Progress = Callable[[str], None]


class ForbiddenFileError(ValueError):
    """A file that must not be trained on."""


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


def check_trainable(relative: str, split: dict[str, Any]) -> str:
    """The side of a file in SPLIT.json, if it may be trained or validated on.

    Parameters
    ----------
    relative : str
        Like ``microscopy/dsb2018_nuclei/images/x.png``.
    split : dict
        SPLIT.json.

    Raises
    ------
    ForbiddenFileError
        If the file is on the test side, unknown, or of a data set that is not for training.
    """
    if relative.count("/") < 2:
        raise ForbiddenFileError(f"{relative!r} is not a file of a data set in SPLIT.json")
    dataset = relative.split("/")[1]
    if dataset in split["not_for_training"]:
        reason = split["not_for_training"][dataset]
        raise ForbiddenFileError(f"{dataset} may not be trained on ({reason}); take it out")
    side = split["files"].get(relative)
    if side not in ("train", "val"):
        raise ForbiddenFileError(
            f"{dataset}: a file is on the {side or 'unlisted'} side of SPLIT.json; "
            "only train and val files can be packed"
        )
    return side


def trainable_files(folder: Path) -> list[tuple[str, str]]:
    """(relative path, side) of every file that may be used, in order."""
    split = load_split(folder)
    wanted = []
    for relative, side in sorted(split["files"].items()):
        if side != "test" and relative.split("/")[1] not in split["not_for_training"]:
            wanted.append((relative, check_trainable(relative, split)))
    return wanted


def load_split(folder: Path) -> dict[str, Any]:
    """Read SPLIT.json of a data folder."""
    path = folder / "SPLIT.json"
    if not path.is_file():
        raise ValueError("the data folder has no SPLIT.json; give the folder that holds it")
    return json.loads(path.read_text(encoding="utf-8"))


def read_item(folder: Path, relative: str, side: str) -> PackedItem:
    """Read and window one file and its labels."""
    from stacksam.io import read

    group, dataset, kind, name = relative.split("/")
    volume = read(folder / relative)
    mask_folder = folder / group / dataset / ("masks" if kind == "images" else "volume_masks")
    stem = name.removesuffix(".gz").rsplit(".", 1)[0]
    found = sorted(mask_folder.iterdir()) if mask_folder.is_dir() else []
    mask_path = next((p for p in found if p.name.split(".")[0] == stem), None)
    if mask_path is None:
        raise ValueError(f"{dataset}: an image has no labels in {mask_folder.name}; add them")
    labels = np.asarray(read(mask_path).data).astype(np.uint16)
    if labels.shape != volume.shape:
        raise ValueError(f"{dataset}: labels of shape {labels.shape} do not fit {volume.shape}")
    return _packed(dataset, side, volume, labels)


def generated_items(images: int, volumes: int, patients: int) -> Iterator[PackedItem]:
    """Synthetic images, volumes and abdomens with seeds 0, 1, ..."""
    for seed in range(images):
        image, labels = generate_image(seed)
        yield PackedItem("synthetic_images", "train", image[None], labels[None], None)
    for seed in range(volumes):
        image, labels, spacing = generate_volume(seed)
        yield PackedItem("synthetic_volumes", "train", image, labels, spacing)
    for seed in range(patients):
        hu, organs = draw_abdomen(seed, is_varied=True)
        volume = Volume(hu, spacing_zyx=SPACING_ZYX)
        yield _packed("synthetic_patients", "train", volume, organs.astype(np.uint16))


def pack(config: DataConfig, progress: Progress | None = None) -> None:
    """Write the pack.

    Parameters
    ----------
    config : DataConfig
    progress : callable, optional
        Called with a line of text now and then.
    """
    items: list[PackedItem] = []
    for relative, side in trainable_files(config.folder):
        items.append(read_item(config.folder, relative, side))
    if progress:
        progress(f"read {len(items)} files")
    for item in generated_items(
        config.synthetic_images, config.synthetic_volumes, config.synthetic_patients
    ):
        items.append(item)
        if progress and len(items) % 500 == 0:
            progress(f"{len(items)} items")
    write_pack(config.pack, items)


def write_pack(path: Path, items: list[PackedItem]) -> None:
    """Write items as one compressed npz file, atomically."""
    from stacksam.io.atomic import atomic_path

    arrays: dict[str, np.ndarray] = {}
    index = []
    for number, item in enumerate(items):
        arrays[f"image_{number}"], arrays[f"labels_{number}"] = item.image, item.labels
        index.append(
            {
                "dataset": item.dataset,
                "split": item.split,
                "spacing": item.spacing_zyx,
                "window": item.window,
            }
        )
    arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_pack(path: Path) -> list[PackedItem]:
    """Load a pack into memory; ReadError if it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            index = json.loads(arrays["index"].tobytes())
            return [
                PackedItem(
                    entry["dataset"],
                    entry["split"],
                    arrays[f"image_{number}"],
                    arrays[f"labels_{number}"],
                    None if entry["spacing"] is None else tuple(entry["spacing"]),
                    None if entry["window"] is None else tuple(entry["window"]),
                )
                for number, entry in enumerate(index)
            ]
    except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile, ZlibError) as error:
        raise ReadError(f"{path.name} cannot be read; delete it, and it is packed again") from error


def _packed(dataset: str, side: str, volume: Volume, labels: np.ndarray) -> PackedItem:
    """CT as it is, anything else through the window ``auto``."""
    window, slices = resolve_window(volume, "auto"), range(volume.n_slices())
    if _is_hounsfield(volume):
        image = np.stack([volume.read_slice(z).astype(np.int16) for z in slices])
        limits = (window.low, window.high)
        return PackedItem(dataset, side, image, labels, volume.spacing_zyx, limits)
    shown = [np.round(255 * apply_window(volume.read_slice(z), window)) for z in slices]
    return PackedItem(dataset, side, np.stack(shown).astype(np.uint8), labels, volume.spacing_zyx)


def _is_hounsfield(volume: Volume) -> bool:
    """Whether values look like CT: signed whole numbers that reach from air to soft tissue."""
    if volume.rgb or volume.spacing_zyx is None:
        return False
    values = volume.sample_values()
    low, high = float(values.min()), float(values.max())
    is_whole = bool((values == np.round(values)).all())
    return is_whole and -4096 <= low <= -150 and 100 <= high <= 32767
