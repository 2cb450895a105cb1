"""The simulated users that work on one slice: a click, a box, a click and its corrections.

A protocol uses nothing of the Session but its public methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stacksam.core.simulated_prompts import box_around, click_on, corrective_click
from stacksam.evaluation.baselines import (
    Click,
    combine_regions,
    flood_fill,
    otsu_component,
    random_walker_from_box,
    random_walker_from_clicks,
)
from stacksam.evaluation.calibration import PREDICTED
from stacksam.evaluation.cases import Case
from stacksam.evaluation.figures import Figures, Outcome, at_step, compare
from stacksam.evaluation.graph_cut import grabcut_from_box

ReadImage = Callable[[int], np.ndarray]
Answer = Callable[[Click], np.ndarray]
"""What a method makes of all clicks so far, given the latest one."""

CORRECTIONS = 5
READ_AT = 4
NOC_CAP = 10
NOC_GOALS = (0.80, 0.85)


def run_click(session: Any, case: Case, object_id: int) -> dict[str, Outcome]:
    """One click at the middle of the object, its innermost pixel.

    Beside the figures of `compare` there is the IoU that the model predicts for its mask.
    """
    session.add_point(object_id, (case.index, *click_on(case.truth_on(case.index))), positive=True)
    return {"model": _predicted(session, case, object_id)}


def run_box(session: Any, case: Case, object_id: int) -> dict[str, Outcome]:
    """The object's tight box; with the predicted IoU."""
    session.add_box(object_id, case.index, box_around(case.truth_on(case.index)))
    return {"model": _predicted(session, case, object_id)}


def run_iterative(session: Any, case: Case, object_id: int) -> dict[str, Outcome]:
    """A click, then corrections in the middle of the largest error.

    Figures ``...@1`` to ``...@6`` after that many clicks; ``iou@click+4`` and ``dice@click+4`` once
    more by name; ``noc@80`` and ``noc@85``, the number of clicks until that IoU is reached, and
    `NOC_CAP` where it is not within as many; ``failed@80`` and ``failed@85``, 1 where it is not. A
    perfect answer is not clicked on further and counts for the later clicks too.
    """
    return {"model": _play_clicks(case, _session_answer(session, case, object_id))}


def _predicted(session: Any, case: Case, object_id: int) -> Outcome:
    prediction = session.predict(object_id, case.index)
    outcome = _one(case, prediction.mask)
    outcome.figures[PREDICTED] = float(prediction.score)
    return outcome


def _session_answer(session: Any, case: Case, object_id: int) -> Answer:
    def answer(click: Click) -> np.ndarray:
        yx, positive = click
        session.add_point(object_id, (case.index, *yx), positive=positive)
        return session.predict(object_id, case.index).mask

    return answer


def _play_clicks(case: Case, answer: Answer) -> Outcome:
    """Click, look, correct, until the goals are reached or clicks run out."""
    truth = case.truth_on(case.index)
    click: Click | None = (click_on(truth), True)
    steps: list[Figures] = []
    shown = truth
    while click is not None and len(steps) < NOC_CAP:
        if len(steps) > CORRECTIONS and max(s["iou"] for s in steps) >= max(NOC_GOALS):
            break
        mask = np.asarray(answer(click), dtype=bool)
        steps.append(compare(truth, mask, _spacing(case)))
        shown = mask if len(steps) <= READ_AT + 1 else shown
        click = corrective_click(truth, mask)
    return Outcome(_click_figures(steps), {case.index: shown})


def _click_figures(steps: list[Figures]) -> Figures:
    figures: Figures = {}
    for n in range(1, CORRECTIONS + 2):
        figures |= at_step(steps[min(n, len(steps)) - 1], n)
    for name in ("iou", "dice"):
        figures[f"{name}@click+{READ_AT}"] = figures[f"{name}@{READ_AT + 1}"]
    for goal in NOC_GOALS:
        reached = [n for n, step in enumerate(steps, start=1) if step["iou"] >= goal]
        name = f"{round(goal * 100)}"
        figures[f"noc@{name}"] = float(reached[0] if reached else NOC_CAP)
        figures[f"failed@{name}"] = float(not reached)
    return figures


def _one(case: Case, mask: Any) -> Outcome:
    mask = np.asarray(mask, dtype=bool)
    figures = compare(case.truth_on(case.index), mask, _spacing(case))
    return Outcome(figures, {case.index: mask})


def _spacing(case: Case) -> tuple[float, float] | None:
    return None if case.spacing_zyx is None else case.spacing_zyx[1:]


def _by_regions(
    region: Callable[[np.ndarray, tuple[float, float]], np.ndarray],
) -> Callable[[np.ndarray], Answer]:
    """A method that finds a region for each click by itself."""

    def begin(image: np.ndarray) -> Answer:
        clicks: list[Click] = []
        regions: list[np.ndarray] = []

        def answer(click: Click) -> np.ndarray:
            clicks.append(click)
            regions.append(region(image, click[0]))
            return combine_regions(regions, clicks)

        return answer

    return begin


def _by_walking(image: np.ndarray) -> Answer:
    """The random walker, to which all clicks are seeds."""
    clicks: list[Click] = []

    def answer(click: Click) -> np.ndarray:
        clicks.append(click)
        return random_walker_from_clicks(image, clicks)

    return answer


def _with_click(begin: Callable[[np.ndarray], Answer]) -> Callable[[ReadImage, Case], Outcome]:
    """A method that goes by clicks, as a baseline for one click."""

    def run(read_image: ReadImage, case: Case) -> Outcome:
        click = (click_on(case.truth_on(case.index)), True)
        return _one(case, begin(read_image(case.index))(click))

    return run


def _with_clicks(begin: Callable[[np.ndarray], Answer]) -> Callable[[ReadImage, Case], Outcome]:
    """The same method with the clicks that correct it."""

    def run(read_image: ReadImage, case: Case) -> Outcome:
        return _play_clicks(case, begin(read_image(case.index)))

    return run


def _with_box(
    segment: Callable[[np.ndarray, tuple[float, float, float, float]], np.ndarray],
) -> Callable[[ReadImage, Case], Outcome]:
    """A method that segments from a box, as a baseline."""

    def run(read_image: ReadImage, case: Case) -> Outcome:
        box = box_around(case.truth_on(case.index))
        return _one(case, segment(read_image(case.index), box))

    return run


def _otsu_in_box(image: np.ndarray, yxyx: tuple[float, float, float, float]) -> np.ndarray:
    """Otsu's component under the middle of the box, as far as it lies in the box."""
    y0, x0, y1, x1 = (int(v) for v in yxyx)
    mask = np.zeros(image.shape, dtype=bool)
    found = otsu_component(image, ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    mask[y0:y1, x0:x1] = found[y0:y1, x0:x1]
    return mask


_BY_CLICKS = {
    "flood_fill": _by_regions(flood_fill),
    "otsu": _by_regions(otsu_component),
    "random_walker": _by_walking,
}
CLICK_BASELINES = {name: _with_click(begin) for name, begin in _BY_CLICKS.items()}
ITERATIVE_BASELINES = {name: _with_clicks(begin) for name, begin in _BY_CLICKS.items()}
BOX_BASELINES = {
    "grabcut": _with_box(grabcut_from_box),
    "otsu": _with_box(_otsu_in_box),
    "random_walker": _with_box(random_walker_from_box),
}
