"""Means of means, worked out by hand; intervals; text and JSON that do not vary."""

import json
from dataclasses import replace

import pytest

from stacksam.evaluation.report import Report, Score


def score(dataset, value, method="model", group="microscopy", unseen=False, label=1, **facts):
    figures = value if isinstance(value, dict) else {"iou": value}
    file = f"{dataset}/f.png"
    return Score(dataset, group, unseen, file, label, 0, method, figures, **facts)


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


def test_modalities_and_sizes_are_apart():
    scores = (
        score("a", 0.2, modality="CT", area=10),
        score("a", 0.4, modality="MR", area=2000),
        score("b", 1.0, modality="CT", area=50_000),
    )
    report = Report("click", "test", "m", 2, 0, scores, "iou")
    assert report.mean("model", group="modality CT").value == pytest.approx(0.6)
    assert report.mean("model", group="modality MR").n == 1
    sizes = [report.mean("model", group=f"size {s}").value for s in ("small", "medium", "large")]
    assert sizes == pytest.approx([0.2, 0.4, 1.0])
    rows = [line.split() for line in report.to_text().splitlines()]
    assert ["modality", "CT", "model", "0.600", "0.600", "-", "0.600", "2", "2"] in rows


def test_figures_that_some_objects_lack_are_means_of_the_others():
    scores = (score("a", {"iou": 0.5, "boundary_mm": 3.0}), score("a", 0.7), score("b", 0.1))
    mean = Report("click", "test", "m", 2, 0, scores, "iou").mean("model", "boundary_mm")
    assert (mean.value, mean.n_datasets, mean.n) == (3.0, 1, 1)


def test_a_curve_has_its_steps_in_order():
    scores = (score("a", {"iou@10": 0.9, "iou@2": 0.5, "iou@click+4": 1.0, "noc@80": 2.0}),)
    curve = Report("iterative", "test", "m", 2, 0, scores, "iou@click+4").curve("model", "iou")
    assert [(k, m.value) for k, m in curve.items()] == [(2, 0.5), (10, 0.9)]
    assert Report("box", "test", "m", 2, 0, scores, "iou").curve("model", "dice") == {}


def test_the_subject_comes_first():
    scores = tuple(score("a", 0.5, m) for m in ("model", "otsu", "interpolation"))
    report = Report("i", "test", "m", 2, 0, scores, "iou", subject="interpolation")
    assert report.methods == ["interpolation", "model", "otsu"]


def test_intervals_by_data_set_hold_their_means(report):
    low, high = report.dataset_intervals("model")["many"]
    assert 0.2 <= low < 0.4 < high <= 0.6
    assert report.dataset_intervals("model")["few"] == (1.0, 1.0)


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
    assert first == json.dumps(content, sort_keys=True)


def test_text_lists_data_sets_with_n(report):
    text = report.to_text()
    rows = [line.split() for line in text.splitlines()]
    assert ["many", "microscopy", "unknown", "no", "3", "0.400", "0.100"] in rows
    assert ["few", "radiology", "unknown", "yes", "1", "1.000", "-"] in rows
    assert ["radiology", "unseen", "model", "1.000", "1.000", "-", "1.000", "1", "1"] in rows
    assert "compact" in text
