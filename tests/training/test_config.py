"""The training's one file of settings."""

import json
from pathlib import Path

import pytest

from models import TINY
from stacksam.sam.model import CompactConfig
from stacksam.training.config import load_config

TEXT = """
[data]
folder = "daten ü"
pack = "runs/pack.npz"
[train]
run_folder = "../elsewhere"
learning_rate = 1
steps = 40
[model]
input_size = 64
widths = [8, 8, 16, 16, 16]
"""


def write(folder, text):
    path = folder / "training ä.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_start_at_the_file_and_the_rest_has_defaults(tmp_path):
    config = load_config(write(tmp_path, TEXT))
    assert config.data.folder == tmp_path.resolve() / "daten ü"
    assert config.data.pack == tmp_path.resolve() / "runs" / "pack.npz"
    assert config.train.run_folder == tmp_path.resolve().parent / "elsewhere"
    assert (config.train.steps, config.train.learning_rate, config.train.seed) == (40, 1, 0)
    assert config.model == CompactConfig(input_size=64, widths=(8, 8, 16, 16, 16))


def test_shipped_configuration_is_valid():
    path = Path(__file__).resolve().parents[2] / "configs" / "compact.toml"
    config = load_config(path)
    assert config.model == CompactConfig()
    assert config.data.folder.name == "data"


def test_the_configuration_for_a_gpu_differs_in_where_it_trains_only():
    folder = Path(__file__).resolve().parents[2] / "configs"
    plain, gpu = (load_config(folder / f"{name}.toml").to_dict() for name in ("compact", "gpu"))
    differing = {
        key
        for table in ("data", "train", "model")
        for key in gpu[table]
        if gpu[table][key] != plain[table][key]
    }
    assert differing == {"pack", "pack_mib", "run_folder", "device", "workers"}
    assert gpu["data"]["pack_mib"] == 40
    assert gpu["train"]["device"] == "cuda"


def test_description_is_json_without_folders(tmp_path):
    text = json.dumps(load_config(write(tmp_path, TEXT)).to_dict())
    assert "daten" in json.loads(text)["data"]["folder"]
    assert tmp_path.name not in text


def test_model_configuration_round_trip():
    assert CompactConfig.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[data]", "[data", "not valid TOML"),
        ("[train]", "[training]", "does not describe a training: 'train'"),
        ('pack = "runs/pack.npz"', "", "'pack'"),
        ("steps = 40", "stepz = 40", "stepz"),
        ("steps = 40", 'steps = "many"', "steps is 'many'; expected int"),
        ("steps = 40", "steps = 4.5", "steps is 4.5; expected int"),
        ("steps = 40", "steps = true", "steps is True; expected int"),
        ("[train]", 'leave_out = "x"\n[train]', "leave_out is 'x'; expected tuple"),
        ("[train]", "leave_out = [3]\n[train]", "leave_out is "),
        ("learning_rate = 1", 'learning_rate = "fast"', "learning_rate is 'fast'; expected float"),
        ('folder = "daten ü"', "folder = 3", "does not describe a training"),
        ("input_size = 64", "colour = 3", "colour"),
        ("input_size = 64", 'input_size = "64"', "input_size is '64'; expected int"),
        ("widths = [8, 8, 16, 16, 16]", "widths = 8", "widths is 8; expected"),
        ("widths = [8, 8, 16, 16, 16]", 'widths = ["a"]', "widths is"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    assert old in TEXT
    path = write(tmp_path, TEXT.replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        load_config(path)
    assert "training ä.toml" in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.toml")
