"""Curves of a training: what the log tells is what is drawn."""

import json

import numpy as np
import pytest

from stacksam.core.errors import ReadError
from stacksam.evaluation.training_curves import read_curves, training_picture


def write(folder, rows):
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ROWS = [
    {"step": 20, "loss": 3.0, "box": 0.2, "seconds_per_step": 1.0},
    {"step": 40, "loss": 2.0, "box": 0.4, "click_corrected": 0.3},
    {"step": 40, "val_box": 0.35},
]


def test_figures_by_name_in_order_of_steps(tmp_path):
    curves = read_curves(write(tmp_path, ROWS[::-1]))
    assert curves["loss"] == [(20, 3.0), (40, 2.0)]
    assert curves["click_corrected"] == [(40, 0.3)]


def test_steps_run_again_count_as_run_last(tmp_path):
    assert read_curves(write(tmp_path, [*ROWS, {"step": 20, "loss": 9.0}]))["loss"][0] == (20, 9.0)


def test_picture_follows_the_figures(tmp_path):
    first = training_picture(write(tmp_path, ROWS))
    other = training_picture(write(tmp_path, [*ROWS, {"step": 60, "loss": 8.0}]))
    without_val = training_picture(write(tmp_path, ROWS[:2]))
    assert first.width > without_val.width
    assert not np.array_equal(np.array(first), np.array(other))


def test_one_line_is_enough(tmp_path):
    assert training_picture(write(tmp_path, ROWS[:1])).height > 200


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"step": 3, "box": 1}', "[1]"])
def test_other_files_are_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=r"log\.jsonl"):
        training_picture(path)


def test_missing_log_is_named(tmp_path):
    with pytest.raises(ReadError, match=r"log\.jsonl is not the log"):
        read_curves(tmp_path / "log.jsonl")
