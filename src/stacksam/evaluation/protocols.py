"""The simulated users: each protocol prompts a Session for one object and scores what comes back.

A protocol uses nothing of the Session but its public methods, and removes its object at the end, so
that cases that share a Session (and its embeddings) do not see each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from stacksam.core.masks import box_of
from stacksam.core.metrics import dice, iou, precision_recall
from stacksam.core.simulated_prompts import box_around, click_on, corrective_click
from stacksam.evaluation.baselines import (
    otsu_component,
    random_walker_from_box,
    random_walker_through,
)
from stacksam.evaluation.cases import Case

Figures = dict[str, float]
ReadImage = Callable[[int], np.ndarray]

CORRECTIONS = 5
NOC_CAP = 10
NOC_GOALS = (0.80, 0.85)
KEYFRAMES = 3
EVERY = 5


@dataclass(frozen=True)
class Protocol:
    """How one way of prompting is run and what it is compared with.

    Attributes
    ----------
    run : callable
        ``run(session, case, object_id)`` -> figures by name.
    baselines : dict of name to callable
        ``baseline(read_image, case)`` -> figures; ``read_image(index)`` gives a grey slice in
        [0, 1].
    main : str
        The figure to look at first.
    in_3d : bool
        Whether the cases are whole objects of volumes.
    limit : int
        Objects per data set, chosen so that all test sets take a few minutes on a laptop's CPU.
    """

    run: Callable[[Any, Case, int], Figures]
    main: str
    baselines: dict[str, Callable[[ReadImage, Case], Figures]] = field(default_factory=dict)
    in_3d: bool = False
    min_slices: int = 0
    limit: int = 20


def run_click(session: Any, case: Case, object_id: int) -> Figures:
    """One click at the middle of the object; figures ``iou`` and ``dice`` on its slice."""
    truth = case.truth_on(case.index)
    _click(session, case.index, object_id, click_on(truth), True)
    return _overlap(truth, session.predict(object_id, case.index).mask)


def run_box(session: Any, case: Case, object_id: int) -> Figures:
    """The object's tight box; figures ``iou`` and ``dice`` on its slice."""
    truth = case.truth_on(case.index)
    session.add_box(object_id, case.index, box_around(truth))
    return _overlap(truth, session.predict(object_id, case.index).mask)


def run_iterative(session: Any, case: Case, object_id: int) -> Figures:
    """A click, then corrections in the middle of the largest error.

    Figures: ``iou_1`` to ``iou_6`` after that many clicks; ``noc80`` and ``noc85``, the number of
    clicks until the IoU is reached, at most `NOC_CAP`; ``reached80`` and ``reached85``, 1 or 0.
    A perfect answer is not clicked on further.
    """
    truth = case.truth_on(case.index)
    click: tuple[tuple[int, int], bool] | None = (click_on(truth), True)
    scores: list[float] = []
    while click is not None and len(scores) < NOC_CAP:
        if len(scores) > CORRECTIONS and max(scores) >= max(NOC_GOALS):
            break
        _click(session, case.index, object_id, *click)
        mask = _bool(session.predict(object_id, case.index).mask)
        scores.append(iou(truth, mask))
        click = corrective_click(truth, mask)
    return _click_figures(scores)


def _click_figures(scores: list[float]) -> Figures:
    figures = {f"iou_{n}": scores[min(n, len(scores)) - 1] for n in range(1, CORRECTIONS + 2)}
    for goal in NOC_GOALS:
        reached = [n for n, score in enumerate(scores, start=1) if score >= goal]
        name = f"{round(goal * 100)}"
        figures[f"noc{name}"] = float(reached[0] if reached else NOC_CAP)
        figures[f"reached{name}"] = float(bool(reached))
    return figures


def run_propagate(session: Any, case: Case, object_id: int) -> Figures:
    """One box on the slice where the object is largest, propagated; Dice of the whole object.

    Figures: ``dice``, ``precision`` and ``recall`` in 3D; what is found outside of the object's
    extent counts as wrong.
    """
    session.add_box(object_id, case.index, box_around(case.truth_on(case.index)))
    return _overlap_3d(case, session.propagate(object_id).mask)


def run_propagate_k(session: Any, case: Case, object_id: int) -> Figures:
    """Boxes on `KEYFRAMES` slices spread over the object, propagated; scored as `run_propagate`."""
    for index in keyframes_of(case):
        session.add_box(object_id, index, box_around(case.truth_on(index)))
    return _overlap_3d(case, session.propagate(object_id).mask)


def run_interpolate(session: Any, case: Case, object_id: int) -> Figures:
    """True masks on every fifth slice, propagated; ``dice`` on the slices in between only."""
    keyframes = masked_slices(case)
    for index in keyframes:
        session.add_mask(object_id, index, case.truth_on(index))
    mask = _bool(session.propagate(object_id).mask)
    return _between(case, {i: mask[i] for i in case.slices if i not in keyframes})


def keyframes_of(case: Case, count: int = KEYFRAMES) -> list[int]:
    """Slices spread over the object's extent, the largest one among them."""
    last = len(case.slices) - 1
    spread = {case.slices[round((k + 0.5) * last / count)] for k in range(count)}
    spread.discard(min(spread, key=lambda i: (abs(i - case.index), i)))
    touched = sorted(spread | {case.index})
    return [i for i in touched if case.truth_on(i).any()]


def masked_slices(case: Case) -> list[int]:
    """The object's first and last slice and every `EVERY`-th between."""
    return sorted({*case.slices[::EVERY], case.slices[-1]})


def _click(session: Any, index: int, object_id: int, yx: tuple[int, int], positive: bool) -> None:
    session.add_point(object_id, (index, *yx), positive=positive)


def _overlap(truth: np.ndarray, mask: Any) -> Figures:
    mask = _bool(mask)
    return {"iou": iou(truth, mask), "dice": dice(truth, mask)}


def _overlap_3d(case: Case, mask: Any) -> Figures:
    truth, mask = case.truth(), _bool(mask)
    precision, recall = precision_recall(truth, mask)
    return {"dice": dice(truth, mask), "precision": precision, "recall": recall}


def _between(case: Case, masks: dict[int, np.ndarray]) -> Figures:
    truth = np.stack([case.truth_on(i) for i in masks])
    return {"dice": dice(truth, np.stack(list(masks.values())))}


def _bool(mask: Any) -> np.ndarray:
    return np.asarray(mask, dtype=bool)


def _baseline_click(read_image: ReadImage, case: Case) -> Figures:
    truth = case.truth_on(case.index)
    return _overlap(truth, otsu_component(read_image(case.index), click_on(truth)))


def _baseline_box(read_image: ReadImage, case: Case) -> Figures:
    truth = case.truth_on(case.index)
    return _overlap(truth, random_walker_from_box(read_image(case.index), box_around(truth)))


def _baseline_propagate(read_image: ReadImage, case: Case) -> Figures:
    box = box_around(case.truth_on(case.index))
    mask = np.zeros(case.shape, dtype=bool)
    mask[case.index] = random_walker_from_box(read_image(case.index), box)
    if mask[case.index].any():
        images = _LazySlices(read_image, case.shape[0])
        for index, found in random_walker_through(images, case.index, mask[case.index]):
            mask[index] = found
    return _overlap_3d(case, mask)


def _baseline_interpolate(read_image: ReadImage, case: Case) -> Figures:
    """Signed distances of the two neighbouring masks, blended (Raya and Udupa, 1990)."""
    keyframes = masked_slices(case)
    masks = {}
    for low, high in pairwise(keyframes):
        first, second = (_signed_distance(case.truth_on(i)) for i in (low, high))
        for index in range(low + 1, high):
            part = (index - low) / (high - low)
            masks[index] = (1 - part) * first + part * second > 0
    return _between(case, masks)


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    if box_of(mask) is None:
        return np.full(mask.shape, -1.0)
    inside, outside = (ndimage.distance_transform_edt(m) for m in (mask, ~mask))
    return inside - outside


class _LazySlices(dict):
    """Slices read when first asked for, so that a baseline that stops early reads no further."""

    def __init__(self, read_image: ReadImage, count: int) -> None:
        super().__init__()
        self._read_image, self._count = read_image, count

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and 0 <= index < self._count

    def __missing__(self, index: int) -> np.ndarray:
        return self._read_image(index)


PROTOCOLS: dict[str, Protocol] = {
    "click": Protocol(run_click, "iou", {"otsu": _baseline_click}),
    "box": Protocol(run_box, "iou", {"random_walker": _baseline_box}),
    "iterative": Protocol(run_iterative, f"iou_{CORRECTIONS + 1}", limit=10),
    "propagate": Protocol(
        run_propagate, "dice", {"random_walker": _baseline_propagate}, in_3d=True, limit=5
    ),
    "propagate-k": Protocol(run_propagate_k, "dice", in_3d=True, min_slices=5, limit=5),
    "interpolate": Protocol(
        run_interpolate,
        "dice",
        {"shape_interpolation": _baseline_interpolate},
        in_3d=True,
        min_slices=6,
        limit=5,
    ),
}
"""The protocols by the name the command line knows them by."""
