"""The script that fits what a front believes."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from stacksam.propagation import stop_rule as rules
from stacksam.propagation.belief import WEIGHTS, as_confidence

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "tune_propagation.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="tools are in the repository only")


@pytest.fixture(scope="module")
def tune():
    spec = importlib.util.spec_from_file_location("tune_propagation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def step(tune, score=0.9, presence=0.9999, overlap=90, true=100, **options):
    facts = {"likeness": 1.0, "growth": 1.0} | options
    return tune.Step(score, presence, **facts, n_found=100, n_true=true, n_both=overlap)


def test_fit_learns_that_doubts_mean_errors(tune):
    rng = np.random.default_rng(0)
    fronts = []
    for number in range(12):
        presence = rng.uniform(0.2, 1.0, 10)
        true = np.minimum.accumulate(presence)  # errors do not heal
        pairs = zip(presence, true, strict=True)
        steps = [step(tune, presence=p, overlap=round(100 * t)) for p, t in pairs]
        fronts.append(tune.Front("val a", str(number), tuple(steps)))

    def error(weights):
        pairs = [
            (as_confidence(belief), step.iou)
            for front in fronts
            for belief, step in zip(tune.beliefs(front, weights), front.steps, strict=True)
        ]
        return np.mean([(sure - true) ** 2 for sure, true in pairs])

    fitted = tune.fit(fronts)
    assert fitted.presence > 0
    assert error(fitted) < error(WEIGHTS)


@pytest.mark.parametrize(
    "bad",
    [
        {"presence": rules.PRESENCE_LIMIT - 0.1},
        {"score": rules.SCORE_LIMIT - 0.1},
        {"likeness": rules.LIKENESS_LIMIT - 0.1},
        {"growth": rules.GROWTH_LIMIT + 0.1},
    ],
)
def test_lengths_follow_the_rules_of_propagation(tune, bad):
    good = step(tune)
    front = tune.Front("val a", "o", (good, good, step(tune, **bad), good))
    assert tune.length(front, WEIGHTS, 0.4) == 2
    assert tune.length(tune.Front("val a", "o", (good,) * 4), WEIGHTS, 0.4) == 4
    assert tune.length(front, WEIGHTS, 0.99) == 0


def test_dice_counts_what_is_beyond_a_front(tune):
    steps = (step(tune), step(tune, overlap=0, true=0))
    front, origin = tune.Front("val a", "o", steps), tune.Origin("o", 100, 100, 300)
    dice, _ = tune.judge([front], [origin], WEIGHTS, tune.to_the_end)["val a"]
    assert dice == pytest.approx(2 * 190 / (200 + 300))
    too_far, _ = tune.judge([front], [origin], WEIGHTS, lambda f: 2)["val a"]
    assert too_far == pytest.approx(2 * 190 / (300 + 300))
