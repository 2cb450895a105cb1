"""The figures that every protocol gives, and how figures of several steps are named.

A figure of one step carries the step behind an ``@``: ``dice@3`` is the Dice after three
corrections, ``iou@1`` the IoU after the first click.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from stacksam.core.metrics import boundary_distance, dice, iou, precision_recall

if TYPE_CHECKING:
    from stacksam.evaluation.confidence import SliceScore

Figures = dict[str, float]

COMPARED = ("iou", "dice", "precision", "recall", "boundary_px", "boundary_mm", "empty")
"""Names that `compare` gives, in the order in which tables list them."""

SIZES = {"small": 32**2, "medium": 96**2, "large": math.inf}
"""Upper limits in pixels of the object's area on the prompted slice, as COCO has them."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one method made of one object.

    Attributes
    ----------
    figures : dict of name to float
    shown : dict of slice index to ndarray (Y, X), bool
        The result on the slices that a picture of the case shows.
    slices : tuple of SliceScore
        Confidence and IoU by slice, where the protocol asks for them.
    stack : ndarray of shape (Z, Y, X), bool, or None
        The whole result, where a picture shows planes through it.
    """

    figures: Figures
    shown: dict[int, np.ndarray] = field(default_factory=dict)
    slices: tuple[SliceScore, ...] = ()
    stack: np.ndarray | None = None


def compare(
    truth: np.ndarray, result: np.ndarray, spacing: Sequence[float] | None = None
) -> Figures:
    """Compare a mask with the truth.

    Parameters
    ----------
    truth : ndarray of shape (Y, X) or (Z, Y, X), bool
        Not empty.
    result : ndarray of the same shape, bool
    spacing : sequence of float, optional
        Size of an element along each axis in mm.

    Returns
    -------
    figures : dict
        ``iou``, ``dice``, ``precision``, ``recall``; ``boundary_px`` and, with `spacing`,
        ``boundary_mm``, the mean symmetric distance of the boundaries (surfaces in 3D);
        ``empty``, 1 where the result is. As an empty result has no boundary, it counts as far off
        as the diagonal of the object's box.

    Examples
    --------
    >>> truth = np.zeros((6, 6), dtype=bool)
    >>> truth[1:4, 1:5] = True
    >>> figures = compare(truth, np.zeros_like(truth), spacing=(2.0, 2.0))
    >>> figures["recall"], figures["boundary_px"], figures["boundary_mm"]
    (0.0, 5.0, 10.0)
    """
    window = window_of(truth, result)
    truth, result = truth[window], result[window]
    precision, recall = precision_recall(truth, result)
    figures = {
        "iou": iou(truth, result),
        "dice": dice(truth, result),
        "precision": precision,
        "recall": recall,
        "boundary_px": _distance(truth, result, (1.0,) * truth.ndim),
        "empty": float(not result.any()),
    }
    if spacing is not None:
        is_cube = len(set(spacing)) == 1
        figures["boundary_mm"] = (
            figures["boundary_px"] * spacing[0] if is_cube else _distance(truth, result, spacing)
        )
    return figures


def window_of(*masks: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around what is True in any of several masks of equal shape.

    An empty one where nothing is True.
    """
    window = []
    for axis in range(masks[0].ndim):
        others = tuple(a for a in range(masks[0].ndim) if a != axis)
        hit = np.flatnonzero(np.any([m.any(axis=others) for m in masks], axis=0))
        window.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
    return tuple(window)


def _distance(truth: np.ndarray, result: np.ndarray, spacing: Sequence[float]) -> float:
    if result.any():
        return boundary_distance(truth, result, spacing)
    sides = [s.stop - s.start for s in window_of(truth)]
    return math.hypot(*(n * step for n, step in zip(sides, spacing, strict=True)))


def at_step(figures: Mapping[str, float], step: int) -> Figures:
    """Give each figure's name the step it belongs to."""
    return {f"{name}@{step}": value for name, value in figures.items()}


def steps_of(figures: Mapping[str, float], name: str) -> dict[int, float]:
    """A figure over its steps, in ascending order; empty where it has none.

    Examples
    --------
    >>> steps_of({"iou@2": 0.7, "iou@1": 0.5, "noc@80": 3.0, "iou@click+4": 0.8}, "iou")
    {1: 0.5, 2: 0.7}
    """
    found = {
        int(step): value
        for key, value in figures.items()
        for name_, _, step in [key.partition("@")]
        if name_ == name and step.isdigit()
    }
    return dict(sorted(found.items()))


def area_under(values: Sequence[float]) -> float:
    """Area under a curve over equal steps by trapezia, divided by their number.

    Examples
    --------
    >>> area_under([0.0, 1.0, 1.0])
    0.75
    """
    if len(values) < 2:
        return float(values[0])
    return float(np.mean([(a + b) / 2 for a, b in pairwise(values)]))


def size_class(area: int) -> str:
    """Small below 32² pixels on the prompted slice, medium below 96², otherwise large."""
    return next(name for name, limit in SIZES.items() if area < limit)
