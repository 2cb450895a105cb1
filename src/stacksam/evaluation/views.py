"""What pictures show of an object: crops of slices and planes, of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stacksam.core.simulated_prompts import click_on
from stacksam.evaluation.cases import Case
from stacksam.evaluation.confidence import SliceScore
from stacksam.evaluation.figures import Outcome, window_of
from stacksam.evaluation.report import View

VIEW_SIDE = 320


class ReadImage(Protocol):
    """Gives a slice in grey, float in [0, 1]."""

    def __call__(self, index: int, axis: int = 0) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through an object, cut to truth and result with a margin.

    Attributes
    ----------
    image : ndarray of shape (h, w), uint8
    truth, result : ndarray of shape (h, w), bool
    pixel_mm : (height, width)
        Of a pixel; in voxels where the spacing is unknown.
    """

    image: np.ndarray
    truth: np.ndarray
    result: np.ndarray
    pixel_mm: tuple[float, float]


@dataclass(frozen=True, eq=False)
class StackView:
    """One object in its stack, and what is known of its slices.

    Attributes
    ----------
    planes : tuple of 3 Planes
        Across z, y and x.
    slices : tuple of SliceScore
    index : int
        The prompted slice.
    extent : (first, stop)
        The slices along z that the planes show.
    """

    title: str
    dataset: str
    value: float
    planes: tuple[Plane, ...]
    slices: tuple[SliceScore, ...]
    index: int
    extent: tuple[int, int]


def stack_view(case: Case, outcome: Outcome, main: str, read_image: ReadImage) -> StackView:
    """Look at an object on the prompted slice, and across it through its innermost point.

    Parameters
    ----------
    case : Case
    outcome : Outcome
        With `stack`.
    main : str
        The figure that the title gives.
    read_image : callable
        A `ReadImage`.
    """
    found, truth = outcome.stack, case.truth()
    assert found is not None
    spacing = case.spacing_zyx or (1.0, 1.0, 1.0)
    window = _with_margin(window_of(truth, found), spacing, case.shape)
    center = (case.index, *click_on(case.truth_on(case.index)))
    steps = [max(1, -(-(s.stop - s.start) // VIEW_SIDE)) for s in window]
    planes = []
    for axis, index in enumerate(center):
        rows, columns = (a for a in range(3) if a != axis)
        crop = tuple(slice(window[a].start, window[a].stop, steps[a]) for a in (rows, columns))
        planes.append(
            Plane(
                (255 * read_image(index, axis)[crop]).astype(np.uint8),
                np.take(truth, index, axis)[crop],
                np.take(found, index, axis)[crop],
                (spacing[rows] * steps[rows], spacing[columns] * steps[columns]),
            )
        )
    value = outcome.figures[main]
    return StackView(
        title=f"{case.item.dataset}, label {case.label_id}: {main} {value:.2f}",
        dataset=case.item.dataset,
        value=value,
        planes=tuple(planes),
        slices=outcome.slices,
        index=case.index,
        extent=(window[0].start, window[0].stop),
    )


def _with_margin(
    window: tuple[slice, ...], spacing: Sequence[float], shape: Sequence[int]
) -> tuple[slice, ...]:
    """A quarter of the longest side, in mm, on each side; at least two voxels."""
    sides = [(s.stop - s.start) * mm for s, mm in zip(window, spacing, strict=True)]
    margins = [max(2, round(max(sides) / 4 / mm)) for mm in spacing]
    return tuple(
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, margin, n in zip(window, margins, shape, strict=True)
    )


def slice_view(case: Case, outcome: Outcome, main: str, read_image: ReadImage) -> View:
    """Crops around object and result, of bounded size."""
    slices = sorted(outcome.shown)
    truths = {i: case.truth_on(i) for i in slices}
    window = _around(window_of(*truths.values(), *outcome.shown.values()), case.shape[1:])
    step = max(1, -(-max(s.stop - s.start for s in window) // VIEW_SIDE))
    crop = tuple(slice(s.start, s.stop, step) for s in window)
    value = outcome.figures[main]
    where = ", ".join(f"{i}" for i in slices)
    title = f"{case.item.dataset}\n{main} {value:.2f}, label {case.label_id}"
    if case.shape[0] > 1:
        title += f", slice {where}"
    return View(
        title=title,
        dataset=case.item.dataset,
        images=tuple((255 * read_image(i)[crop]).astype(np.uint8) for i in slices),
        truths=tuple(truths[i][crop] for i in slices),
        results=tuple(outcome.shown[i][crop] for i in slices),
        value=value,
    )


def _around(window: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A window with a quarter of its larger side, at least 8 pixels, around it."""
    margin = max(8, max(s.stop - s.start for s in window) // 4)
    return tuple(
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, n in zip(window, shape, strict=True)
    )
