"""Prompts of training samples: boxes, clicks, strokes and masks of neighbouring slices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from stacksam.core.masks import box_of, components
from stacksam.core.simulated_prompts import box_around, click_on
from stacksam.propagation.appearance import Appearance, context_maps
from stacksam.sam.prompt_encoder import BOX_END, BOX_START, NEGATIVE, POSITIVE
from stacksam.training.augmentation import as_neighbour_logits, deform, spoil

SMALLEST_OBJECT = 25
"""Pixels below which an object of the source is not prompted."""

KINDS = ("box", "click", "clicks", "scribble", "neighbour")
KIND_SHARES = (0.32, 0.34, 0.07, 0.05, 0.22)

STALE_SHARE = 0.35
"""Of the masks of neighbouring slices: of a slice further back, as a front that lags hands on."""

SPOILED_SHARE = 0.3
"""Of the masks of neighbouring slices: with mistakes, as a model may hand them on."""

TIGHT_BOXES, SLOPPY_BOXES = 0.55, 0.27
"""Shares of boxes that touch the object, and of ones a little off; the rest is drawn loosely."""

CENTRED_SHARE = 0.5
"""Of first clicks: in the middle of the object, where people aim."""

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


def draw_prompt(
    dataset: str,
    images: tuple[np.ndarray, np.ndarray],
    slice_labels: tuple[np.ndarray, np.ndarray, np.ndarray],
    known: np.ndarray,
    is_pair: bool,
    rng: np.random.Generator,
    *,
    is_handed: bool = False,
) -> PromptedObject | None:
    """Prompts for the object that is `known` on the second of the slices.

    Parameters
    ----------
    dataset : str
    images : two ndarrays of shape (S, S), float32
        The slice to look at, and the one on which the object is known.
    slice_labels : three ndarrays of shape (S, S), int
        Of these slices, and of one further back than the known one.
    known : ndarray of shape (S, S), bool
    is_pair : bool
        Whether the slices differ.
    rng : numpy Generator
    is_handed : bool
        Whether the kind has to be ``neighbour``.

    Returns
    -------
    prompted : PromptedObject or None
        None where the object is too small, or nobody could tell what becomes of it.
    """
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


def first_click(mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A click (y, x) on an object: on its innermost pixel, or anywhere, rather inside."""
    return click_on(mask, None if rng.random() < CENTRED_SHARE else rng)


def clicked_object(mask: np.ndarray, dot: np.ndarray, unseen: float) -> PromptedObject | None:
    """An object with one click on it; None where too little of it is seen.

    Parameters
    ----------
    mask : ndarray of shape (S, S), bool
    dot : ndarray of shape (S, S), bool
        True where the click is.
    unseen : float
        Pixels of the object beyond the field.
    """
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
    for number in range(count):
        y, x = click_on(truth, rng) if number else first_click(truth, rng)
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
