"""A small pack, and a split of data sets, for tests of training."""

import json

import numpy as np

from models import disc
from stacksam.training.packs import PackedItem

SIZE = 64
"""Of the samples drawn from the items here."""

FILES = {
    "microscopy/cells/images/a.png": "train",
    "microscopy/cells/images/b.png": "val",
    "microscopy/cells/images/c.png": "test",
    "microscopy/banned/images/d.png": "train",
    "radiology/organs/volumes/e.tif": "train",
    "radiology/organs/volumes/f.tif": "test",
}


def cells(seed):
    """A grey image of three discs, uint8, and its labels."""
    labels = np.zeros((96, 100), np.uint16)
    for label, (center, radius) in enumerate(
        [((25, 28), 14), ((60, 70), 12), ((75, 25), 9)], start=1
    ):
        labels[disc(labels.shape, center, radius)] = label
    noise = np.random.default_rng(seed).normal(0, 6, labels.shape)
    return (np.where(labels > 0, 190, 60) + noise).astype(np.uint8), labels


def organs(seed, depth=12):
    """A stack with two organs that begin and end in it, uint8, and its labels."""
    labels = np.zeros((depth, 80, 84), np.uint16)
    for z in range(2, depth - 3):
        labels[z, disc((80, 84), (30, 30), 18 - abs(z - 5))] = 1
    labels[4:9, 50:70, 48:72] = 2
    noise = np.random.default_rng(seed).normal(0, 6, labels.shape)
    return (np.choose(labels, [60, 190, 130]) + noise).astype(np.uint8), labels


def items_of(split, seed):
    image, labels = cells(seed)
    stack, stack_labels = organs(seed)
    return [
        PackedItem("dsb2018_nuclei", split, image[None], labels[None], None),
        PackedItem("organs_ct", split, stack, stack_labels, (3.0, 1.0, 1.0)),
    ]


def write_split(root, **changes):
    split = {"not_for_training": {"banned": "share-alike licence"}, "files": FILES | changes}
    (root / "SPLIT.json").write_text(json.dumps(split), encoding="utf-8")
