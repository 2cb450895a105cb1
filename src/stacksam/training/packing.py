"""Pack training data into one file that the training step reads with numpy alone, see `packs`.

Only files on the train and val sides of SPLIT.json get in, and none of a data set that may not be
trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.training.config import DataConfig
from stacksam.training.generated import generated_items
from stacksam.training.packs import PackedItem, make_item, write_items, write_pack

Progress = Callable[[str], None]

MEBIBYTE = 2**20

ROOM = 8
"""Slices kept before and after the labelled ones; samples step at most 3 beyond an object's end."""


class ForbiddenFileError(ValueError):
    """A file that must not be trained on."""


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
    return make_item(dataset, side, volume, labels)


def pack(config: DataConfig, progress: Progress | None = None) -> None:
    """Write the pack; generated items are left to where the training runs if it has a limit.

    Parameters
    ----------
    config : DataConfig
    progress : callable, optional
        Called with a line of text now and then.

    Raises
    ------
    ForbiddenFileError
        If SPLIT.json holds a side that is not known.
    ValueError
        If the limit does not leave room for every data set.
    """
    say = progress or (lambda line: None)
    items: list[PackedItem] = []
    for relative, side in trainable_files(config.folder):
        items.append(read_item(config.folder, relative, side))
    say(f"read {len(items)} files")
    if config.pack_mib:
        items = fit_items(items, int(config.pack_mib * MEBIBYTE))
        say(f"kept {len(items)} of them")
        write_pack(config.pack, items, is_small=True)
        return
    for item in generated_items(config):
        items.append(item)
        if len(items) % 500 == 0:
            say(f"{len(items)} items")
    write_pack(config.pack, items)


def fit_items(items: list[PackedItem], limit: int) -> list[PackedItem]:
    """As many items as a small pack of `limit` bytes holds, data sets as equal as they can be.

    Item by item, in a random order within each side of each data set, the one that has the fewest
    bytes so far is served next: small sets stay whole, only the largest are thinned out. Slices
    far from any label are cut off.

    Parameters
    ----------
    items : list of PackedItem
    limit : int

    Returns
    -------
    kept : list of PackedItem
        In the order given; at least one of each side of each data set.

    Raises
    ------
    ValueError
        If not even one item of each fits.
    """
    items = [_trimmed(item) for item in items]
    waiting: dict[tuple[str, str], list[int]] = {}
    for number in np.random.default_rng(0).permutation(len(items)):
        item = items[number]
        waiting.setdefault((item.dataset, item.split), []).append(int(number))
    taken, kept = dict.fromkeys(waiting, 0), []
    while waiting:
        group = min(waiting, key=lambda g: (taken[g], g))
        number = waiting[group].pop()
        size = _small_size(items[number])
        if sum(taken.values()) + size <= limit:
            kept.append(number)
            taken[group] += size
        elif taken[group]:
            waiting[group].clear()
        else:
            raise ValueError(
                f"pack_mib is {limit / MEBIBYTE:g}; that does not hold one item of each data set"
            )
        if not waiting[group]:
            del waiting[group]
    return [items[number] for number in sorted(kept)]


def _trimmed(item: PackedItem) -> PackedItem:
    """Without slices that are far from any label."""
    labelled = np.flatnonzero(item.labels.any(axis=(1, 2)))
    if len(labelled) in (0, len(item.labels)):
        return item
    kept = slice(max(labelled[0] - ROOM, 0), labelled[-1] + 1 + ROOM)
    return replace(item, image=item.image[kept], labels=item.labels[kept])


def _small_size(item: PackedItem) -> int:
    """Bytes of a small pack of one item, which is a little more than it adds to a larger one."""
    file = BytesIO()
    write_items(file, [item], is_small=True)
    return len(file.getvalue())
