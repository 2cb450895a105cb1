"""What an object looks like from three sides: agreement of the planes, and smoothing in 3D.

Carried along one axis, an object can fray or leak without any slice looking wrong. Cut across the
other two axes the same mistake shows as a jump, and the model, asked there, does not follow it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from threading import Event

import numpy as np

from stacksam.core.cancelling import is_cancelled
from stacksam.core.cleanup import CleanUp, clean_mask
from stacksam.core.masks import box_of
from stacksam.core.prompts import BoxPrompt
from stacksam.propagation.plan import Plan
from stacksam.propagation.propagate import run_plan
from stacksam.propagation.slice_mask import SliceMask
from stacksam.propagation.slice_predictor import SlicePredictor

Found = Mapping[int, SliceMask]

MARGIN = 0.15
"""How far beyond what was found the other planes may look, relative to its extent."""

NEEDED_VOTES = 2


@dataclass(frozen=True)
class _Region:
    """The part of the volume around an object, its own axis first."""

    axis: int
    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    def limits(self, axis: int) -> tuple[int, int]:
        """First and last + 1 slice along an axis of the volume."""
        place = self._order.index(axis)
        return self.start[place], self.stop[place]

    def box_on(self, axis: int) -> tuple[slice, slice]:
        """The part of a slice across an axis of the volume."""
        rows, columns = (slice(*self.limits(a)) for a in range(3) if a != axis)
        return rows, columns

    def view_along(self, stack: np.ndarray, axis: int) -> np.ndarray:
        """The region's array with an axis of the volume first, the others ascending."""
        others = [a for a in range(3) if a != axis]
        return stack.transpose([self._order.index(a) for a in (axis, *others)])

    @property
    def _order(self) -> list[int]:
        return [self.axis, *(a for a in range(3) if a != self.axis)]


def agree(
    predictor: SlicePredictor, plan: Plan, found: Found, cancel: Event | None = None
) -> dict[int, SliceMask]:
    """Keep what the model finds from at least two of the three sides.

    Along each other axis the object starts from a box around what was found on its largest slice
    there. Slices with prompts stay as they are.

    Parameters
    ----------
    predictor : SlicePredictor
    plan : Plan
        What `found` was propagated by.
    found : mapping of slice index to SliceMask
        Along ``plan.axis``.
    cancel : Event, optional
        Set: `found` is given back as it was.

    Returns
    -------
    agreed : dict of slice index to SliceMask
        Slices that nothing is left on are not in it. Scores are lowered to the overlap with what
        was found along ``plan.axis`` alone.
    """
    region = _region_around(found, plan.axis, MARGIN, predictor.volume.shape[:3])
    if region is None:
        return dict(found)
    stack = _as_stack(found, region)
    votes = stack.astype(np.uint8)
    for axis in (a for a in range(3) if a != plan.axis):
        _add_votes(predictor, plan, region, stack, axis, votes, cancel)
    if is_cancelled(cancel):
        return dict(found)
    kept = plan.keyframes.keys() | plan.corrections.keys()
    return _as_masks(found, region, votes >= NEEDED_VOTES, kept)


def smooth_stack(
    found: Found,
    axis: int,
    smooth: float,
    keep: Collection[int] = (),
    spacing_zyx: tuple[float, float, float] | None = None,
) -> dict[int, SliceMask]:
    """Smooth an object in 3D.

    Parameters
    ----------
    found : mapping of slice index to SliceMask
        Along `axis`.
    axis : {0, 1, 2}
    smooth : float
        Standard deviation in pixels of the finest axis; 0 changes nothing.
    keep : collection of int
        Slices that stay as they are, such as keyframes; their neighbours are smoothed towards them.
    spacing_zyx : 3 floats, optional
        mm; where slices are farther apart than pixels, fewer of them are blended.

    Returns
    -------
    smoothed : dict of slice index to SliceMask
    """
    indices = sorted(found)
    shape = found[indices[0]].plane_shape if indices else (0, 0)
    full = tuple(np.insert(np.array(shape), axis, indices[-1] + 1 if indices else 0).tolist())
    region = _region_around(found, axis, 0.0, (full[0], full[1], full[2]))
    if region is None or smooth == 0:
        return dict(found)
    spacing = None if spacing_zyx is None else [spacing_zyx[a] for a in region._order]
    smoothed = clean_mask(_as_stack(found, region), CleanUp(smooth=smooth), spacing)
    return _as_masks(found, region, smoothed, keep)


def _region_around(
    found: Found, axis: int, margin: float, shape: tuple[int, ...]
) -> _Region | None:
    boxes = [mask.box for mask in found.values() if mask.box is not None]
    if not boxes:
        return None
    indices = [index for index, mask in found.items() if mask.box is not None]
    others = [a for a in range(3) if a != axis]
    low = [min(indices), *(min(b[k] for b in boxes) for k in (0, 1))]
    high = [max(indices) + 1, *(max(b[k + 2] for b in boxes) for k in (0, 1))]
    start, stop = [], []
    for a, first, last in zip((axis, *others), low, high, strict=True):
        room = round(margin * (last - first)) if a != axis else 0
        start.append(max(first - room, 0))
        stop.append(min(last + room, shape[a]))
    return _Region(axis, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _as_stack(found: Found, region: _Region) -> np.ndarray:
    stack = np.zeros(region.shape, bool)
    rows, columns = region.box_on(region.axis)
    for index, mask in found.items():
        if mask.box is not None:
            stack[index - region.start[0]] = mask.mask[rows, columns]
    return stack


def _add_votes(
    predictor: SlicePredictor,
    plan: Plan,
    region: _Region,
    stack: np.ndarray,
    axis: int,
    votes: np.ndarray,
    cancel: Event | None,
) -> None:
    """Carry the object along another axis and count where it is found."""
    across = region.view_along(stack, axis)
    start, stop = region.limits(axis)
    largest = int(across.sum((1, 2)).argmax())
    box = box_of(across[largest])
    assert box is not None
    rows, columns = region.box_on(axis)
    y0, x0, y1, x1 = box
    yxyx = (y0 + rows.start, x0 + columns.start, y1 + rows.start, x1 + columns.start)
    prompt = BoxPrompt(0, 0, axis, start + largest, yxyx)
    side = Plan(axis, {prompt.index: (prompt,)}, {}, frozenset(), start, stop, plan.sensitivity)
    counted = region.view_along(votes, axis)
    for index, prediction in run_plan(predictor, side, cancel):
        counted[index - start] += prediction.mask[rows, columns]


def _as_masks(
    found: Found, region: _Region, stack: np.ndarray, kept: Collection[int]
) -> dict[int, SliceMask]:
    rows, columns = region.box_on(region.axis)
    masks: dict[int, SliceMask] = {}
    for number, here in enumerate(stack):
        index = region.start[0] + number
        before = found.get(index)
        if index in kept:
            masks |= {index: before} if before is not None else {}
        elif here.any():
            masks[index] = _replaced(before, here, rows, columns, next(iter(found.values())))
    return masks


def _replaced(
    before: SliceMask | None, here: np.ndarray, rows: slice, columns: slice, any_mask: SliceMask
) -> SliceMask:
    """The new mask of a slice, the less sure the less it agrees with the one before."""
    mask = np.zeros(any_mask.plane_shape, bool)
    mask[rows, columns] = here
    if before is None:
        return SliceMask.from_mask(mask, score=0.0)
    if before.is_given:
        return before
    old = before.mask
    overlap = np.count_nonzero(mask & old) / np.count_nonzero(mask | old)
    return SliceMask.from_mask(mask, before.score * overlap, before.presence)
