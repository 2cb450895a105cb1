"""Confidence against true IoU, worked out by hand."""

import numpy as np
import pytest

from stacksam.evaluation.confidence import (
    LEAST_SLICES,
    SliceScore,
    confidence_table,
    least_certain_in_worst_quarter,
    slice_scores,
    spearman,
)
from stacksam.evaluation.report import Report, Score


def slices_of(confidence, overlaps, n_found=9):
    pairs = enumerate(zip(confidence, overlaps, strict=True))
    return tuple(SliceScore(i, c, o, 9, n_found) for i, (c, o) in pairs)


def score(dataset, slices, label=1, group="microscopy", method="model"):
    file = f"{dataset}/f.tif"
    return Score(dataset, group, False, file, label, 0, method, {"dice": 0.5}, slices=tuple(slices))


def test_slices_with_truth_or_result_are_scored():
    truth, found = np.zeros((2, 6, 4, 5), bool)
    truth[1:4, :2] = True
    found[2:5, :, :2] = True
    scores = slice_scores(truth, found, [0.9, 0.0, 0.5, 0.6, 0.25, 0.7])
    assert [s.index for s in scores] == [1, 2, 3, 4]
    assert [s.confidence for s in scores] == [0.0, 0.5, 0.6, 0.25]
    assert [s.iou for s in scores] == pytest.approx([0, 4 / 14, 4 / 14, 0])
    assert [(s.n_true, s.n_found) for s in scores] == [(10, 0), (10, 8), (10, 8), (0, 8)]


def test_nothing_true_and_nothing_found_is_no_slice():
    empty = np.zeros((3, 4, 5), bool)
    assert slice_scores(empty, empty, [1, 1, 1]) == ()


def test_spearman_is_about_ranks_and_shares_ties():
    assert spearman(slices_of([0.1, 0.2, 0.9], [0.3, 0.4, 0.5])) == 1
    assert spearman(slices_of([0.9, 0.2, 0.1], [0.3, 0.4, 0.5])) == -1
    # ranks (1.5, 1.5, 3, 4) and (1, 2, 3, 4)
    assert spearman(slices_of([0, 0, 0.5, 1], [0, 0.1, 0.2, 0.3])) == pytest.approx(0.948683)


def test_spearman_of_what_does_not_vary_is_undefined():
    assert spearman([]) is None
    assert spearman(slices_of([0.5], [0.5])) is None
    assert spearman(slices_of([0.5, 0.5], [0.2, 0.5])) is None


def test_the_least_certain_slice_is_looked_up_in_the_worst_quarter():
    overlaps = np.arange(12) / 12
    for place, expected in ((0, 1), (2, 1), (3, 0), (11, 0)):
        confidence = np.full(12, 0.9)
        confidence[place] = 0.1
        assert least_certain_in_worst_quarter(slices_of(confidence, overlaps)) == expected


def test_of_equally_uncertain_slices_the_share_counts():
    overlaps = np.arange(12) / 12
    confidence = np.full(12, 0.9)
    confidence[[0, 11]] = 0
    assert least_certain_in_worst_quarter(slices_of(confidence, overlaps)) == 0.5


def test_short_objects_have_no_worst_quarter():
    short = slices_of(np.arange(LEAST_SLICES - 1), np.arange(LEAST_SLICES - 1))
    assert least_certain_in_worst_quarter(short) is None
    beyond = tuple(SliceScore(20 + i, 0.5, 0.0, 0, 9) for i in range(5))  # found where nothing is
    assert least_certain_in_worst_quarter(short + beyond) is None


def test_correlation_is_pooled_in_a_data_set_and_averaged_over_data_sets():
    low, high = slices_of([0.1, 0.2], [0.1, 0.2]), slices_of([0.8, 0.9], [0.9, 0.8])
    scores = [score("a", low), score("a", high, label=2), score("b", high, group="radiology")]
    groups = {"all": lambda s: True, "radiology": lambda s: s.group == "radiology"}
    table = confidence_table(scores, {**groups, "none": lambda s: False})
    assert table["datasets"]["a"]["spearman"] == pytest.approx(0.8)
    assert table["datasets"]["a"]["n_slices"] == 4
    assert table["datasets"]["b"]["spearman"] == -1
    assert table["means"]["all"]["spearman"] == pytest.approx(-0.1)
    assert table["means"]["radiology"]["spearman"] == -1
    assert "none" not in table["means"]
    assert "least_certain_in_worst_quarter" not in table["means"]["all"]
    assert table["means"]["all"]["n_objects"] == 0


def test_objects_count_by_data_set_and_altogether():
    order = np.arange(12) / 12
    right, wrong = slices_of(order, order), slices_of(order[::-1], order)
    scores = [score("a", right), score("b", right), score("b", wrong, 2), score("b", wrong, 3)]
    mean = confidence_table(scores, {"all": lambda s: True})["means"]["all"]
    assert mean["least_certain_in_worst_quarter"] == pytest.approx((1 + 1 / 3) / 2)
    assert mean["least_certain_in_worst_quarter_of_all"] == 0.5
    assert mean["n_objects"] == 4


def test_missed_slices_do_not_count_among_those_found():
    order = np.arange(1, 13) / 12
    missed = tuple(SliceScore(12 + i, 0.0, 0.0, 9, 0) for i in range(4))
    scores = [score("a", slices_of(order[::-1], order) + missed)]
    entry = confidence_table(scores, {})["datasets"]["a"]
    assert entry["least_certain_in_worst_quarter"] == 1
    assert entry["least_certain_in_worst_quarter_of_found"] == 0
    assert entry["spearman"] > entry["spearman_of_found"] == -1


def test_a_report_lists_confidence_in_text_and_json():
    order = np.arange(12) / 12
    scores = (score("a", slices_of(order, order)), score("a", (), method="otsu"))
    report = Report("propagate", "test", "m", 5, 0, scores, "dice")
    rows = [line.split() for line in report.to_text().splitlines()]
    assert ["a", "1.000", "12", "1.000", "1", "1.000", "1.000"] in rows
    assert "of all objects: least certain in worst quarter 1.000" in report.to_text()
    content = report.to_dict()
    assert content["confidence"]["datasets"]["a"]["spearman"] == 1
    assert content["objects"][0]["slices"][1] == [1, 0.083333, 0.083333, 9, 9]
    assert content["objects"][1]["slices"] == []


def test_a_report_without_slices_says_nothing_of_confidence():
    report = Report("propagate", "test", "m", 5, 0, (score("a", ()),), "dice")
    assert report.to_dict()["confidence"] == {}
    assert "Spearman" not in report.to_text()
