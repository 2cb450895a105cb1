"""Agreement of masks, worked out by hand, and the invariants that hold for all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stacksam.core.metrics import boundary_distance, dice, iou, precision_recall

A = np.array([[1, 1, 0, 0]], bool)
B = np.array([[0, 1, 1, 1]], bool)
NONE = np.zeros((1, 4), bool)
pairs = st.tuples(arrays(bool, (5, 6)), arrays(bool, (5, 6)))


def test_by_hand():
    assert iou(A, B) == 1 / 4
    assert dice(A, B) == 2 / 5
    assert precision_recall(A, B) == (1 / 3, 1 / 2)


def test_empty_masks_have_a_value():
    assert iou(NONE, NONE) == dice(NONE, NONE) == 1
    assert iou(A, NONE) == dice(NONE, A) == 0
    assert precision_recall(A, NONE) == (1, 0)
    assert precision_recall(NONE, A) == (0, 1)
    assert boundary_distance(NONE, NONE) == 0
    assert boundary_distance(A, NONE) == boundary_distance(NONE, A) == math.inf


@given(pairs)
def test_invariants(pair):
    first, second = pair
    assert iou(first, second) == iou(second, first)
    assert 0 <= iou(first, second) <= dice(first, second) <= 1
    assert dice(first, second) == pytest.approx(2 * iou(first, second) / (1 + iou(first, second)))
    assert iou(first, first) == 1
    assert precision_recall(first, second) == precision_recall(second, first)[::-1]
    assert boundary_distance(first, second) == pytest.approx(boundary_distance(second, first))


def test_integers_count_as_bool():
    assert iou(A.astype(int) * 4, B.astype(int) * 3) == 1 / 4


def test_a_shifted_square_is_as_far_as_its_sides():
    first, second = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    first[5:15, 5] = True
    second[5:15, 9] = True
    assert boundary_distance(first, second) == 4
    assert boundary_distance(first, second, spacing=(1.0, 0.5)) == 2


def test_distance_in_3d_uses_the_slice_spacing():
    first, second = np.zeros((6, 4, 4), bool), np.zeros((6, 4, 4), bool)
    first[1], second[3] = True, True
    assert boundary_distance(first, second, (2.5, 1, 1)) == 5


def test_the_border_counts_as_outside():
    whole = np.ones((5, 5), bool)
    inner = whole.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    assert 0 < boundary_distance(whole, inner) <= math.sqrt(2)


@pytest.mark.parametrize("score", [iou, dice, precision_recall, boundary_distance])
def test_shapes_have_to_agree(score):
    with pytest.raises(ValueError, match="have to agree"):
        score(A, np.zeros((2, 4), bool))


def test_spacing_has_to_fit():
    with pytest.raises(ValueError, match="spacing has 3 values"):
        boundary_distance(A, B, (1, 1, 1))
