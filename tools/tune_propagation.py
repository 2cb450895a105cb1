"""Fit what a front believes, and when it stops, to fronts through the train and val sides.

Each object is boxed on its largest slice and carried in both directions without a stop rule, past
its ends; what the network says of each slice is kept beside the true overlap. Then `Weights` of
`stacksam.propagation.belief` are fitted, data sets counting alike, and Dice and rank correlation
are listed for a range of limits, beside those of the present constants. No test file is read.

    python tools/tune_propagation.py ../shared/data --model compact --limit 2 --records fronts.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import spearmanr

import stacksam
from stacksam.core.prompts import BoxPrompt, PromptSet
from stacksam.core.simulated_prompts import box_around
from stacksam.core.windows import resolve_window
from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.propagation import SlicePredictor, make_plan
from stacksam.propagation import stop_rule as rules
from stacksam.propagation.belief import WEIGHTS, Weights, as_confidence, carry_belief
from stacksam.propagation.propagate import Way

SIDES = ("train", "val")
LIMITS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
FARTHEST = 80
"""Slices that a front goes at most."""

BEYOND = 40
"""Slices that it goes on after the object's end."""


@dataclass(frozen=True)
class Step:
    """What the network said of a slice, how it was reached, pixels of result, truth and both."""

    score: float
    presence: float
    likeness: float
    growth: float
    n_found: int
    n_true: int
    n_both: int

    @property
    def iou(self) -> float:
        """Of result and truth."""
        return self.n_both / max(self.n_found + self.n_true - self.n_both, 1)


@dataclass(frozen=True)
class Front:
    """One direction of one object."""

    dataset: str
    object_key: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Origin:
    """The prompted slice of an object, and the truth's pixels in all slices."""

    object_key: str
    n_found: int
    n_both: int
    n_true_in_all: int


def record(data: str, model: Any, limit: int) -> tuple[list[Front], list[Origin]]:
    """Run fronts without a stop rule over up to `limit` objects of each data set and side."""
    fronts: list[Front] = []
    origins: list[Origin] = []
    for side in SIDES:
        cases = choose_cases(find_items(data, side), limit, in_3d=True)
        for item, group in groupby(cases, key=lambda case: case.item):
            volume = item.read_volume()
            predictor = SlicePredictor(volume, resolve_window(volume, "auto"), model)
            for case in group:
                key = f"{item.key}:{case.label_id}"
                origins.append(_origin(predictor, case, key))
                name = f"{side} {item.dataset}"
                fronts += [Front(name, key, tuple(_follow(predictor, case, s))) for s in (1, -1)]
            print(item.key, flush=True)
    return fronts, origins


def _plan(predictor: SlicePredictor, case: Case) -> Any:
    box = box_around(case.truth_on(case.index))
    prompt = BoxPrompt(1, 1, 0, case.index, (box[0], box[1], box[2], box[3]))
    return make_plan(PromptSet((prompt,)), 1, 0, predictor.volume.n_slices(0))


def _origin(predictor: SlicePredictor, case: Case, key: str) -> Origin:
    plan = _plan(predictor, case)
    mask = predictor.from_prompts(0, case.index, plan.keyframes[case.index]).mask
    both = int(np.count_nonzero(mask & case.truth_on(case.index)))
    return Origin(key, int(mask.sum()), both, int(case.crop.sum()))


def _follow(predictor: SlicePredictor, case: Case, step: int) -> Iterator[Step]:
    plan = _plan(predictor, case)
    origin = predictor.from_prompts(0, case.index, plan.keyframes[case.index])
    stop = case.slices.stop + BEYOND if step > 0 else case.slices.start - BEYOND - 1
    stop = min(max(stop, case.index - FARTHEST), case.index + FARTHEST)
    front = Way(predictor, plan).front(origin, step, stop, is_inner=True)
    for index, found in front:
        mask, truth = found.mask, case.truth_on(index)
        known, crop = origin.appearance, predictor.crop(0, index, found.field)
        likeness = 1.0 if known is None else known.likeness(crop, found.logits)
        both = int(np.count_nonzero(mask & truth))
        sizes = int(mask.sum()), int(truth.sum()), both
        growth = found.radius / max(origin.radius, 1.0)
        yield Step(found.score, found.presence, likeness, growth, *sizes)


def beliefs(front: Front, weights: Weights) -> list[float]:
    """The belief in each step's mask."""
    found, belief = [], weights.start
    for step in front.steps:
        belief = carry_belief(belief, step.score, step.presence, weights)
        found.append(belief)
    return found


def fit(fronts: list[Front], start: Weights = WEIGHTS) -> Weights:
    """Weights with which confidence predicts the IoU best (cross entropy), data sets alike."""
    counts: dict[str, int] = {}
    for front in fronts:
        counts[front.dataset] = counts.get(front.dataset, 0) + len(front.steps)

    def loss(values: np.ndarray) -> float:
        weights, total = Weights(*values), 0.0
        for front in fronts:
            sure = np.array([as_confidence(b) for b in beliefs(front, weights)])
            true = np.array([step.iou for step in front.steps])
            cross = true * np.log(sure + 1e-6) + (1 - true) * np.log(1 - sure + 1e-6)
            total -= cross.sum() / counts[front.dataset]
        return total / len(counts) + 0.002 * (values[2] ** 2 + values[3] ** 2)

    found = minimize(loss, np.array(astuple(start)), method="Nelder-Mead", options={"maxiter": 600})
    return Weights(*(round(float(v), 3) for v in found.x))


def length(front: Front, weights: Weights, limit: float) -> int:
    """How many steps a front takes under the stop rule."""
    for number, (step, belief) in enumerate(zip(front.steps, beliefs(front, weights), strict=True)):
        if as_confidence(belief) < limit or step.presence < rules.PRESENCE_LIMIT:
            return number
        if step.score < rules.SCORE_LIMIT or step.likeness < rules.LIKENESS_LIMIT:
            return number
        if step.growth > rules.GROWTH_LIMIT:
            return number
    return len(front.steps)


def to_the_end(front: Front) -> int:
    """How many steps the object goes on, for comparison."""
    return max((n for n, step in enumerate(front.steps, start=1) if step.n_true), default=0)


def judge(
    fronts: list[Front], origins: list[Origin], weights: Weights, steps: Callable[[Front], int]
) -> dict[str, tuple[float, float]]:
    """Dice and Spearman's correlation of confidence and IoU, by data set."""
    by_object = {origin.object_key: origin for origin in origins}
    figures = {}
    for name in sorted({front.dataset for front in fronts}):
        here = [front for front in fronts if front.dataset == name]
        scores, pairs = [], []
        for key in sorted({front.object_key for front in here}):
            origin = by_object[key]
            found, both = origin.n_found, origin.n_both
            for front in (front for front in here if front.object_key == key):
                kept = steps(front)
                sure = [as_confidence(b) for b in beliefs(front, weights)]
                for number, step in enumerate(front.steps):
                    if number < kept:
                        found, both = found + step.n_found, both + step.n_both
                        pairs.append((sure[number], step.iou))
                    elif step.n_true:
                        pairs.append((0.0, 0.0))
            scores.append(2 * both / (found + origin.n_true_in_all))
        ranks = np.array(pairs or [(0.0, 0.0)])
        varies = len(ranks) > 2 and (np.ptp(ranks, axis=0) > 0).all()
        rho = float(spearmanr(ranks[:, 0], ranks[:, 1])[0]) if varies else float("nan")
        figures[name] = (float(np.mean(scores)), rho)
    return figures


def show(title: str, figures: dict[str, tuple[float, float]]) -> None:
    """Print means over data sets, of both sides and of val alone."""
    both = np.nanmean(list(figures.values()), axis=0)
    val = [value for name, value in figures.items() if name.startswith("val")]
    line = f"{title:38s} Dice {both[0]:.4f}  Spearman {both[1]:.3f}"
    print(line + (f"  val {np.mean(val, axis=0)[0]:.4f}" if val else ""))


def main() -> None:
    """Record, fit, and print the constants to write into the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--limit", type=int, default=2, help="objects of each data set and side")
    parser.add_argument("--records", type=Path, help="kept there, and read if it exists")
    options = parser.parse_args()
    if options.records and options.records.exists():
        stored = json.loads(options.records.read_text(encoding="utf-8"))
        fronts = [Front(n, k, tuple(Step(**s) for s in steps)) for n, k, steps in stored["fronts"]]
        origins = [Origin(**origin) for origin in stored["origins"]]
    else:
        fronts, origins = record(options.data, stacksam.load_model(options.model), options.limit)
        if options.records:
            rows = [(f.dataset, f.object_key, [asdict(s) for s in f.steps]) for f in fronts]
            stored = {"fronts": rows, "origins": [asdict(origin) for origin in origins]}
            options.records.write_text(json.dumps(stored), encoding="utf-8")
    fronts = [front for front in fronts if front.steps]
    show("ended by the truth", judge(fronts, origins, WEIGHTS, to_the_end))
    fitted = fit(fronts)
    for name, weights in (("present", WEIGHTS), ("fitted", fitted)):
        print(name, weights)
        for limit in sorted({*LIMITS, rules.CONFIDENCE_LIMIT}):
            figures = judge(fronts, origins, weights, partial(length, weights=weights, limit=limit))
            show(f"  CONFIDENCE_LIMIT {limit}", figures)


if __name__ == "__main__":
    main()
