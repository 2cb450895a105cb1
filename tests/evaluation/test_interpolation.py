"""Stacks filled from the masks of some slices."""

import numpy as np
import pytest

from stacksam.evaluation.interpolation import interpolate_stack


def square(side, shape=(21, 25)):
    mask = np.zeros(shape, bool)
    low = 10 - side // 2
    mask[low : low + side, low : low + side] = True
    return mask


def test_one_mask_is_held_over_the_extent():
    stack = interpolate_stack({2: square(5)}, [1, 2, 3, 4], 6)
    assert stack.sum(axis=(1, 2)).tolist() == [0, 25, 25, 25, 25, 0]


def test_between_two_masks_the_outline_moves_evenly():
    stack = interpolate_stack({0: square(3), 4: square(11)}, [], 5)
    assert np.array_equal(stack[0], square(3))
    assert np.array_equal(stack[4], square(11))
    widths = [int(mask[10].sum()) for mask in stack]
    assert widths == [3, 5, 7, 9, 11]


def test_interpolation_does_not_depend_on_the_extent_between_masks():
    masks = {1: square(5), 4: square(9)}
    inside = interpolate_stack(masks, range(1, 5), 6)
    assert np.array_equal(inside, interpolate_stack(masks, [], 6))
    beyond = interpolate_stack(masks, range(6), 6)
    assert np.array_equal(beyond[0], square(5))
    assert np.array_equal(beyond[5], square(9))


def test_an_empty_slice_ends_what_is_held():
    masks = {1: square(5), 4: np.zeros((21, 25), bool)}
    stack = interpolate_stack(masks, range(8), 8)
    assert stack.any(axis=(1, 2)).tolist() == [True] * 4 + [False] * 4


def test_an_empty_slice_parts_two_masks():
    masks = {0: square(5), 3: np.zeros((21, 25), bool), 6: square(9)}
    stack = interpolate_stack(masks, [1, 5], 7)
    assert stack.sum(axis=(1, 2)).tolist() == [25, 25, 0, 0, 0, 81, 81]


def test_given_masks_are_kept_exactly_and_left_alone():
    masks = {0: square(5), 2: square(7)}
    stack = interpolate_stack(masks, range(4), 4)
    stack[:] = False
    assert masks[0].sum() == 25


def test_nothing_found_gives_nothing():
    assert not interpolate_stack({1: np.zeros((4, 4), bool)}, [], 3).any()


def test_no_mask_at_all():
    with pytest.raises(ValueError, match="there is no mask to go from"):
        interpolate_stack({}, [1], 3)
