"""Bins, errors and scaling of predicted IoU, on numbers whose answer is known."""

import json

import numpy as np
import pytest

from stacksam.evaluation import evaluate
from stacksam.evaluation.calibration import (
    PREDICTED,
    Calibration,
    PlattScaling,
    calibration_of,
    equal_count_bins,
    expected_calibration_error,
)
from stacksam.evaluation.calibration_pictures import POINT_COLOUR
from stacksam.evaluation.report import Report, Score


def score(predicted, true, dataset="a"):
    figures = {"iou": true} if predicted is None else {"iou": true, PREDICTED: predicted}
    return Score(dataset, "microscopy", False, f"{dataset}/f.png", 1, 0, "model", figures)


def test_bins_hold_equally_many_in_order():
    predicted = np.random.default_rng(0).permutation(np.arange(23) / 23)
    bins = equal_count_bins(predicted, predicted)
    assert sorted(b.n for b in bins) == [2] * 7 + [3] * 3
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    assert expected_calibration_error(predicted, predicted) == 0


def test_fewer_predictions_than_bins_have_one_each():
    assert [b.n for b in equal_count_bins([0.5, 0.1, 0.9], [1, 1, 1])] == [1, 1, 1]


def test_the_error_is_weighted_by_count():
    # bins of 2 and 1: |0.2 - 0.5| and |0.9 - 0.6|
    assert expected_calibration_error([0.9, 0.1, 0.3], [0.6, 0.4, 0.6], 2) == pytest.approx(0.3)
    assert expected_calibration_error([0.9, 0.1, 0.3], [0.9, 0.4, 0.6], 2) == pytest.approx(0.2)


def test_errors_of_opposite_sign_in_one_bin_cancel():
    assert expected_calibration_error([0.5, 0.5], [0.2, 0.8], 1) == 0


@pytest.mark.parametrize(("predicted", "true"), [([], []), ([0.1], [0.1, 0.2])])
def test_as_many_of_both_are_needed(predicted, true):
    with pytest.raises(ValueError, match="give as many of both"):
        expected_calibration_error(predicted, true)
    with pytest.raises(ValueError, match="give as many of both"):
        PlattScaling.fit(predicted, true)


def test_scaling_finds_the_line_that_the_data_were_made_with():
    predicted = np.linspace(0.05, 0.95, 50)
    made = PlattScaling(0.5, -0.7, 0)
    found = PlattScaling.fit(predicted, made(predicted))
    assert (found.slope, found.offset) == pytest.approx((0.5, -0.7), abs=1e-3)
    assert found.n == 50
    assert expected_calibration_error(found(predicted), made(predicted)) < 1e-3


def test_scaling_is_finite_at_the_ends_and_where_nothing_varies():
    flat = PlattScaling.fit([1.0, 1.0, 1.0], [0.4, 0.5, 0.6])
    assert flat([1.0]) == pytest.approx([0.5], abs=0.01)
    wide = PlattScaling.fit([0.0, 1.0], [0.0, 1.0])
    assert np.isfinite(wide([0.0, 0.5, 1.0])).all()


def test_a_calibration_without_scaling_says_so():
    plain = Calibration(np.array([0.9, 0.8]), np.array([0.5, 0.4]))
    assert plain.to_dict().keys() == {"as_predicted", "n"}
    with pytest.raises(ValueError, match="fit one on other predictions"):
        plain.error(is_scaled=True)


def test_scores_without_a_prediction_do_not_count():
    found = calibration_of([score(0.5, 0.4), score(None, 0.9), score(0.7, 0.8, "b")])
    assert found.predicted.tolist() == [0.5, 0.7]
    assert found.true.tolist() == [0.4, 0.8]
    assert calibration_of([score(None, 0.9)]) is None


def test_a_report_lists_the_error_before_and_after():
    scores = tuple(score(0.9, 0.5 + i / 100) for i in range(20))
    scaling = PlattScaling.fit([0.9] * 20, [0.595] * 20)
    report = Report("box", "test", "m", 20, 0, scores, "iou", scaling=scaling)
    text = report.to_text()
    assert "expected calibration error 0.305, calibrated on val 0.0" in text
    assert "(20 predictions, 10 bins)" in text
    content = json.loads(json.dumps(report.to_dict()))["calibration"]
    assert content["as_predicted"]["expected_calibration_error"] == pytest.approx(0.305)
    assert len(content["calibrated"]["bins"]) == 10
    assert content["calibrated"]["n_fitted_to"] == 20


def test_the_plot_shows_a_point_for_each_bin():
    predicted = np.linspace(0.1, 0.9, 40)
    plain = Calibration(predicted, predicted**2)
    scaled = Calibration(predicted, predicted**2, PlattScaling.fit(predicted, predicted**2))
    narrow, wide = (np.asarray(c.to_picture("Boxes")) for c in (plain, scaled))
    assert wide.shape[1] > narrow.shape[1] + 200
    marked = [int((p == POINT_COLOUR).all(axis=-1).sum()) for p in (narrow, wide)]
    assert marked[0] > 10 * 40
    assert marked[1] > marked[0] + 10 * 40


def test_val_is_run_for_the_scaling(data, model, make_session):
    report = evaluate(data, model, "box", make_session=make_session, calibrate=True)
    assert report.split == "test"
    assert report.scaling.n == 2  # objects of the val side
    assert report.calibration.error(is_scaled=True) < 0.05
    plain = evaluate(data, model, "box", make_session=make_session)
    assert plain.scaling is None
    assert plain.calibration.error() == report.calibration.error()


def test_what_cannot_be_calibrated(data, model):
    with pytest.raises(ValueError, match="propagate has no predicted IoU"):
        evaluate(data, model, "propagate", calibrate=True)
    with pytest.raises(ValueError, match="there is no model"):
        evaluate(data, None, "box", baselines=True, calibrate=True)
    with pytest.raises(ValueError, match="evaluate another split"):
        evaluate(data, model, "box", "val", calibrate=True)
