"""Masks between two masks."""

import numpy as np

from stacksam.core.shape_interpolation import masks_between


def square(low, high, shape=(15, 17)):
    mask = np.zeros(shape, bool)
    mask[low:high, low:high] = True
    return mask


def test_outline_moves_evenly():
    widths = [int(m[7].sum()) for m in masks_between(square(6, 9), square(2, 13), 3)]
    assert widths == [5, 7, 9]


def test_equal_masks_stay_as_they_are():
    for mask in masks_between(square(3, 9), square(3, 9), 2):
        assert np.array_equal(mask, square(3, 9))


def test_a_mask_at_the_border_is_not_rounded_there():
    full = np.ones((6, 7), bool)
    for mask in masks_between(full, full, 2):
        assert mask.all()


def test_the_other_way_round_gives_the_same():
    first, last = square(2, 6), square(5, 13)
    there = list(masks_between(first, last, 4))
    back = list(masks_between(last, first, 4))[::-1]
    assert np.array_equal(there, back)


def test_nothing_lies_between_neighbours():
    assert list(masks_between(square(2, 6), square(5, 13), 0)) == []
