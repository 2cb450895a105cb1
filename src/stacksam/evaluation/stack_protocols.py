"""The simulated users that work on a stack: a box carried through it, and corrected slices.

A protocol uses nothing of the Session but its public methods, and the engine it has as `predictor`
for what is compared with it on the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from stacksam.core.simulated_prompts import box_around
from stacksam.evaluation.baselines import random_walker_from_box, random_walker_through
from stacksam.evaluation.cases import Case
from stacksam.evaluation.confidence import slice_scores
from stacksam.evaluation.figures import (
    Figures,
    Outcome,
    area_under,
    at_step,
    compare,
    steps_of,
)
from stacksam.evaluation.interpolation import interpolate_stack

ReadImage = Callable[[int], np.ndarray]

CORRECTED_SLICES = 5
READ_AT = 3


def run_propagate(session: Any, case: Case, object_id: int) -> dict[str, Outcome]:
    """One box on the slice where the object is largest, propagated, scored in 3D.

    What is found outside of the object's extent counts as wrong. Each slice's confidence is kept
    beside its IoU. For comparison ``micro_sam_rule``, another rule on the same model from the same
    mask of the prompted slice, and ``shape_held_constant``: that mask on every slice that
    propagation found.
    """
    session.add_box(object_id, case.index, box_around(case.truth_on(case.index)))
    result = session.propagate(object_id)
    found = np.asarray(result.mask, dtype=bool)
    slices = slice_scores(case.truth(), found, result.confidence)
    held = _interpolated({case.index: found[case.index]}, found)
    return {
        "model": replace(_whole(case, found), slices=slices, stack=found),
        **_by_micro_sam_rule(session, case, found[case.index]),
        "shape_held_constant": _whole(case, held),
    }


def run_propagate_k(
    session: Any, case: Case, object_id: int, *, with_rule: bool = True
) -> dict[str, Outcome]:
    """A box on the slice of largest area; then, k times, the slice with the largest error is given.

    For each k from 0 to `CORRECTED_SLICES` the object is propagated and scored in 3D (``dice@k``
    ...); then the user gives the true mask of the slice with most wrong pixels (an empty one where
    the object is not). ``dice@auc`` is the area under Dice over k. A perfect result is not
    corrected further and counts for the later k too. Beside it ``interpolation``, which knows the
    same k + 1 slices, see `interpolate_stack`, and, `with_rule`, ``micro_sam_rule`` at k = 0.
    """
    runs: dict[str, list[Outcome]] = {"model": [], "interpolation": []}
    rule: dict[str, Outcome] = {}
    for given, found in _corrected(session, case, object_id, case.truth()):
        if with_rule and not runs["model"]:
            rule = _by_micro_sam_rule(session, case, found[case.index])
        runs["model"].append(_whole(case, found))
        runs["interpolation"].append(_whole(case, _interpolated(given, found)))
    at_start = {m: replace(o, figures=at_step(o.figures, 0)) for m, o in rule.items()}
    return {method: _over_k(outcomes) for method, outcomes in runs.items()} | at_start


def _by_micro_sam_rule(session: Any, case: Case, mask: np.ndarray) -> dict[str, Outcome]:
    """The rule from the mask of the prompted slice; nothing for a session without an engine."""
    if getattr(session, "predictor", None) is None:
        return {}
    from stacksam.evaluation.micro_sam_rule import carry_by_micro_sam_rule  # brings torch

    found = carry_by_micro_sam_rule(session.predictor, case.index, mask)
    return {"micro_sam_rule": _whole(case, found)}


def _corrected(
    session: Any, case: Case, object_id: int, truth: np.ndarray
) -> Iterator[tuple[dict[int, np.ndarray], np.ndarray]]:
    """The slices that the user has decided so far, and the stack that follows from them."""
    session.add_box(object_id, case.index, box_around(case.truth_on(case.index)))
    given: dict[int, np.ndarray] = {}
    for k in range(CORRECTED_SLICES + 1):
        found = np.asarray(session.propagate(object_id).mask, dtype=bool)
        given.setdefault(case.index, found[case.index])
        yield dict(given), found
        worst = worst_slice(truth, found)
        if worst is None or k == CORRECTED_SLICES:
            return
        given[worst] = truth[worst]
        session.add_mask(object_id, worst, truth[worst])


def worst_slice(truth: np.ndarray, found: np.ndarray) -> int | None:
    """The slice along axis 0 with most wrong pixels, the first of equals; None if all are right."""
    wrong = np.count_nonzero(truth != found, axis=(1, 2))
    return int(np.argmax(wrong)) if wrong.any() else None


def _over_k(outcomes: list[Outcome]) -> Outcome:
    figures: Figures = {}
    for k in range(CORRECTED_SLICES + 1):
        figures |= at_step(outcomes[min(k, len(outcomes) - 1)].figures, k)
    figures["dice@auc"] = area_under(list(steps_of(figures, "dice").values()))
    return Outcome(figures, outcomes[min(READ_AT, len(outcomes) - 1)].shown)


def _interpolated(given: dict[int, np.ndarray], found: np.ndarray) -> np.ndarray:
    extent = np.flatnonzero(found.any(axis=(1, 2)))
    return interpolate_stack(given, extent.tolist(), len(found))


def _whole(case: Case, found: np.ndarray) -> Outcome:
    """Scored in 3D; shown on the prompted slice and on the worst one."""
    truth, step, spacing = case.truth(), case.score_step, case.spacing_zyx
    worst = worst_slice(truth, found)
    shown = {i: found[i].copy() for i in (case.index, worst) if i is not None}
    if spacing is not None:
        spacing = (spacing[0] * step, *spacing[1:])
    return Outcome(compare(truth[::step], found[::step], spacing), shown)


def _walk_through(read_image: ReadImage, case: Case) -> Outcome:
    """A random walk from the box on its slice, then handed on from slice to slice."""
    box = box_around(case.truth_on(case.index))
    found = np.zeros(case.shape, dtype=bool)
    found[case.index] = random_walker_from_box(read_image(case.index), box)
    if found[case.index].any():
        images = _LazySlices(read_image, case.shape[0])
        for index, mask in random_walker_through(images, case.index, found[case.index]):
            found[index] = mask
    return _whole(case, found)


class _LazySlices(dict):
    """Slices read when first asked for, so that a baseline that stops early reads no further."""

    def __init__(self, read_image: ReadImage, count: int) -> None:
        super().__init__()
        self._read_image, self._count = read_image, count

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and 0 <= index < self._count

    def __missing__(self, index: int) -> np.ndarray:
        return self._read_image(index)


PROPAGATE_BASELINES = {"random_walker": _walk_through}
