"""Data sets with ground truth in a folder, and on which side of the split each file is.

The folder holds ``SPLIT.json`` and, for each data set, ``<group>/<dataset>/images`` with ``masks``
and/or ``volumes`` with ``volume_masks``; a mask has its image's name, maybe another suffix.
A group's ``MANIFEST.json``, where there is one, says how the images were taken.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError

if TYPE_CHECKING:
    from stacksam.core.volume import Volume

SPLITS = ("train", "val", "test")
_MASK_FOLDERS = {"images": "masks", "volumes": "volume_masks"}
_MASK_SUFFIXES = (".tif", ".tiff", ".png", ".nii.gz", ".nii")
_MODALITIES = {
    r"\bCT\b": "CT",
    r"\bMR\b": "MR",
    r"\b(PET|PT)\b": "PET",
    r"\bUS\b|ultrasound": "ultrasound",
    r"SEM\b|TEM\b|electron": "electron microscopy",
    r"fluorescence": "fluorescence",
    r"phase contrast": "phase contrast",
    r"brightfield|stained|H&E": "stained or brightfield",
}


@dataclass(frozen=True)
class Item:
    """One image or volume with its labels.

    Attributes
    ----------
    key : str
        Path in the split file, with slashes; the same on every machine.
    group : str
        "microscopy" or "radiology".
    is_unseen : bool
        Whether no file of this data set is trained on.
    is_volume : bool
        Whether slices hang together in 3D.
    modality : str
        "CT", "MR", "fluorescence" ...; "unknown" where no manifest says it.
    """

    key: str
    dataset: str
    group: str
    is_unseen: bool
    is_volume: bool
    path: Path
    mask_path: Path
    modality: str = "unknown"

    def read_volume(self) -> Volume:
        """Read the image; a 2D one is a volume of one slice."""
        from stacksam.io import read

        return read(self.path)

    def read_labels(self) -> np.ndarray:
        """Read the labels as an integer array of shape (Z, Y, X), 0 = not annotated."""
        from stacksam.io import read

        volume = read(self.mask_path)
        if volume.rgb:
            raise ReadError(f"the mask {self.mask_path.name} is a colour image, not a label image")
        labels = np.asarray(volume.data)
        return labels if labels.dtype.kind in "iu" else labels.astype(np.int32)


def find_items(data: str | os.PathLike, split: str = "test") -> list[Item]:
    """List one split's files, sorted by key.

    Parameters
    ----------
    data : path-like
        The folder with ``SPLIT.json``, or a folder inside of it (a group or one data set).
    split : {"train", "val", "test"}

    Returns
    -------
    items : list of Item
        Never empty.

    Raises
    ------
    ReadError
        If there is no usable ``SPLIT.json``, or it lists nothing for this folder and split.
    ValueError
        If `split` is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it has to be one of {', '.join(SPLITS)}")
    folder = Path(data).resolve()
    root = _find_root(folder)
    content = _read_split(root)
    prefix = folder.relative_to(root).as_posix()
    prefix = "" if prefix == "." else prefix + "/"
    unseen = set(content.get("unseen_data_sets", []))
    manifests = {
        group: _read_manifest(root / group)
        for group in sorted({key.split("/")[0] for key in content["files"]})
    }
    items = [
        _item(root, key, unseen, manifests[key.split("/")[0]])
        for key, side in sorted(content["files"].items())
        if side == split and key.startswith(prefix)
    ]
    if not items:
        raise ReadError(f"SPLIT.json lists no {split} file in {folder.name}; choose another split")
    return items


def _find_root(folder: Path) -> Path:
    for parent in (folder, *folder.parents):
        if (parent / "SPLIT.json").is_file():
            return parent
    raise ReadError(f"there is no SPLIT.json in {folder.name} or above; give a folder of data sets")


def _read_split(root: Path) -> dict[str, Any]:
    try:
        content = json.loads((root / "SPLIT.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"SPLIT.json in {root.name} cannot be read as JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise ReadError(f"SPLIT.json in {root.name} has no 'files' table")
    return content


def _read_manifest(folder: Path) -> dict[str, str]:
    """How images were taken, by file (path inside of the group) and by data set."""
    if not (folder / "MANIFEST.json").is_file():
        return {}
    try:
        entries = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
        texts: dict[str, str] = {}
        for entry in entries:
            modality = short_modality(str(entry.get("modality", "")))
            texts.setdefault(entry["dataset"], modality)
            if "path" in entry:
                texts[entry["path"]] = modality
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReadError(f"MANIFEST.json in {folder.name} is not a list of data sets") from error
    return texts


def short_modality(text: str) -> str:
    """The first modality that a description names; the description itself where none is known.

    Examples
    --------
    >>> short_modality("MR T1w (contrast)"), short_modality("FIB-SEM volume (Drosophila medulla)")
    ('MR', 'electron microscopy')
    """
    named = {
        match.start(): name
        for pattern, name in _MODALITIES.items()
        if (match := re.search(pattern, text, re.IGNORECASE))
    }
    return named[min(named)] if named else text or "unknown"


def _item(root: Path, key: str, unseen: set[str], manifest: dict[str, str]) -> Item:
    parts = key.split("/")
    if len(parts) < 4 or parts[-2] not in _MASK_FOLDERS:
        raise ReadError(
            f"SPLIT.json lists {key!r}; it has to be group/dataset/images or volumes/file"
        )
    path = root.joinpath(*parts)
    dataset = parts[-3]
    return Item(
        key=key,
        dataset=dataset,
        group=parts[0],
        is_unseen=dataset in unseen,
        is_volume=parts[-2] == "volumes",
        path=path,
        mask_path=_find_mask(path.parent.parent / _MASK_FOLDERS[parts[-2]], path.name),
        modality=manifest.get("/".join(parts[1:])) or manifest.get(dataset) or "unknown",
    )


def _find_mask(folder: Path, name: str) -> Path:
    stem = name[:-7] if name.lower().endswith(".nii.gz") else Path(name).stem
    for suffix in _MASK_SUFFIXES:
        if (folder / (stem + suffix)).is_file():
            return folder / (stem + suffix)
    raise ReadError(f"there is no mask for {name} in {folder.parent.name}/{folder.name}")
