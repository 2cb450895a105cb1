"""Training samples: a field of an image, and prompts for some of its objects.

A sample depends only on the pack, the seed and the step, so that training can stop and resume
anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stacksam.core.fields import crop_image, crop_labels
from stacksam.core.masks import box_of, components, largest_component
from stacksam.core.windows import Window, apply_window
from stacksam.sam.prompt_encoder import CONTEXT_MAPS, PADDING
from stacksam.training.augmentation import (
    bend,
    change_contrast,
    choose_ct_window,
    flip_and_turn,
    mix_colours,
    recolour,
)
from stacksam.training.degradation import degrade
from stacksam.training.packs import PackedItem
from stacksam.training.sample_prompts import (
    KINDS,
    SMALLEST_OBJECT,
    PromptedObject,
    clicked_object,
    draw_prompt,
    first_click,
)
from stacksam.training.views import choose_view, click_view, mark_click

SEQUENCE_SHARE = 0.8
"""Of two slices drawn together: the model's own mask of the first is handed to the second."""

CLICK_VIEW_SHARE = 0.3
"""Of single slices: seen from around a click, as the first click on an object is answered."""

BENT_SHARE = 0.08
"""Of samples that are not seen from around a click: smoothly distorted."""

RECOLOURED_SHARE = 0.08
"""Of samples: with each labelled object brighter or darker."""


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
            click = first_click(chosen.mask, rng)
            place = click_view(chosen.mask, chosen.aspect, click, rng)
        else:
            place = choose_view(chosen.mask, chosen.aspect, rng, is_augmented)
        arrays = [
            crop_image(chosen.image, place, size) / np.float32(255),
            crop_image(chosen.known_image, place, size) / np.float32(255),
            crop_labels(chosen.labels, place, size),
            crop_labels(chosen.known_labels, place, size),
            crop_labels(chosen.older_labels, place, size),
            crop_labels(chosen.mask, place, size),
            mark_click(click, place, size),
        ]
        if is_augmented:
            arrays = flip_and_turn(arrays, rng)
            if click is None and rng.random() < BENT_SHARE:  # a dot might get lost
                arrays = bend(arrays, rng)
            if rng.random() < RECOLOURED_SHARE:
                arrays[:2] = recolour(arrays[:2], [arrays[2], arrays[3]], rng)
            arrays[:2] = degrade(change_contrast(arrays[:2], rng), rng)
        image, known_image, labels, known_labels, older_labels, mask, dot = arrays
        if click is not None:
            pixels = chosen.mask.sum() * size**2 / (place.height * place.width)
            clicked = clicked_object(mask, dot, max(0.0, pixels - mask.sum()))
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
            made = [draw_prompt(*shown, known, chosen.is_pair, rng, is_handed=is_sequence)]
            if is_sequence:
                made.insert(0, draw_prompt(*first, known, False, rng))
            if all(made):
                found.append([m for m in made if m is not None])
        # a fixed number per sample keeps batches simple
        found = [found[i % len(found)] for i in range(self.objects_per_image)] if found else []
        images = [known_image, image] if is_sequence else [image]
        return [
            Sample(seen, [made[i] for made in found], dataset, follows=i == 1)
            for i, seen in enumerate(images)
        ]


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
