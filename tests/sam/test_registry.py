"""Models by name or path."""

import numpy as np
import pytest
import torch

import stacksam
from models import TINY, tiny_network
from stacksam.core.errors import CheckpointError
from stacksam.sam import registry
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.registry import MODELS, ModelEntry, list_models, load_model


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mein Möbel.safetensors"
    save_compact(path, tiny_network(), TINY, {})
    return path


def test_built_in_model_comes_first():
    entries = list_models()
    assert entries[0].name == "compact"
    assert all(entry.summary and entry.licence for entry in entries)


def test_built_in_model_is_small_and_works():
    if not MODELS["compact"].is_here:
        pytest.skip("the built-in model's weights are not in this checkout yet")
    assert MODELS["compact"].path.stat().st_size <= 16 * 2**20
    model = stacksam.load_model("compact", device="cpu")
    image = np.zeros((256, 256), np.float32)
    image[80:170, 90:190] = 1
    prompts = FieldPrompts(box_yxyx=(80, 90, 170, 190))
    mask = model.decode(model.encode(image), prompts).logits[0] > 0
    truth = image[::2, ::2] > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


@pytest.mark.parametrize("as_text", [True, False])
def test_path_loads(path, as_text):
    model = load_model(str(path) if as_text else path, device="cpu")
    assert model.name == "mein Möbel"
    assert model.input_size == 64
    assert model.dtype == torch.float32


def test_fingerprint_follows_the_weights(path, tmp_path):
    other = tmp_path / "other.safetensors"
    save_compact(other, tiny_network(1), TINY, {})
    same = tmp_path / "same.safetensors"
    same.write_bytes(path.read_bytes())
    prints = [load_model(p, device="cpu").fingerprint for p in (path, other, same)]
    assert prints[0] == prints[2] != prints[1]


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(CheckpointError, match="'compakt' is unknown; choose one of compact"):
        load_model("compakt")


def test_path_is_told_without_its_folders(tmp_path):
    with pytest.raises(CheckpointError, match="missing") as caught:
        load_model(tmp_path / "none.safetensors")
    assert tmp_path.name not in str(caught.value)


def test_missing_built_in_weights_say_what_to_do(tmp_path, monkeypatch):
    entry = ModelEntry("compact", "s", "l", tmp_path / "compact.safetensors")
    monkeypatch.setitem(registry.MODELS, "compact", entry)
    assert not entry.is_here
    with pytest.raises(CheckpointError, match="install the package again"):
        load_model("compact")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"device": "toaster"}, "device 'toaster' is unknown"), ({"dtype": "int3"}, "dtype 'int3'")],
)
def test_bad_options_are_refused(path, options, message):
    with pytest.raises(ValueError, match=message):
        load_model(path, **{"device": "cpu", **options})
