"""``stacksam evaluate`` from the command to its files, on small data, without a network."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import stacksam
from models import ThresholdPredictor
from stacksam.cli import app
from stacksam.evaluation.calibration_pictures import POINT_COLOUR
from stacksam.evaluation.report_pictures import RESULT_COLOUR, TRUTH_COLOUR


@pytest.fixture
def evaluate(data, monkeypatch):
    """Run the command on the data of the folder."""
    monkeypatch.setattr(stacksam, "load_model", lambda *_, **options: ThresholdPredictor())

    def run(*args):
        return CliRunner().invoke(app, ["evaluate", str(data), *map(str, args)])

    return run


def pixels_of(path, colour):
    with Image.open(path) as picture:
        return int((np.asarray(picture) == colour).all(axis=-1).sum())


@pytest.mark.parametrize(
    ("protocol", "figure"), [("iterative", "iou@click+4"), ("propagate", "dice")]
)
def test_a_picture_of_curves_and_objects_is_written(evaluate, tmp_path, protocol, figure):
    picture, table = tmp_path / "Bild ü.png", tmp_path / "t.json"
    result = evaluate(
        "--protocol", protocol, "--baselines", "--limit", 2, "--picture", picture, "--json", table
    )
    assert result.exit_code == 0, result.output
    assert figure in result.stdout
    legend = 14 * 14
    assert pixels_of(picture, TRUTH_COLOUR) >= legend  # a right result hides the truth
    assert pixels_of(picture, RESULT_COLOUR) > legend + 100
    content = json.loads(table.read_text(encoding="utf-8"))
    assert content["main"] == figure
    assert len(content["methods"]) > 1
    assert {path.name for path in tmp_path.glob("*.*")} == {"Bild ü.png", "t.json"}


def test_confidence_and_the_rule_of_micro_sam_stand_beside_propagation(evaluate, tmp_path):
    table = tmp_path / "t.json"
    result = evaluate("--protocol", "propagate-k", "--json", table)
    assert result.exit_code == 0, result.output
    first = json.loads(table.read_text(encoding="utf-8"))
    assert set(first["methods"]) == {"interpolation", "micro_sam_rule", "model"}
    assert not [name for name in first["methods"]["micro_sam_rule"] if not name.endswith("@0")]
    assert first["confidence"] == {}
    result = evaluate("--protocol", "propagate", "--json", table)
    assert result.exit_code == 0, result.output
    second = json.loads(table.read_text(encoding="utf-8"))
    at_start = first["methods"]["micro_sam_rule"]["dice@0"]["means"]["all"]["mean"]
    # the predictor hands a mask on as it is, so the object's changes are missed
    assert at_start == second["methods"]["micro_sam_rule"]["dice"]["means"]["all"]["mean"] > 0.5
    (model,) = (o for o in second["objects"] if o["method"] == "model")
    assert second["confidence"]["datasets"]["nuclei"]["n_slices"] == len(model["slices"]) >= 8


def test_a_thinned_stack_by_options(evaluate, tmp_path):
    result = evaluate("--protocol", "propagate", "--every", 2, "--kept-at", 3)
    assert result.exit_code == 1
    assert "kept_at a multiple of every" in result.stderr
    result = evaluate("--protocol", "propagate", "--every", 2)
    assert result.exit_code == 1
    assert "no object in" in result.stderr  # eight slices are too few for six


def test_calibration_is_reported_and_drawn(evaluate, tmp_path):
    table, plot = tmp_path / "t.json", tmp_path / "Kurve ü.png"
    result = evaluate("--protocol", "box", "--json", table, "--calibration", plot)
    assert result.exit_code == 0, result.output
    assert "calibrated on val" in result.stdout
    assert pixels_of(plot, POINT_COLOUR) > 100
    content = json.loads(table.read_text(encoding="utf-8"))["calibration"]
    assert content["calibrated"]["n_fitted_to"] == 2
    assert content["n"] == sum(b["n"] for b in content["as_predicted"]["bins"])


def test_two_runs_give_the_same_files(evaluate, tmp_path):
    files = []
    for name in ("a", "b"):
        table, picture = tmp_path / f"{name}.json", tmp_path / f"{name}.png"
        evaluate("--protocol", "click", "--limit", 2, "--json", table, "--picture", picture)
        files.append((table.read_bytes(), picture.read_bytes()))
    assert files[0] == files[1]


def test_another_kind_of_picture_is_refused_before_anything_is_run(evaluate, tmp_path):
    result = evaluate("--protocol", "click", "--picture", tmp_path / "a.pdf")
    assert result.exit_code == 1
    assert "the picture is a.pdf; choose a name that ends in .png" in result.stderr
    assert not list(tmp_path.glob("*.p*"))
    result = evaluate("--protocol", "click", "--calibration", tmp_path / "b.jpg")
    assert result.exit_code == 1
    assert "the picture is b.jpg" in result.stderr
