"""Training samples: a field of an image, and prompts for some of its objects.

A sample depends only on the pack, the seed and the step, so that training can stop and resume
anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from stacksam.core.fields import Field, crop_image, crop_labels, field_around
from stacksam.core.masks import box_of, components, largest_component
from stacksam.core.simulated_prompts import box_around, click_on
from stacksam.core.windows import Window, apply_window
from stacksam.propagation.appearance import Appearance, context_maps
from stacksam.sam.prompt_encoder import (
    BOX_END,
    BOX_START,
    CONTEXT_MAPS,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from stacksam.training.augmentation import (
    as_neighbour_logits,
    change_contrast,
    choose_ct_window,
    deform,
    flip_and_turn,
    mix_colours,
    spoil,
)
from stacksam.training.packs import PackedItem

SMALLEST_OBJECT = 25
"""Pixels below which an object of the source is not prompted."""

KINDS = ("box", "click", "clicks", "scribble", "neighbour")
KIND_SHARES = (0.32, 0.34, 0.07, 0.05, 0.22)

SEQUENCE_SHARE = 0.8
"""Of two slices drawn together: the model's own mask of the first is handed to the second."""

STALE_SHARE = 0.35
"""Of the masks of neighbouring slices: of a slice further back, as a front that lags hands on."""

SPOILED_SHARE = 0.3
"""Of the masks of neighbouring slices: with mistakes, as a model may hand them on."""

CLICK_VIEW_SHARE = 0.25
"""Of single slices: seen from around a click, as the first click on an object is answered."""

TIGHT_BOXES, SLOPPY_BOXES = 0.55, 0.27
"""Shares of boxes that touch the object, and of ones a little off; the rest is drawn loosely."""

NEGATIVE_NEIGHBOURS_SHARE = 0.15
"""Of boxes and of masks of neighbouring slices: with other objects marked as such."""

COMPLETE_LABELS = (
    "dsb2018_nuclei",
    "axondeepseg_sem_axon",
    "axondeepseg_sem_fibre",
    "usiigaci_phase",
    "synthetic_images",
)
"""2D sets in which what is not labelled is surely no object."""


@dataclass
class PromptedObject:
    """One object of a sample.

    Attributes
    ----------
    truth : ndarray of shape (S / 2, S / 2), float32
        Share of each cell that belongs to the object; all zero where it is absent.
    points_xy : list of (x, y) in input pixels
    labels : list of int
        As in the prompt encoder.
    logits : ndarray of shape (S / 2, S / 2), float32, or None
        Of the neighbouring slice.
    context : ndarray of shape (CONTEXT_MAPS, S / 2, S / 2), float32, or None
        What the neighbouring slice shows; see `context_maps`.
    kind : str
    unseen : float
        Cells of the object that lie beyond the field.
    """

    truth: np.ndarray
    kind: str
    points_xy: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    logits: np.ndarray | None = None
    context: np.ndarray | None = None
    unseen: float = 0.0


@dataclass
class Sample:
    """A field's image (S, S) in [0, 1] and its prompted objects.

    Where it `follows`, it shows the next slice of the sample before it: the same field, and the
    same objects in the same order, so that what is predicted there can be handed on.
    """

    image: np.ndarray
    objects: list[PromptedObject]
    dataset: str
    follows: bool = False


@dataclass
class _Slice:
    """A slice to look at, the slice whose masks are known, and one object on it."""

    image: np.ndarray
    known_image: np.ndarray
    labels: np.ndarray
    known_labels: np.ndarray
    older_labels: np.ndarray  # of a slice further back than the known one
    mask: np.ndarray  # of the object on the known slice
    aspect: float
    is_pair: bool


class SampleSource:
    """Draw samples from packed items.

    Parameters
    ----------
    items : list of PackedItem
        Of one split.
    input_size : int
    objects_per_image : int
    synthetic_share : float in [0, 1]
    patient_share : float in [0, 1]
        Of the synthetic ones: CT abdomens.
    """

    def __init__(
        self,
        items: list[PackedItem],
        *,
        input_size: int = 256,
        objects_per_image: int = 2,
        synthetic_share: float = 0.3,
        patient_share: float = 0.33,
    ) -> None:
        if not items:
            raise ValueError("the pack holds no items of this split; pack it again")
        self.items = items
        self.input_size = input_size
        self.objects_per_image = objects_per_image
        self._boxes: dict[int, list[tuple[int, tuple[slice, ...]]]] = {}
        self._weights = _item_weights(items, synthetic_share, patient_share)

    def draw(self, seed: tuple[int, ...], *, is_augmented: bool = True) -> Sample:
        """The sample of a seed."""
        return self._draw(np.random.default_rng(seed), 0.0, is_augmented)[-1]

    def draw_two(self, seed: tuple[int, ...], *, is_augmented: bool = True) -> list[Sample]:
        """Two samples of a seed; often the second follows the first."""
        samples = self._draw(np.random.default_rng(seed), SEQUENCE_SHARE, is_augmented)
        return samples if len(samples) == 2 else [*samples, self.draw((*seed, 1))]

    def _draw(
        self, rng: np.random.Generator, sequence_share: float, is_augmented: bool
    ) -> list[Sample]:
        """A sample, or two slices of a stack one after the other."""
        for _ in range(100):
            index = int(rng.choice(len(self.items), p=self._weights))
            chosen = self._choose_slice(index, rng, is_augmented)
            if chosen is None:
                continue
            is_sequence = chosen.is_pair and sequence_share > 0 and rng.random() < sequence_share
            samples = self._make_samples(
                self.items[index].dataset, chosen, is_sequence, rng, is_augmented
            )
            if samples[-1].objects:
                return samples
        raise ValueError("no object of at least 25 pixels was found in 100 tries; check the labels")

    def _objects_of(self, index: int) -> list[tuple[int, tuple[slice, ...]]]:
        if index not in self._boxes:
            found = ndimage.find_objects(self.items[index].labels)
            self._boxes[index] = [(i + 1, box) for i, box in enumerate(found) if box is not None]
        return self._boxes[index]

    def _choose_slice(
        self, index: int, rng: np.random.Generator, is_augmented: bool
    ) -> _Slice | None:
        item, objects = self.items[index], self._objects_of(index)
        if not objects:
            return None
        label, box = objects[int(rng.integers(len(objects)))]
        axis, depth = _choose_axis(item, rng), 0
        depth = item.labels.shape[axis]
        start, stop = box[axis].start, box[axis].stop
        is_pair = depth >= 3 and rng.random() < 0.55
        if is_pair:
            known, shown = _choose_pair(start, stop, depth, rng)
        else:
            known = shown = int(rng.integers(start, stop))
        known_labels = np.take(item.labels, known, axis)
        mask = _choose_piece(known_labels == label, rng)
        if mask is None:
            return None
        older = known + int(np.sign(known - shown)) * int(rng.integers(1, 7)) if is_pair else known
        images = [np.take(item.image, k, axis) for k in (shown, known)]
        if item.window is not None:
            window = item.window
            if is_augmented:
                window = choose_ct_window(images[1][mask], item.window, rng)
            images = [255 * apply_window(image, Window(*window)) for image in images]
        image, known_image = mix_colours(images, rng)
        return _Slice(
            image,
            known_image,
            np.take(item.labels, shown, axis),
            known_labels,
            np.take(item.labels, int(np.clip(older, start, stop - 1)), axis),
            mask,
            _pixel_aspect(item, axis),
            is_pair,
        )

    def _make_samples(
        self,
        dataset: str,
        chosen: _Slice,
        is_sequence: bool,
        rng: np.random.Generator,
        is_augmented: bool,
    ) -> list[Sample]:
        size = self.input_size
        click, clicked = None, None
        if is_augmented and not chosen.is_pair and rng.random() < CLICK_VIEW_SHARE:
            click = click_on(chosen.mask, rng if rng.random() < 0.75 else None)
            place = _click_view(chosen, click, rng)
        else:
            place = _choose_field(chosen, rng, is_augmented)
        arrays = [
            crop_image(chosen.image, place, size) / np.float32(255),
            crop_image(chosen.known_image, place, size) / np.float32(255),
            crop_labels(chosen.labels, place, size),
            crop_labels(chosen.known_labels, place, size),
            crop_labels(chosen.older_labels, place, size),
            crop_labels(chosen.mask, place, size),
            _dot(click, place, size),
        ]
        if is_augmented:
            arrays = flip_and_turn(arrays, rng)
            arrays[:2] = change_contrast(arrays[:2], rng)
        image, known_image, labels, known_labels, older_labels, mask, dot = arrays
        if click is not None:
            pixels = chosen.mask.sum() * size**2 / (place.height * place.width)
            clicked = _clicked(mask, dot, max(0.0, pixels - mask.sum()))
        masks = [mask, *_other_masks(known_labels, mask, self.objects_per_image - 1, rng)]
        is_cut = clicked is not None and clicked.unseen > 0
        while len(masks) < self.objects_per_image and not is_cut:
            masks.append(mask)
        shown = (dataset, (image, known_image), (labels, known_labels, older_labels))
        first = (dataset, (known_image, known_image), (known_labels,) * 3)
        found: list[list[PromptedObject]] = []
        for number, known in enumerate(masks):
            if number == 0 and click is not None:
                found += [[clicked]] if clicked is not None else []
                continue
            made = [self._prompt(*shown, known, chosen.is_pair, rng, is_handed=is_sequence)]
            if is_sequence:
                made.insert(0, self._prompt(*first, known, False, rng))
            if all(made):
                found.append([m for m in made if m is not None])
        # a fixed number per sample keeps batches simple
        found = [found[i % len(found)] for i in range(self.objects_per_image)] if found else []
        images = [known_image, image] if is_sequence else [image]
        return [
            Sample(seen, [made[i] for made in found], dataset, follows=i == 1)
            for i, seen in enumerate(images)
        ]

    def _prompt(
        self,
        dataset: str,
        images: tuple[np.ndarray, np.ndarray],
        slice_labels: tuple[np.ndarray, np.ndarray, np.ndarray],
        known: np.ndarray,
        is_pair: bool,
        rng: np.random.Generator,
        *,
        is_handed: bool = False,
    ) -> PromptedObject | None:
        """Prompts for the object that is `known` on the second of the slices."""
        (image, known_image), (labels, known_labels, older_labels) = images, slice_labels
        if known.sum() < SMALLEST_OBJECT:
            return None
        truth = _continuation(labels, known_labels, known) if is_pair else known
        if truth is None:
            return None
        kind = str(rng.choice(KINDS, p=KIND_SHARES))
        if is_handed or (is_pair and (rng.random() < 0.75 or truth.sum() < SMALLEST_OBJECT)):
            kind = "neighbour"
        if kind == "neighbour" and not is_pair:
            moved = None
            if dataset in COMPLETE_LABELS and rng.random() < 0.3:
                moved = _move_to_background(known, labels, image, rng)
            if moved is None:
                known, known_image = deform(known, known_image, rng)
            else:
                (known, known_image), truth = moved, np.zeros_like(known)
        elif kind == "neighbour" and rng.random() < STALE_SHARE:
            older = _continuation(older_labels, known_labels, known)
            if older is not None and older.sum() >= SMALLEST_OBJECT:
                known = older
        elif kind == "neighbour" and rng.random() < 0.4:
            known, _ = deform(known, known_image, rng)  # a copy of it must not be good enough
        if kind == "neighbour" and rng.random() < SPOILED_SHARE:
            known = spoil(known, rng)
        made = PromptedObject(_halve(truth), kind)
        if kind == "neighbour":
            made.logits = as_neighbour_logits(_halve(known), rng)
            appearance = Appearance.of(known_image, made.logits)
            made.context = context_maps(image, known_image, appearance, len(made.logits))
        elif kind == "box":
            y0, x0, y1, x1 = _drawn_box(truth, rng)
            made.points_xy = [(x0 - 0.5, y0 - 0.5), (x1 - 0.5, y1 - 0.5)]
            made.labels = [BOX_START, BOX_END]
        else:
            _add_clicks(made, truth, kind, rng)
        if kind in ("box", "neighbour") and rng.random() < NEGATIVE_NEIGHBOURS_SHARE:
            _mark_neighbours(made, labels, truth, known, rng)
        return made


def _item_weights(
    items: list[PackedItem], synthetic_share: float, patient_share: float
) -> np.ndarray:
    """Probability of each item: data sets by the root of their size, so none drowns another."""
    sizes: dict[str, float] = {}
    for item in items:
        sizes[item.dataset] = sizes.get(item.dataset, 0.0) + (8.0 if len(item.image) > 1 else 1.0)
    weights = np.zeros(len(items))
    for i, item in enumerate(items):
        share = 8.0 if len(item.image) > 1 else 1.0
        weights[i] = share / sizes[item.dataset] * min(sizes[item.dataset], 40.0) ** 0.5
    names = np.array([item.dataset for item in items])
    is_patient = names == "synthetic_patients"
    is_synthetic = np.char.startswith(names, "synthetic")
    _share_out(weights, is_patient, is_synthetic & ~is_patient, patient_share)
    _share_out(weights, is_synthetic, ~is_synthetic, synthetic_share)
    return weights / weights.sum()


def _share_out(weights: np.ndarray, some: np.ndarray, others: np.ndarray, share: float) -> None:
    """Give `some` items this share of what they and the others weigh together, in place."""
    if some.any() and others.any():
        total = weights[some].sum() + weights[others].sum()
        weights[some] *= share * total / weights[some].sum()
        weights[others] *= (1 - share) * total / weights[others].sum()


def _choose_axis(item: PackedItem, rng: np.random.Generator) -> int:
    if len(item.labels) < 24 or rng.random() < 0.65:
        return 0
    return int(rng.integers(1, 3))


def _pixel_aspect(item: PackedItem, axis: int) -> float:
    if item.spacing_zyx is None:
        return 1.0
    rows, columns = (s for a, s in enumerate(item.spacing_zyx) if a != axis)
    return rows / columns


def _choose_pair(start: int, stop: int, depth: int, rng: np.random.Generator) -> tuple[int, int]:
    """A slice on which the object is known, and a near one that may lie beyond its end."""
    gap = int(rng.choice([1, 2, 3], p=[0.75, 0.17, 0.08]))
    known = int(rng.integers(start, stop))
    shown = known + (gap if rng.random() < 0.5 else -gap)
    if rng.random() < 0.35:  # step over an end
        before_end = int(rng.integers(1, gap + 1))
        if rng.random() < 0.5:
            known, shown = stop - before_end, stop - before_end + gap
        else:
            known, shown = start + before_end - 1, start + before_end - 1 - gap
        known = int(np.clip(known, start, stop - 1))
    if not 0 <= shown < depth:
        shown = known + 1 if known + 1 < depth else known - 1
    return known, shown


def _choose_piece(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """The largest piece of a mask, at times another one."""
    box = box_of(mask)
    if box is None:
        return None
    y0, x0, y1, x1 = box
    pieces, count = components(mask[y0:y1, x0:x1])
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    fitting = np.flatnonzero(sizes >= SMALLEST_OBJECT)
    if not fitting.size:
        return None
    piece = int(rng.choice(fitting)) if rng.random() < 0.25 else int(np.argmax(sizes))
    chosen = np.zeros(mask.shape, dtype=bool)
    chosen[y0:y1, x0:x1] = pieces == piece + 1
    return chosen


def _choose_field(chosen: _Slice, rng: np.random.Generator, is_augmented: bool) -> Field:
    """A field in which the object is as large and as central as at inference, roughly."""
    box = box_of(chosen.mask)
    assert box is not None
    shape = (chosen.mask.shape[0], chosen.mask.shape[1])
    if not is_augmented:
        return field_around(box, shape, pixel_aspect=chosen.aspect)
    fill = (
        rng.uniform(0.3, 0.65)
        if rng.random() < 0.6
        else np.exp(rng.uniform(np.log(0.07), np.log(0.9)))
    )
    y0, x0, y1, x1 = box
    side = max((y1 - y0) * chosen.aspect, x1 - x0)
    room = max(0.0, side / fill - side) / 2 * rng.uniform(-0.7, 0.7, 2)
    dy, dx = room[0] / chosen.aspect, room[1]
    aspect = chosen.aspect * np.exp(rng.normal(0, 0.1))
    return field_around(
        (y0 + dy, x0 + dx, y1 + dy, x1 + dx), shape, pixel_aspect=aspect, fill=fill, snap=False
    )


def _click_view(chosen: _Slice, click: tuple[int, int], rng: np.random.Generator) -> Field:
    """A field around a click: the object in it may be small, or reach far beyond it."""
    box = box_of(chosen.mask)
    assert box is not None
    y0, x0, y1, x1 = box
    aspect = chosen.aspect * np.exp(rng.normal(0, 0.1))
    low, high = (0.15, 0.9) if rng.random() < 0.6 else (0.06, 2.5)
    side = max((y1 - y0) * aspect, x1 - x0) / np.exp(rng.uniform(np.log(low), np.log(high)))
    y, x = np.array(click) + 0.5 + rng.uniform(-0.06, 0.06, 2) * [side / aspect, side]
    half_y, half_x = side / aspect / 2, side / 2
    return field_around(
        (y - half_y, x - half_x, y + half_y, x + half_x),
        (chosen.mask.shape[0], chosen.mask.shape[1]),
        pixel_aspect=aspect,
        fill=1.0,
        snap=False,
    )


def _dot(click: tuple[int, int] | None, place: Field, size: int) -> np.ndarray:
    """A field (size, size) that is True where the click is."""
    dot = np.zeros((size, size), dtype=bool)
    if click is not None:
        y, x = np.clip(np.round(place.to_field(np.array(click), size)), 0, size - 1).astype(int)
        dot[y, x] = True
    return dot


def _clicked(mask: np.ndarray, dot: np.ndarray, unseen: float) -> PromptedObject | None:
    """An object with one click on it; None where too little of it is seen."""
    if mask.sum() < SMALLEST_OBJECT:
        return None
    made = PromptedObject(_halve(mask), "click", unseen=unseen / 4)
    y, x = np.argwhere(dot)[0]
    made.points_xy, made.labels = [(float(x), float(y))], [POSITIVE]
    return made


def _drawn_box(truth: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A box as people draw it: touching the object, a little off, or with room around it."""
    way = rng.random()
    if way < TIGHT_BOXES + SLOPPY_BOXES:
        return box_around(truth, rng, 0.0 if way < TIGHT_BOXES else rng.uniform(0, 0.08))
    y0, x0, y1, x1 = box_around(truth)
    room = rng.uniform(0, 0.22, 4) * [y1 - y0, x1 - x0, y1 - y0, x1 - x0]
    height, width = truth.shape
    return (
        max(y0 - room[0], 0.0),
        max(x0 - room[1], 0.0),
        min(y1 + room[2], float(height)),
        min(x1 + room[3], float(width)),
    )


def _other_masks(
    labels: np.ndarray, mask: np.ndarray, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Further objects of the crop that are large enough and not cut much by its edge."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    fitting = [int(i) for i in np.flatnonzero(sizes >= 300)]
    rng.shuffle(fitting)
    others: list[np.ndarray] = []
    for label in fitting:
        if len(others) == count:
            break
        other = largest_component(labels == label)
        border = other[0].sum() + other[-1].sum() + other[:, 0].sum() + other[:, -1].sum()
        if border < 0.25 * np.sqrt(other.sum()) and not (other & mask).any():
            others.append(other)
    return others


def _continuation(
    labels: np.ndarray, known_labels: np.ndarray, known: np.ndarray
) -> np.ndarray | None:
    """The pieces of the object that touch its known mask; None where that is ambiguous."""
    label = int(np.bincount(known_labels[known]).argmax())
    same = labels == label
    if label == 0 or not same.any():
        return np.zeros_like(known)
    pieces, count = components(same)
    touched = np.unique(pieces[known])
    touched = touched[touched > 0]
    if touched.size == 0:
        return None  # it may have moved: neither there nor gone
    return np.isin(pieces, touched) if count > touched.size else same


def _move_to_background(
    mask: np.ndarray, labels: np.ndarray, image: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """The object at a place without any, and a slice that shows it there; None if none is found."""
    box = box_of(mask)
    assert box is not None
    y0, x0, y1, x1 = box
    for _ in range(12):
        y = int(rng.integers(0, mask.shape[0] - (y1 - y0) + 1))
        x = int(rng.integers(0, mask.shape[1] - (x1 - x0) + 1))
        moved = np.zeros_like(mask)
        moved[y : y + y1 - y0, x : x + x1 - x0] = mask[y0:y1, x0:x1]
        if (labels[moved] > 0).mean() < 0.02:
            shows_it = image.copy()
            shows_it[moved] = image[mask]
            return moved, shows_it
    return None


def _add_clicks(
    made: PromptedObject, truth: np.ndarray, kind: str, rng: np.random.Generator
) -> None:
    count = {"click": 1, "clicks": int(rng.integers(1, 4)), "scribble": int(rng.integers(4, 9))}[
        kind
    ]
    for _ in range(count):
        y, x = click_on(truth, rng if rng.random() < 0.75 else None)
        made.points_xy.append((x, y))
        made.labels.append(POSITIVE)
    for _ in range(int(rng.integers(1, 3)) if kind == "clicks" else 0):
        y, x = _click_beside(truth, rng)
        made.points_xy.append((x, y))
        made.labels.append(NEGATIVE)


def _mark_neighbours(
    made: PromptedObject,
    labels: np.ndarray,
    truth: np.ndarray,
    known: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Negative clicks on up to three other objects of the crop, the ones nearest to `known`."""
    sizes = np.bincount(labels.ravel())
    sizes[np.unique(labels[truth])] = 0
    others = np.flatnonzero(sizes[1:] >= SMALLEST_OBJECT) + 1
    if not others.size:
        return
    distances = ndimage.minimum(ndimage.distance_transform_edt(~known), labels, others)
    for other in others[np.argsort(distances)[: int(rng.integers(1, 4))]]:
        y, x = click_on(labels == other, rng if rng.random() < 0.5 else None)
        made.points_xy.append((x, y))
        made.labels.append(NEGATIVE)


def _click_beside(truth: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel outside of the object, near it."""
    box = box_of(truth)
    assert box is not None
    y0, x0, y1, x1 = box
    margin = 4 + 0.3 * max(y1 - y0, x1 - x0)
    low = np.maximum([y0 - margin, x0 - margin], 0).astype(int)
    high = np.minimum([y1 + margin, x1 + margin], truth.shape).astype(int)
    for _ in range(30):
        y, x = (int(v) for v in rng.integers(low, high))
        if not truth[y, x]:
            return y, x
    outside = np.argwhere(~truth)
    if not len(outside):
        return 0, 0
    y, x = (int(v) for v in outside[rng.integers(len(outside))])
    return y, x


def _halve(mask: np.ndarray) -> np.ndarray:
    """Mean over 2 x 2 pixels, float32."""
    size = mask.shape[0] // 2
    return mask.reshape(size, 2, size, 2).mean((1, 3), dtype=np.float32)


def collate(samples: list[Sample]) -> dict[str, np.ndarray]:
    """Stack samples into arrays; prompts are padded to the longest.

    Returns
    -------
    batch : dict
        image (B, 1, S, S), truth (N, h, w), points (N, P, 2), labels (N, P), logits (N, 1, h, w),
        context (N, CONTEXT_MAPS, h, w), is_neighbour (N,), kind (N,) as index into `KINDS`,
        unseen (N,) cells of the object beyond the field, follows (N,) whether it is an object of
        the sample before; N = B * objects per image.
    """
    objects = [o for sample in samples for o in sample.objects]
    longest = max(1, *(len(o.labels) for o in objects))
    points = np.zeros((len(objects), longest, 2), np.float32)
    labels = np.full((len(objects), longest), PADDING, np.float32)
    cells = objects[0].truth.shape
    logits = np.zeros((len(objects), 1, *cells), np.float32)
    context = np.zeros((len(objects), CONTEXT_MAPS, *cells), np.float32)
    for i, o in enumerate(objects):
        if o.labels:
            points[i, : len(o.labels)], labels[i, : len(o.labels)] = o.points_xy, o.labels
        if o.logits is not None:
            logits[i, 0] = o.logits
        if o.context is not None:
            context[i] = o.context
    return {
        "image": np.stack([s.image for s in samples])[:, None],
        "truth": np.stack([o.truth for o in objects]),
        "points": points,
        "labels": labels,
        "logits": logits,
        "context": context,
        "is_neighbour": np.array([o.logits is not None for o in objects]),
        "unseen": np.array([o.unseen for o in objects], np.float32),
        "kind": np.array([KINDS.index(o.kind) for o in objects]),
        "follows": np.array([sample.follows for sample in samples for _ in sample.objects]),
    }
