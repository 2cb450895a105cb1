"""Contested pixels go to one object each, and fronts do not hand a leak on."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from models import ThresholdPredictor, disc, stack_of
from stacksam.core.fields import Field
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PromptSet
from stacksam.core.windows import resolve_window
from stacksam.propagation import (
    Contest,
    SliceMask,
    SlicePrediction,
    SlicePredictor,
    make_plan,
    run_plan,
    run_plans,
)

SHAPE = (16, 16)
UNTOUCHED = dict.fromkeys(range(1, 6), ())


def found_in(columns: slice, score: float = 0.5, rows: slice = slice(0, 16)) -> SliceMask:
    mask = np.zeros(SHAPE, bool)
    mask[rows, columns] = True
    return SliceMask.from_mask(mask, score)


def predicted(logits: np.ndarray, score: float = 0.5, index: int = 4) -> SlicePrediction:
    field = Field(0, 0, *map(float, SHAPE))
    key = logits.tobytes() + repr(score).encode()
    return SlicePrediction(key, index, SHAPE, field, logits.astype(np.float32), score, 1.0)


def columns_of(logits: list[float]) -> np.ndarray:
    return np.tile(np.array(logits), (SHAPE[0], 1))


def share(contest: Contest, **predictions: SlicePrediction) -> dict[int, np.ndarray]:
    """Masks of objects a1, a2, ... of one slice after they have been shared out."""
    numbered = {int(name[1:]): prediction for name, prediction in predictions.items()}
    for object_id, prediction in numbered.items():
        contest.add(object_id, prediction)
    found = {i: {p.index: SliceMask.from_prediction(p)} for i, p in numbered.items()}
    return {i: s[4].mask for i, s in contest.share_out(found, UNTOUCHED).items()}


def test_the_surer_mask_wins_and_at_equal_bids_the_lower_id():
    for scores, winner in (((0.2, 0.8), 2), ((0.8, 0.2), 1), ((0.5, 0.5), 1)):
        found = {i: {4: found_in(slice(2, 6), s)} for i, s in enumerate(scores, start=1)}
        for order in permutations(found):
            shared = Contest().share_out({i: found[i] for i in order}, UNTOUCHED)
            assert shared[winner][4] is found[winner][4]
            assert shared[3 - winner][4].is_empty


def test_a_small_mask_beats_a_large_one_that_has_leaked_into_it():
    small, large = found_in(slice(6, 10), 0.5, slice(4, 8)), found_in(slice(0, 16), 0.6)
    shared = Contest().share_out({1: {4: large}, 2: {4: small}}, UNTOUCHED)
    assert shared[2][4] is small
    assert np.array_equal(shared[1][4].mask, ~small.mask)


def test_the_border_of_equal_masks_lies_where_both_are_equally_sure():
    falling = [4, 4, 4, 4, 4, 4, 3, 2, 1, 0.5, -1, -1, -1, -1, -1, -1]
    shared = share(
        Contest(), a1=predicted(columns_of(falling)), a2=predicted(columns_of(falling[::-1]))
    )
    assert np.array_equal(shared[1], np.broadcast_to(np.arange(16) < 8, SHAPE))
    assert np.array_equal(shared[2], ~shared[1])


def test_slices_with_prompts_come_first_and_given_masks_keep_every_pixel():
    unsure, sure = found_in(slice(0, 6), 0.1), found_in(slice(0, 6), 0.9)
    shared = Contest().share_out({1: {4: sure}, 2: {4: unsure}}, {1: [3], 2: [4]})
    assert shared[2][4] is unsure
    assert shared[1][4].is_empty
    given = [replace(found_in(columns), is_given=True) for columns in (slice(3, 8), slice(0, 4))]
    found = {1: {4: sure}, 2: {4: given[0]}, 3: {4: given[1]}}
    shared = Contest().share_out(found, {i: [4] for i in found})
    assert [shared[2][4], shared[3][4]] == given
    assert shared[1][4].is_empty


def test_no_pixel_has_two_owners_and_none_is_lost():
    rng = np.random.default_rng(0)
    contest, found = Contest(), {}
    for i in range(1, 5):
        found[i] = {}
        for z in range(5):
            prediction = predicted(rng.normal(size=SHAPE), float(rng.random()), z)
            contest.add(i, prediction)
            found[i][z] = SliceMask.from_prediction(prediction)
    shared = contest.share_out(found, {i: [i] for i in found})
    for z in range(5):
        owners = sum(shared[i][z].mask.astype(int) for i in found)
        claimed = np.any([found[i][z].mask for i in found], axis=0)
        np.testing.assert_array_equal(owners, claimed)


def test_objects_that_do_not_meet_stay_as_they_are():
    found = {
        1: {4: found_in(slice(0, 3))},
        2: {4: found_in(slice(5, 8)), 5: found_in(slice(0, 3))},
    }
    assert Contest().share_out(found, UNTOUCHED) == found


def test_masks_that_changed_since_they_were_claimed_are_shared_out_as_they_are_now():
    contest = Contest()
    contest.add(1, predicted(columns_of([4.0] * 4 + [-1.0] * 12), 0.9))
    wider, other = found_in(slice(0, 8), 0.9), found_in(slice(6, 12), 0.1)
    shared = contest.share_out({1: {4: wider}, 2: {4: other}}, UNTOUCHED)
    assert shared[1][4] is wider
    assert np.array_equal(shared[2][4].mask, found_in(slice(8, 12)).mask)


def test_a_front_hands_on_what_others_have_not_won():
    contest = Contest()
    large = predicted(np.full(SHAPE, 2.0), 0.6)
    assert contest.ceded(1, large) is large
    contest.add(1, large)
    assert contest.ceded(1, large) is large  # nobody competes with oneself
    small = np.where(disc(SHAPE, (8, 8), 4), 3.0, -3.0)
    contest.add(2, predicted(small, 0.9))
    ceded = contest.ceded(1, large)
    assert np.array_equal(ceded.mask, small < 0)
    assert ceded.key != large.key
    assert contest.ceded(2, predicted(small, 0.9)).mask.sum() == (small > 0).sum()


def test_given_masks_are_neither_ceded_nor_leaked_over():
    contest, mask = Contest(), disc(SHAPE, (8, 8), 4)
    given = replace(predicted(np.where(mask, 1.0, -1.0), 0.1), given=mask)
    sure = predicted(np.full(SHAPE, 5.0), 0.99)
    contest.add(1, given)
    contest.add(2, sure)
    assert contest.ceded(1, given) is given
    assert np.array_equal(contest.ceded(2, sure).mask, ~mask)


# Fronts side by side


@pytest.fixture
def bridged():
    """A small ball and a tall block that a bridge joins on two slices, and which then part."""
    labels = np.zeros((10, 64, 72), np.uint8)
    labels[:, 8:56, 6:34] = 1
    labels[1:9, 26:38, 44:56] = 2
    labels[4:6, 30:34, 34:44] = 1
    return labels


def plans_for(prompts):
    chosen = PromptSet(tuple(prompts))
    return {i: make_plan(chosen, i, 0, 10) for i in chosen.object_ids}


BOXES = (
    BoxPrompt(1, 1, 0, 1, (7.0, 5.0, 57.0, 35.0)),
    BoxPrompt(2, 2, 0, 6, (25.0, 43.0, 39.0, 57.0)),
)


def run_both(labels, prompts=BOXES, order=(1, 2)):
    volume, contest = stack_of(labels), Contest()
    predictor = SlicePredictor(volume, resolve_window(volume), ThresholdPredictor())
    plans = plans_for(prompts)
    found = {i: {} for i in sorted(plans)}
    for object_id, index, prediction in run_plans(predictor, {i: plans[i] for i in order}, contest):
        found[object_id][index] = prediction
    return predictor, plans, contest, found


def test_a_leak_into_a_neighbour_is_not_handed_on(bridged):
    predictor, plans, _, found = run_both(bridged)
    alone = dict(run_plan(predictor, plans[1]))
    ball = bridged[7] == 2
    assert alone[7].mask[ball].all()  # once over the bridge it stays there
    assert not found[1][7].mask[ball].any()
    assert found[2][7].mask[ball].all()


def test_the_order_of_objects_does_not_matter(bridged):
    first, second = (run_both(bridged, order=order) for order in ((1, 2), (2, 1)))
    masks = []
    for _, _, contest, found in (first, second):
        packed = {
            i: {z: SliceMask.from_prediction(p) for z, p in slices.items()}
            for i, slices in found.items()
        }
        masks.append(contest.share_out(packed, {1: [1], 2: [6]}))
    assert masks[0] == masks[1]


def test_objects_that_do_not_meet_are_found_as_if_alone(bridged):
    bridged[4:6, 30:34, 34:44] = 0
    predictor, plans, _, found = run_both(bridged)
    decoded = predictor.decoded
    for object_id, plan in plans.items():
        alone = dict(run_plan(predictor, plan))
        assert alone.keys() == found[object_id].keys()
        assert all(found[object_id][z] is prediction for z, prediction in alone.items())
    assert predictor.decoded == decoded  # remembered


def test_drawn_neighbours_between_and_beyond_keyframes_are_never_leaked_over(bridged):
    drawn = [MaskPrompt.from_array(9, 2, 0, 5, bridged[5] == 2)]
    _, _, _, found = run_both(bridged, (*BOXES, *drawn))
    assert np.array_equal(found[2][5].mask, bridged[5] == 2)
    assert not found[1][7].mask[bridged[7] == 2].any()
