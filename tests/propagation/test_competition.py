"""Contested pixels go to one object each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stacksam.propagation import SliceMask, share_out

SHAPE = (6, 8)


def prediction(columns: slice, score: float = 0.5) -> SliceMask:
    mask = np.zeros(SHAPE, bool)
    mask[:, columns] = True
    return SliceMask.from_mask(mask, score)


def test_the_object_with_the_nearer_keyframe_wins():
    found = {1: {4: prediction(slice(0, 5), 0.9)}, 2: {4: prediction(slice(3, 8), 0.1)}}
    shared = share_out(found, {1: [0], 2: [5]})
    assert shared[2][4] is found[2][4]
    assert shared[1][4].mask[:, :3].all()
    assert not shared[1][4].mask[:, 3:].any()


def test_at_equal_distance_the_more_confident_one_wins_then_the_first():
    for scores, winner in (((0.2, 0.8), 2), ((0.8, 0.2), 1), ((0.5, 0.5), 1)):
        found = {i: {4: prediction(slice(2, 6), s)} for i, s in enumerate(scores, start=1)}
        shared = share_out(found, {1: [3], 2: [5]})
        assert shared[winner][4].mask.sum() == 24
        assert shared[3 - winner][4].is_empty


def test_no_pixel_has_two_owners_and_none_is_lost():
    rng = np.random.default_rng(0)
    found = {
        i: {z: prediction(slice(*sorted(rng.integers(0, 9, 2)))) for z in range(5)}
        for i in range(1, 5)
    }
    shared = share_out(found, {i: [i] for i in found})
    for z in range(5):
        owners = sum(shared[i][z].mask.astype(int) for i in found)
        claimed = np.any([found[i][z].mask for i in found], axis=0)
        np.testing.assert_array_equal(owners, claimed)


def test_objects_that_do_not_meet_stay_as_they_are():
    found = {
        1: {4: prediction(slice(0, 3))},
        2: {4: prediction(slice(5, 8)), 5: prediction(slice(0, 3))},
    }
    assert share_out(found, {1: [4], 2: [4]}) == found


def test_given_masks_keep_every_pixel():
    given = [replace(prediction(columns), is_given=True) for columns in (slice(3, 8), slice(0, 4))]
    found = {1: {4: prediction(slice(0, 6), 1.0)}, 2: {4: given[0]}, 3: {4: given[1]}}
    shared = share_out(found, {1: [4], 2: [4], 3: [4]})
    assert [shared[2][4], shared[3][4]] == given
    assert shared[1][4].is_empty
