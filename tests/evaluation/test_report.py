"""Means of means, worked out by hand; intervals; text and JSON that do not vary."""

import json
from dataclasses import replace

import pytest

from stacksam.evaluation.report import Report, Score


def score(dataset, value, method="model", group="microscopy", unseen=False, label=1):
    return Score(dataset, group, unseen, f"{dataset}/f.png", label, 0, method, {"iou": value})


@pytest.fixture
def report():
    scores = (
        score("many", 0.2),
        score("many", 0.4),
        score("many", 0.6),
        score("few", 1.0, group="radiology", unseen=True),
        score("many", 0.1, "otsu"),
    )
    return Report("click", "test", "compact", 20, 0, scores, "iou", seconds=3.0)


def test_a_large_data_set_weighs_no_more_than_a_small_one(report):
    mean = report.mean("model")
    assert mean.value == pytest.approx((0.4 + 1.0) / 2)
    assert (mean.n_datasets, mean.n) == (2, 4)


def test_groups_are_apart(report):
    assert report.mean("model", group="radiology").value == 1.0
    assert report.mean("model", group="microscopy").value == pytest.approx(0.4)
    assert report.mean("model", group="unseen").n_datasets == 1
    assert report.mean("model", group="seen").value == pytest.approx(0.4)
    assert report.mean("model", group="microscopy unseen") is None


def test_the_model_comes_first(report):
    assert report.methods == ["model", "otsu"]
    assert report.dataset_means("otsu") == {"many": (0.1, 1)}


def test_the_interval_holds_the_mean_and_is_seeded(report):
    mean = report.mean("model")
    assert mean.low < mean.value < mean.high
    assert mean.low >= 0.6
    assert mean.high <= 0.8
    assert report.mean("model") == mean
    other = replace(report, seed=1).mean("model")
    assert other.value == mean.value


def test_the_interval_of_equal_values_is_a_point():
    same = Report("click", "test", "m", 2, 0, (score("a", 0.5), score("a", 0.5)), "iou")
    mean = same.mean("model")
    assert (mean.low, mean.high) == (0.5, 0.5)


def test_json_holds_no_times_and_does_not_vary(report):
    first = json.dumps(report.to_dict())
    assert json.dumps(replace(report, seconds=99.0).to_dict()) == first
    content = json.loads(first)
    table = content["methods"]["model"]["iou"]
    assert table["datasets"]["many"] == {"mean": 0.4, "n": 3}
    assert table["means"]["all"]["n_datasets"] == 2
    assert "microscopy unseen" not in table["means"]
    assert len(content["objects"]) == 5


def test_text_lists_data_sets_with_n(report):
    text = report.to_text()
    rows = [line.split() for line in text.splitlines()]
    assert ["many", "microscopy", "no", "3", "0.400", "0.100"] in rows
    assert ["few", "radiology", "yes", "1", "1.000", "-"] in rows
    assert "model, radiology unseen" in text
    assert "compact" in text
