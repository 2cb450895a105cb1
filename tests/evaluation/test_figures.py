"""The figures on masks whose answers are worked out by hand."""

import numpy as np
import pytest

from stacksam.core.metrics import boundary_distance
from stacksam.evaluation.figures import (
    COMPARED,
    area_under,
    at_step,
    compare,
    size_class,
    steps_of,
    window_of,
)


@pytest.fixture
def truth():
    mask = np.zeros((20, 30), bool)
    mask[5:15, 5:15] = True
    return mask


def test_every_figure_of_a_half(truth):
    half = truth.copy()
    half[:, 10:] = False
    figures = compare(truth, half, spacing=(0.5, 0.5))
    assert list(figures) == list(dict.fromkeys([*figures]))
    assert set(figures) == set(COMPARED)
    assert (figures["iou"], figures["precision"], figures["recall"]) == (0.5, 1.0, 0.5)
    assert figures["dice"] == pytest.approx(2 / 3)
    assert figures["boundary_mm"] == pytest.approx(figures["boundary_px"] / 2)
    assert figures["empty"] == 0


def test_distances_are_those_of_the_metric(truth):
    moved = np.roll(truth, (2, 9), (0, 1))
    figures = compare(truth, moved, spacing=(3.0, 0.5))
    assert figures["boundary_px"] == pytest.approx(boundary_distance(truth, moved))
    assert figures["boundary_mm"] == pytest.approx(boundary_distance(truth, moved, (3.0, 0.5)))


def test_a_perfect_result(truth):
    figures = compare(truth, truth.copy(), spacing=(1.0, 2.0))
    assert figures["iou"] == figures["dice"] == figures["precision"] == figures["recall"] == 1
    assert figures["boundary_px"] == figures["boundary_mm"] == 0


def test_an_empty_result_is_a_diagonal_away(truth):
    truth[5:8, :] = False
    truth[8:15, 5:15] = True
    figures = compare(truth, np.zeros_like(truth), spacing=(1.0, 2.0))
    assert figures["empty"] == 1
    assert figures["iou"] == figures["dice"] == figures["recall"] == 0
    assert figures["boundary_px"] == pytest.approx(np.hypot(7, 10))
    assert figures["boundary_mm"] == pytest.approx(np.hypot(7, 20))


def test_without_spacing_there_is_no_mm(truth):
    assert "boundary_mm" not in compare(truth, truth)


def test_a_box_around_several_masks():
    first, second = np.zeros((2, 4, 9, 8), bool)
    first[1, 2, 3] = second[3, 5, 3] = True
    assert window_of(first, second) == (slice(1, 4), slice(2, 6), slice(3, 4))
    assert window_of(np.zeros((3, 3), bool)) == (slice(0, 0), slice(0, 0))


def test_steps_keep_their_numbers():
    figures = {**at_step({"dice": 0.5, "iou": 0.4}, 10), **at_step({"dice": 0.3}, 2), "dice@auc": 1}
    assert steps_of(figures, "dice") == {2: 0.3, 10: 0.5}
    assert steps_of(figures, "di") == {}


@pytest.mark.parametrize(("values", "area"), [([0.5], 0.5), ([0.0, 1.0], 0.5), ([1, 0, 1], 0.5)])
def test_area_under_a_curve(values, area):
    assert area_under(values) == area


@pytest.mark.parametrize(
    ("area", "name"),
    [(0, "small"), (1023, "small"), (1024, "medium"), (9215, "medium"), (9216, "large")],
)
def test_size_classes(area, name):
    assert size_class(area) == name
