"""The command line: help, what is handed on, errors in one sentence, exit codes."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import stacksam
from stacksam.cli import app
from stacksam.core.errors import ReadError, WriteError


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, [str(a) for a in args], catch_exceptions=False)


@pytest.fixture
def segmented(monkeypatch):
    """Calls of `segment_file`; set `.error` to let it raise."""
    calls = SimpleNamespace(seen=[], error=None)

    def segment_file(image, prompts, out, **options):
        options["progress"](1, 2)
        calls.seen.append((image, prompts, out, options))
        if calls.error is not None:
            raise calls.error

    stand_in = ModuleType("stacksam.session")
    stand_in.segment_file = segment_file
    monkeypatch.setitem(sys.modules, "stacksam.session", stand_in)
    return calls


SEGMENT = ("segment", "ct.nii.gz", "--prompts", "p.json", "--out", "labels.nii.gz")


@pytest.mark.parametrize(
    "command",
    [(), ("demo",), ("segment",), ("evaluate",), ("measure",), ("train",), ("models", "list")],
)
def test_help(run, command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_version(run):
    assert run("--version").stdout.strip() == f"stacksam {stacksam.__version__}"


@pytest.mark.parametrize(
    ("flag", "window"),
    [("ct-liver", "ct-liver"), ("-160,240", (-160.0, 240.0)), ("0.5, 2", (0.5, 2.0))],
)
def test_segment_hands_on_what_was_given(run, segmented, flag, window):
    result = run(*SEGMENT, "--window", flag, "--axis", 1, "--device", "cpu", "--model", "other")
    assert result.exit_code == 0
    ((image, prompts, out, options),) = segmented.seen
    assert (image, prompts, out) == ("ct.nii.gz", Path("p.json"), Path("labels.nii.gz"))
    del options["progress"]
    given = {"window": window, "axis": 1, "device": "cpu", "model": "other"}
    others = {"whole_slice": False, "overlap": "keep", "ask": None}
    assert options == {**given, **others, "z_range": None, "inside": None}
    assert "labels.nii.gz" in result.stdout


def test_limits_are_handed_on(run, segmented):
    assert run(*SEGMENT, "--slices", "3-7", "--inside-boxes").exit_code == 0
    options = segmented.seen[0][3]
    assert (options["z_range"], options["inside"]) == ((3, 8), "boxes")


@pytest.mark.parametrize("slices", ["7-3", "3", "a-b", "-2-4"])
def test_slices_that_are_no_range_are_said(run, segmented, slices):
    result = run(*SEGMENT, f"--slices={slices}")
    assert result.exit_code == 1
    assert "give two numbers, --slices=FIRST-LAST" in " ".join(result.stderr.split())
    assert segmented.seen == []


def test_without_flags_the_prompts_file_decides(run, segmented):
    run(*SEGMENT)
    options = segmented.seen[0][3]
    assert options["window"] is None
    assert options["axis"] is None


def test_measure_writes_a_table_and_says_what_was_counted(run, tmp_path):
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, 2:5, 2:6], labels[2, 6:, 6:] = 1, 2
    like = stacksam.Volume(labels, spacing_zyx=(2.0, 0.5, 0.5))
    stacksam.write_labels(tmp_path / "labels.nii.gz", labels, like=like)
    result = run("measure", tmp_path / "labels.nii.gz", "--out", tmp_path / "t.csv")
    assert result.exit_code == 0
    assert "objects: 2" in result.stdout
    assert "density_per_mm3: 0.0208333" in result.stdout
    assert "(2 objects)" in result.stdout
    rows = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert rows[0].startswith("label,name,voxels,volume_mm3,volume_ml,")
    result = run("measure", tmp_path / "gone.nii.gz", "--out", tmp_path / "u.csv")
    assert result.exit_code == 1
    assert "stacksam: gone.nii.gz does not exist" in result.stderr
    assert not (tmp_path / "u.csv").exists()


@pytest.mark.parametrize("overlap", ["keep", "overwrite", "ask"])
def test_overlap_is_handed_on(run, segmented, overlap):
    assert run(*SEGMENT, "--overlap", overlap).exit_code == 0
    assert segmented.seen[0][3]["overlap"] == overlap
    assert run(*SEGMENT, "--overlap", "maybe").exit_code == 2


def test_whole_slices_are_handed_on(run, segmented):
    run(*SEGMENT, "--whole-slice")
    assert segmented.seen[0][3]["whole_slice"] is True


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ReadError("ct.nii.gz is damaged"), "ct.nii.gz is damaged"),
        (WriteError("labels.nii.gz was not written: the disk is full"), "the disk is full"),
        (ValueError("the point lies outside\nthe volume"), "the point lies outside the volume"),
        (MemoryError(), "out of memory"),
    ],
)
def test_error_is_one_sentence_and_exit_code_1(run, segmented, error, sentence):
    segmented.error = error
    result = run(*SEGMENT)
    assert result.exit_code == 1
    assert result.stderr.startswith("stacksam: ")
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout


def test_system_errors_do_not_tell_where_files_lie(run, segmented):
    segmented.error = PermissionError(13, "Permission denied", "/home/dr.no/patient/ct.nii.gz")
    result = run(*SEGMENT)
    assert "ct.nii.gz: Permission denied" in result.stderr
    assert "dr.no" not in result.stderr


def test_debug_shows_the_traceback(run, segmented):
    segmented.error = ValueError("wrong")
    assert "Traceback" in run("--debug", *SEGMENT).stderr
    assert "Traceback" not in run(*SEGMENT).stderr


def test_slips_of_ours_are_not_hidden(run, segmented):
    segmented.error = KeyError("a slip")
    with pytest.raises(KeyError):
        run(*SEGMENT)


def test_ctrl_c_says_what_is_kept(run, segmented):
    segmented.error = KeyboardInterrupt()
    result = run(*SEGMENT)
    assert result.exit_code == 130
    assert result.stderr.strip() == "Stopped. labels.nii.gz was not written."


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("segment", "ct.nii.gz"), "--prompts"),
        ((*SEGMENT, "--axis", "3"), "--axis"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, args, complaint):
    result = run(*args)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_window_that_is_no_pair(run, segmented):
    result = run(*SEGMENT, "--window", "1,2,3")
    assert result.exit_code == 1
    assert "give a name or two numbers" in result.stderr


def test_a_missing_image_is_named(run, tmp_path):
    prompts = tmp_path / "p.json"
    prompts.write_text('{"version": 1, "objects": []}', encoding="utf-8")
    out = tmp_path / "out.nii.gz"
    result = run("segment", tmp_path / "Leber ü.nii.gz", "--prompts", prompts, "--out", out)
    assert result.exit_code == 1
    assert "Leber ü.nii.gz does not exist" in result.stderr
    assert str(tmp_path) not in result.stderr
    assert not out.exists()


def test_train_names_the_missing_config(run, tmp_path):
    result = run("train", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert "none.toml" in result.stderr


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Limits of the calls of `train`."""
    seen = []

    def train(config, progress, **limits):
        seen.append(limits)
        (tmp_path / "log.jsonl").write_text('{"step": 20, "loss": 1.5, "box": 0.4}\n', "utf-8")
        return tmp_path / "compact.safetensors"

    monkeypatch.setattr("stacksam.training.loop.train", train)
    return seen


def test_train_draws_its_curves(run, trained, tmp_path):
    result = run("train", tmp_path / "any.toml")
    assert result.exit_code == 0
    assert "curves.png" in result.stdout
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert trained == [{"steps": None, "minutes": None}]


def test_train_can_be_limited(run, trained, tmp_path):
    run("train", tmp_path / "any.toml", "--steps", 40, "--minutes", 1.5)
    assert trained == [{"steps": 40, "minutes": 1.5}]


def test_train_needs_nothing_that_draws(run, trained, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "stacksam.evaluation.training_curves", None)
    result = run("train", tmp_path / "any.toml")
    assert result.exit_code == 0
    assert "curves.png is left out" in result.stdout
    assert "Wrote" in result.stdout


def test_models_list_has_the_built_in_one(run):
    result = run("models", "list")
    assert result.exit_code == 0
    assert any(line.split()[0] == "compact" for line in result.stdout.splitlines())


def test_evaluate_prints_and_writes_the_report(run, monkeypatch, tmp_path):
    import stacksam.evaluation

    seen = []

    def evaluate(*args, **options):
        seen.append((*args[:-1], options))
        args[-1](1, 1)
        return SimpleNamespace(to_text=lambda: "box 0.8", to_dict=lambda: {"box": 0.8})

    monkeypatch.setattr(stacksam.evaluation, "evaluate", evaluate)
    monkeypatch.setattr(
        stacksam, "load_model", lambda name, **options: f"{name} {sorted(options.items())}"
    )
    file = tmp_path / "r.json"
    result = run(
        "evaluate", "data", "--protocol", "box", "--limit", 3, "--baselines", "--json", file
    )
    assert result.stdout.strip() == "box 0.8"
    assert json.loads(file.read_text(encoding="utf-8")) == {"box": 0.8}
    model = "compact [('device', 'auto'), ('whole_slice', False)]"
    options = {"every": 1, "kept_at": None, "calibrate": False}
    assert seen == [(Path("data"), model, "box", "test", 3, 0, True, options)]


def test_demo_gui_without_napari_names_the_extra(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("demo", "--gui")
    assert result.exit_code == 1
    assert 'pip install "napari-stacksam[gui]"' in result.stderr


def test_demo_writes_labels_and_a_picture(run, segmented, monkeypatch, tmp_path):
    """With the truth for labels the Dice is 1; the model itself is measured elsewhere."""
    segment_file, asked = sys.modules["stacksam.session"].segment_file, []

    def truth(image, prompts, out, **options):
        segment_file(image, prompts, out, **options)
        suffix = "".join(image.suffixes)
        name = image.name.removesuffix(suffix)
        asked.append(prompts.name)
        labels = stacksam.read(image.with_name(f"{name}_truth{suffix}"))
        stacksam.write_labels(out, labels.data, like=stacksam.read(image))

    monkeypatch.setattr(sys.modules["stacksam.session"], "segment_file", truth)
    out = tmp_path / "Ergebnis für heute"
    result = run("demo", "--out", out)
    assert result.exit_code == 0
    assert "abdomen_ct: 6 prompts, mean Dice 1.000" in result.stdout
    assert len(asked) == len(set(asked)) == 3
    assert "1.000  liver" in result.stdout
    assert {f.name for f in out.iterdir()} == {
        "abdomen_ct_labels.nii.gz",
        "abdomen_ct_corrected_labels.nii.gz",
        "nuclei_labels.tif",
        "demo.png",
    }
    from PIL import Image

    with Image.open(out / "demo.png") as picture:
        assert np.asarray(picture).std() > 20
    image = stacksam.read(Path(stacksam.__file__).parent / "sample_data" / "abdomen_ct.nii.gz")
    labels = stacksam.read(out / "abdomen_ct_labels.nii.gz")
    assert labels.shape == image.shape
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-4)


def test_demo_into_a_file_says_so(run, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    result = run("demo", "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert "cannot make the folder taken" in result.stderr
