"""Planes, confidence and error of objects in their stacks."""

import numpy as np
import pytest

from stacksam.evaluation.cases import Case
from stacksam.evaluation.confidence import slice_scores
from stacksam.evaluation.datasets import Item
from stacksam.evaluation.figures import Outcome
from stacksam.evaluation.report import Report, Score
from stacksam.evaluation.report_pictures import RESULT_COLOUR, TRUTH_COLOUR
from stacksam.evaluation.stack_pictures import (
    ERROR_COLOUR,
    SURE_COLOUR,
    UNSURE_COLOUR,
    colour_of_confidence,
    draw_plane,
    draw_stack_view,
    stack_picture,
)
from stacksam.evaluation.views import VIEW_SIDE, stack_view


def case_of(shape=(20, 40, 50), spacing=(4.0, 1.0, 1.0), dataset="nuclei"):
    truth = np.zeros(shape, bool)
    truth[5:15, 10:30, 10:25] = True
    path = f"microscopy/{dataset}/volumes/a.tif"
    item = Item(path, dataset, "microscopy", False, True, None, None)
    return Case(item, 3, 9, (0, 0, 0), truth, shape, spacing)


def view_of(case, found, confidence=0.8, dice=0.5):
    slices = slice_scores(case.truth(), found, np.full(case.shape[0], confidence))
    image = np.linspace(0, 1, np.prod(case.shape)).reshape(case.shape)
    outcome = Outcome({"dice": dice}, {}, slices, found)
    return stack_view(case, outcome, "dice", lambda i, axis=0: np.take(image, i, axis))


def count(picture, colour):
    return int((np.asarray(picture) == colour).all(axis=-1).sum())


def test_planes_are_cut_around_truth_and_result():
    case = case_of()
    found = case.truth()
    found[16] = found[9]
    view = view_of(case, found)
    assert view.extent == (2, 20)  # 5 to 17 and a quarter of 48 mm on each side
    across_z, across_y, across_x = view.planes
    assert across_z.truth.sum() == 20 * 15
    assert across_y.truth.sum() == 10 * 15
    assert across_y.result.sum() == 11 * 15
    assert across_x.image.shape[0] == 18
    assert across_x.pixel_mm == (4.0, 1.0)
    assert all(p.image.shape == p.truth.shape == p.result.shape for p in view.planes)
    assert view.title == "nuclei, label 3: dice 0.50"


def test_large_planes_are_reduced_and_keep_their_size_in_mm():
    case = case_of((20, 1500, 50))
    truth = case.truth()
    truth[5:15, 10:1400, 10:25] = True
    case = Case(case.item, 3, 9, (0, 0, 0), truth, truth.shape, None)
    plane = view_of(case, truth).planes[0]
    assert max(plane.image.shape) <= VIEW_SIDE
    assert plane.pixel_mm == (5, 1)


def test_truth_result_confidence_and_error_are_drawn():
    case = case_of()
    found = np.roll(case.truth(), 6, axis=2)
    picture = draw_stack_view(view_of(case, found, confidence=1.0))
    assert count(picture, TRUTH_COLOUR) > 100
    assert count(picture, RESULT_COLOUR) > 100
    assert count(picture, SURE_COLOUR) > 1000
    assert count(picture, UNSURE_COLOUR) == 0
    assert count(picture, ERROR_COLOUR) > 1000


def test_a_perfect_result_has_no_error_bars():
    case = case_of()
    picture = draw_stack_view(view_of(case, case.truth(), confidence=0.0))
    assert count(picture, ERROR_COLOUR) == 0
    assert count(picture, UNSURE_COLOUR) > 1000


def test_missed_objects_have_full_bars():
    case = case_of()
    half = case.truth()
    half[:, :20] = False
    bars = [
        count(draw_stack_view(view_of(case, found)), ERROR_COLOUR)
        for found in (half, np.zeros_like(half))
    ]
    assert bars[1] == pytest.approx(2 * bars[0], rel=0.1)


def test_anisotropic_stacks_are_drawn_in_true_proportions():
    case = case_of(spacing=(4.0, 1.0, 2.0))
    across_z, across_y, across_x = (
        (draw_plane(p, 3).size, p.image.shape) for p in view_of(case, case.truth()).planes
    )
    for (size, (rows, columns)), (row, column) in zip(
        (across_z, across_y, across_x), [(1, 2), (4, 2), (4, 1)], strict=True
    ):
        assert size == (columns * column * 3, rows * row * 3)


def test_colours_run_from_unsure_to_sure():
    assert colour_of_confidence(-1) == UNSURE_COLOUR
    assert colour_of_confidence(2) == SURE_COLOUR
    reds = [colour_of_confidence(c)[0] for c in (0, 0.25, 0.5, 0.75, 1)]
    assert reds == sorted(reds, reverse=True)


def test_best_median_and_worst_are_shown():
    views = []
    for number, dataset in enumerate("abcde"):
        case = case_of(dataset=dataset)
        views.append(view_of(case, case.truth(), dice=number / 5))
    scores = (Score("a", "microscopy", False, "a/f.tif", 1, 9, "model", {"dice": 0.5}),)
    report = Report("propagate", "test", "m", 5, 0, scores, "dice", stack_views=tuple(views))
    one = draw_stack_view(views[0])
    picture = stack_picture(report)
    assert picture.width > 2 * one.width
    assert picture.height > 3 * one.height
    assert report.to_picture().height > picture.height + 50  # below the chart
    assert np.array_equal(np.asarray(picture), np.asarray(stack_picture(report)))
