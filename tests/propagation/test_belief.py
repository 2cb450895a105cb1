"""Evidence that adds up from slice to slice."""

import pytest

from stacksam.propagation.belief import (
    LARGEST,
    WEIGHTS,
    Weights,
    as_confidence,
    belief_of,
    carry_belief,
)
from stacksam.propagation.stop_rule import CONFIDENCE_LIMIT


def after(steps, belief=WEIGHTS.start):
    for score, presence in steps:
        belief = carry_belief(belief, score, presence)
    return belief


def test_one_slice_in_doubt_is_forgiven_and_several_are_not():
    sure, doubt = (0.9, 0.9999), (0.6, 0.8)
    once, often = after([sure, doubt, sure, sure]), after([doubt] * 4)
    assert as_confidence(once) > CONFIDENCE_LIMIT + 0.1
    assert as_confidence(often) < CONFIDENCE_LIMIT


def test_belief_grows_with_what_the_network_says_and_falls_with_the_way():
    assert carry_belief(1.0, 0.9, 0.9) > carry_belief(1.0, 0.5, 0.9)
    assert carry_belief(1.0, 0.9, 0.9) > carry_belief(1.0, 0.9, 0.2)
    assert carry_belief(1.0, 0.9, 0.9) > carry_belief(0.0, 0.9, 0.9)
    assert after([(0.8, 0.99)] * 3) < after([(0.8, 0.99)] * 2)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_belief_is_bounded(value):
    steep = Weights(start=0.0, carry=5.0, score=5.0, presence=5.0, doubt=0.0)
    belief = 1.0
    for _ in range(200):
        belief = carry_belief(belief, value, value, weights=steep)
    assert abs(belief) == LARGEST


@pytest.mark.parametrize("confidence", [0.01, 0.3, 0.5, 0.97])
def test_confidence_and_belief_are_two_words_for_one_thing(confidence):
    assert as_confidence(belief_of(confidence)) == pytest.approx(confidence)
