"""Choosing the objects that are measured: seeded, so many per data set, spread over its files.

A label's object is its largest connected piece; the label's other pieces stand apart and are not
asked for. Touching neighbours are kept (each has its own label), and so are objects cut by the
image's border. Left out are objects smaller than `MIN_PIXELS` on the slice, and those that fill
more than `MAX_PART` of it, where there is nothing to tell apart.

The order of files and labels follows from the seed and the file's name alone. So every protocol
asks for the same objects in the same order, as far as they fit it, and a smaller limit takes a part
of what a larger one takes.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from stacksam.core.masks import largest_component
from stacksam.evaluation.datasets import Item
from stacksam.evaluation.thinning import FULL_STACK, LEAST_KEPT, Thinning

MIN_PIXELS = 30
MAX_PART = 0.95
MIN_SLICES = 3
LABELS_BUDGET = 512 * 2**20

_FULL_3D = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True, eq=False)
class Case:
    """One object to be found.

    Attributes
    ----------
    label_id : int
        In the file's labels.
    index : int
        The slice along axis 0 that the prompt is for: where the object's area is largest.
    corner, crop : (z, y, x) and ndarray (d, h, w), bool
        The true object, cut to its box. For a 2D case d is 1.
    shape : (Z, Y, X)
        Shape of the file's volume.
    spacing_zyx : tuple of 3 floats, or None
        In mm; set once the image has been opened.
    score_step : int
        Every so many slices, from the first one of the stack on, one is scored.
    """

    item: Item
    label_id: int
    index: int
    corner: tuple[int, int, int]
    crop: np.ndarray
    shape: tuple[int, int, int]
    spacing_zyx: tuple[float, float, float] | None = None
    score_step: int = 1

    def truth(self) -> np.ndarray:
        """The whole object, bool (Z, Y, X)."""
        out = np.zeros(self.shape, dtype=bool)
        z, y, x = self.corner
        d, h, w = self.crop.shape
        out[z : z + d, y : y + h, x : x + w] = self.crop
        return out

    def truth_on(self, index: int) -> np.ndarray:
        """The object on one slice along axis 0, bool (Y, X)."""
        out = np.zeros(self.shape[1:], dtype=bool)
        z, y, x = self.corner
        d, h, w = self.crop.shape
        if z <= index < z + d:
            out[y : y + h, x : x + w] = self.crop[index - z]
        return out

    @property
    def slices(self) -> range:
        """The slices that the object's box spans."""
        return range(self.corner[0], self.corner[0] + self.crop.shape[0])

    @property
    def area(self) -> int:
        """Pixels of the object on the prompted slice."""
        return int(np.count_nonzero(self.crop[self.index - self.corner[0]]))

    def thinned(self, thinning: Thinning) -> Case:
        """The same object in the thinned stack; its prompted slice has to be among those kept."""
        (z, y, x), every = self.corner, thinning.every
        first = -(-z // every)
        return replace(
            self,
            index=self.index // every,
            corner=(first, y, x),
            crop=self.crop[first * every - z :: every],
            shape=(-(-self.shape[0] // every), *self.shape[1:]),
            score_step=thinning.score_step,
        )


def choose_cases(
    items: Iterable[Item],
    limit: int,
    seed: int = 0,
    *,
    in_3d: bool = False,
    thinning: Thinning = FULL_STACK,
) -> list[Case]:
    """Choose up to `limit` objects of each data set.

    Files and labels are put into a seeded order; then one object is taken from each file in turn.
    A data set's choice depends on nothing but its own files, `limit` and `seed`.

    Parameters
    ----------
    items : iterable of Item
        From `find_items`.
    limit : int
        At least 1.
    seed : int
    in_3d : bool
        True: whole objects of volumes, over at least `MIN_SLICES` slices; 2D files are passed over.
        False: the object's largest piece on the slice where it is largest.
    thinning : Thinning
        For whole objects: those of the full stack that keep enough slices, as they are in the
        thinned one.

    Returns
    -------
    cases : list of Case
        Sorted by file, then by label.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; it has to be at least 1 object per data set")
    by_dataset: dict[str, list[Item]] = {}
    for item in items:
        if item.is_volume or not in_3d:
            by_dataset.setdefault(item.dataset, []).append(item)
    cases: list[Case] = []
    labels = _Labels(LABELS_BUDGET)
    for _, files in sorted(by_dataset.items()):
        order = sorted(files, key=lambda f: (_rng(seed, f.key).random(), f.key))
        streams = [_cases_of(item, labels, seed, in_3d, thinning.kept_at) for item in order]
        taken = _take_in_turn(streams, limit)
        cases += taken if thinning.is_off else [case.thinned(thinning) for case in taken]
    return sorted(cases, key=lambda c: (c.item.key, c.label_id))


def _rng(seed: int, key: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(key.encode("utf-8"))])


class _Labels:
    """Label images by file, the latest ones kept as far as a budget in bytes goes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def __call__(self, item: Item) -> np.ndarray:
        labels = self._kept.pop(item.key, None)
        if labels is None:
            labels = item.read_labels()
        self._kept[item.key] = labels
        while len(self._kept) > 1 and sum(a.nbytes for a in self._kept.values()) > self._budget:
            self._kept.popitem(last=False)
        return labels


def _take_in_turn(streams: list[Iterator[Case]], limit: int) -> list[Case]:
    taken: list[Case] = []
    while streams and len(taken) < limit:
        still: list[Iterator[Case]] = []
        for stream in streams:
            if len(taken) == limit:
                break
            case = next(stream, None)
            if case is not None:
                taken.append(case)
                still.append(stream)
        streams = still
    return taken


def _cases_of(item: Item, labels: _Labels, seed: int, in_3d: bool, kept_at: int) -> Iterator[Case]:
    """The file's usable objects in a seeded order, made one by one."""
    boxes = ndimage.find_objects(labels(item))
    present = [i for i, box in enumerate(boxes, start=1) if box is not None]
    for label_id in _rng(seed, "labels of " + item.key).permutation(present).tolist():
        case = _case(item, labels(item), label_id, boxes[label_id - 1], in_3d, kept_at)
        if case is not None and (not in_3d or _is_long_enough(case, kept_at)):
            yield case


def _is_long_enough(case: Case, kept_at: int) -> bool:
    if kept_at == 1:
        return len(case.slices) >= MIN_SLICES
    return sum(index % kept_at == 0 for index in case.slices) >= LEAST_KEPT


def _case(
    item: Item,
    labels: np.ndarray,
    label_id: int,
    box: tuple[slice, ...],
    in_3d: bool,
    kept_at: int = 1,
) -> Case | None:
    crop = labels[box] == label_id
    if np.count_nonzero(crop) < MIN_PIXELS:
        return None
    crop, corner = _cut(_largest_3d(crop), tuple(s.start for s in box))
    areas = crop.sum(axis=(1, 2))
    areas[(corner[0] + np.arange(len(areas))) % kept_at > 0] = 0  # the prompted slice is kept
    deepest = int(np.argmax(areas))
    index = corner[0] + deepest
    if not in_3d:
        piece = largest_component(crop[deepest])[np.newaxis]
        crop, corner = _cut(piece, (index, *corner[1:]))
    area = int(crop[index - corner[0]].sum())
    if not MIN_PIXELS <= area <= MAX_PART * labels.shape[1] * labels.shape[2]:
        return None
    z, y, x = labels.shape
    return Case(item, label_id, index, corner, crop, (z, y, x))


def _largest_3d(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask, structure=_FULL_3D)
    if count <= 1:
        return mask
    sizes = np.bincount(pieces.ravel())
    return pieces == 1 + int(np.argmax(sizes[1:]))


def _cut(mask: np.ndarray, corner: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Cut a mask to its own box and move the corner along."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    z, y, x = (c + s.start for c, s in zip(corner, box, strict=True))
    return mask[box].copy(), (z, y, x)
