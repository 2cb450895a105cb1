"""Intervals between keyframes: two fronts, and the shape half-way."""

from dataclasses import replace

import numpy as np
import pytest

from models import disc, overlap
from stacksam.core.fields import Field
from stacksam.propagation import SlicePrediction
from stacksam.propagation.belief import belief_of
from stacksam.propagation.between import SHAPE_CONFIDENCE, Interval, fuse

SHAPE = (64, 64)
WHOLE = Field(0.0, 0.0, 64.0, 64.0)
SMALL, LARGE = disc(SHAPE, (32, 32), 8), disc(SHAPE, (32, 32), 20)
MIDDLE = disc(SHAPE, (32, 32), 14)


def prediction(index, mask, sure=0.8):
    logits = np.where(mask, 6.0, -6.0).astype(np.float32)
    belief = belief_of(sure)
    return SlicePrediction(
        b"%d" % index, index, SHAPE, WHOLE, logits, 0.9, 1.0, belief=belief, is_handed=True
    )


@pytest.fixture
def interval():
    return Interval(prediction(0, SMALL), prediction(10, LARGE))


def test_without_fronts_it_is_the_shape_half_way(interval):
    found = interval.fill(5, [])
    assert overlap(found.mask, MIDDLE) > 0.9
    assert found.index == 5
    assert found.confidence == pytest.approx(SHAPE_CONFIDENCE)


def test_given_masks_next_to_it_do_not_show_through(interval):
    given = replace(interval, low=replace(interval.low, given=SMALL))
    assert given.fill(1, []).given is None


def test_fronts_that_agree_win_over_the_shape(interval):
    other = disc(SHAPE, (28, 30), 15)
    fronts = [prediction(5, other), prediction(5, other)]
    assert overlap(interval.fill(5, fronts).mask, other) > 0.9


def test_fronts_that_disagree_leave_it_to_the_shape(interval):
    fronts = [prediction(5, SMALL), prediction(5, LARGE)]
    assert overlap(interval.fill(5, fronts).mask, MIDDLE) > 0.9


def test_corrected_slices_are_not_smoothed_over(interval):
    fronts = [prediction(5, SMALL), prediction(5, SMALL)]
    assert np.array_equal(interval.fill(5, fronts, is_corrected=True).mask, SMALL)


def test_where_fronts_differ_the_confidence_says_so():
    same = fuse(prediction(5, MIDDLE), prediction(5, MIDDLE), 0.5)
    apart = fuse(prediction(5, SMALL), prediction(5, LARGE), 0.5)
    assert same.confidence == pytest.approx(0.8)
    assert apart.confidence == pytest.approx(0.8 * SMALL.sum() / LARGE.sum(), rel=1e-3)


def test_what_it_follows_from_is_in_its_key(interval):
    fronts = [prediction(5, SMALL), prediction(5, LARGE)]
    keys = {
        interval.fill(5, fronts).key,
        interval.fill(5, fronts[:1]).key,
        interval.fill(4, fronts).key,
        replace(interval, low=prediction(1, SMALL)).fill(5, fronts).key,
    }
    assert len(keys) == 4
