"""Masks packed into few bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stacksam.core.cleanup import CleanUp
from stacksam.propagation import SliceMask

masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(masks)
def test_packing_loses_nothing(mask):
    found = SliceMask.from_mask(mask, 0.5, 0.25)
    assert np.array_equal(found.mask, mask)
    assert found.mask.dtype == bool
    assert found.n_pixels == mask.sum()
    assert found.is_empty == (not mask.any())
    assert found.confidence == 0.125
    assert found == SliceMask.from_mask(mask.copy(), 0.5, 0.25)


@given(masks)
def test_lines_are_rows_and_columns(mask):
    found = SliceMask.from_mask(mask, 1.0)
    for row in range(mask.shape[0]):
        assert np.array_equal(found.line(row, 0), mask[row])
    for column in range(mask.shape[1]):
        assert np.array_equal(found.line(column, 1), mask[:, column])


@given(masks, hnp.arrays(int, 4, elements=st.integers(0, 9)))
def test_a_window_is_the_part_of_the_mask(mask, edges):
    (y0, y1), (x0, x1) = np.sort(edges[:2]), np.sort(edges[2:])
    window = tuple(int(v) for v in (y0, x0, min(y1, mask.shape[0]), min(x1, mask.shape[1])))
    if window[0] < window[2] and window[1] < window[3]:
        part = SliceMask.from_mask(mask, 1.0).window(window)
        assert np.array_equal(part, mask[y0:y1, x0:x1])


@pytest.fixture
def ring():
    mask = np.ones((5, 6), bool)
    mask[2, 2:4] = False
    return mask


def test_clean_up_gives_another_mask(ring):
    found = SliceMask.from_mask(ring, 0.5)
    cleaned = found.cleaned(CleanUp(fill_holes=True))
    assert cleaned.mask.all()
    assert (cleaned.score, cleaned.plane_shape) == (0.5, (5, 6))
    assert np.array_equal(found.mask, ring)


def test_clean_up_that_changes_nothing_gives_the_same(ring):
    found = SliceMask.from_mask(ring, 0.5)
    for settings in (None, CleanUp(), CleanUp(keep_largest=True)):
        assert found.cleaned(settings) is found


def test_what_the_user_gave_is_not_cleaned(ring):
    found = SliceMask.from_mask(ring, 1.0, is_given=True)
    assert found.cleaned(CleanUp(fill_holes=True)) is found


def test_clean_up_in_millimetres_needs_the_spacing(ring):
    found = SliceMask.from_mask(ring, 1.0)
    small = CleanUp(min_size=30, min_size_unit="mm")
    assert found.cleaned(small, (1.0, 1.0)).is_empty
    assert found.cleaned(small, (2.0, 1.0)) == found
    with pytest.raises(ValueError, match="needs a spacing"):
        found.cleaned(small)
