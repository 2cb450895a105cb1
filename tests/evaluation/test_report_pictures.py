"""The picture of a report: curves, a chart, and objects with both outlines."""

import numpy as np
import pytest

from stacksam.evaluation.report import Report, Score, View
from stacksam.evaluation.report_pictures import (
    PER_ROW,
    RESULT_COLOUR,
    TRUTH_COLOUR,
    colour_of_method,
    report_picture,
)


def view(value, dataset="cells", shift=6):
    truth = np.zeros((40, 50), bool)
    truth[10:30, 10:30] = True
    image = np.where(truth, 200, 50).astype(np.uint8)
    return View(
        f"{dataset}\niou {value}", dataset, (image,), (truth,), (np.roll(truth, shift),), value
    )


def report(figures, views=(), step="", methods=("model", "otsu"), main="iou"):
    scores = tuple(
        Score(name, group, unseen, f"{name}/f.png", 1, 0, method, figures)
        for name, group, unseen in (("cells", "microscopy", False), ("ct", "radiology", True))
        for method in methods
    )
    return Report("click", "test", "compact", 1, 0, scores, main, step=step, views=tuple(views))


def pixels_of(picture, colour):
    return int((np.asarray(picture) == colour).all(axis=-1).sum())


def test_outlines_of_truth_and_result_are_drawn():
    with_views = report_picture(report({"iou": 0.5}, [view(0.5)]))
    without = report_picture(report({"iou": 0.5}))
    for colour in (TRUTH_COLOUR, RESULT_COLOUR):
        assert pixels_of(with_views, colour) > 100
        assert pixels_of(without, colour) == 0
    assert with_views.height > without.height


def test_a_right_result_hides_the_truths_outline():
    legend = 14 * 14
    picture = report_picture(report({"iou": 1.0}, [view(1.0, shift=0)]))
    assert pixels_of(picture, TRUTH_COLOUR) == legend
    assert pixels_of(picture, RESULT_COLOUR) > legend


def test_curves_are_drawn_where_there_are_steps():
    figures = {"iou@1": 0.2, "iou@2": 0.6, "iou@click+4": 0.8}
    plain = report(figures, main="iou@click+4")
    stepped = report(figures, step="clicks", main="iou@click+4")
    assert report_picture(stepped).height > report_picture(plain).height + 200
    colour = colour_of_method(stepped, "model")
    assert pixels_of(report_picture(stepped), colour) > pixels_of(report_picture(plain), colour)


def test_methods_have_colours_of_their_own():
    shown = report({"iou": 0.5}, methods=("model", "otsu", "flood_fill"))
    assert len({colour_of_method(shown, m) for m in shown.methods}) == 3
    assert all(pixels_of(report_picture(shown), colour_of_method(shown, m)) for m in shown.methods)


def test_a_row_shows_different_data_sets_and_only_so_many():
    many = [view(n / 10, dataset=f"set {n}") for n in range(9)]
    same = [view(n / 10) for n in range(9)]
    wide, narrow = (report_picture(report({"iou": 0.5}, v)) for v in (many, same))
    one, four = pixels_of(narrow, TRUTH_COLOUR), pixels_of(wide, TRUTH_COLOUR)
    legend = 14 * 14
    assert four - legend == pytest.approx(PER_ROW * (one - legend), rel=0.01)


def test_equal_reports_give_equal_pictures():
    first, second = (report_picture(report({"iou": 0.5}, [view(0.5)])) for _ in range(2))
    assert np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize("shape", [(9, 400), (1, 1), (300, 20)])
def test_views_of_odd_shapes(shape):
    mask = np.ones(shape, bool)
    odd = View("odd", "cells", (np.zeros(shape, np.uint8),), (mask,), (~mask,), 0.0)
    assert report_picture(report({"iou": 0.0}, [odd])).height > 100
