"""Reading checkpoints of every layout, and refusing those that are wrong."""

import collections
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stacksam.core.errors import CheckpointError
from stacksam.sam.families import load_network
from stacksam.sam.layouts import to_official
from stacksam.sam.official import SAM_CONFIGS, build_sam
from stacksam.sam.state_dicts import config_of


@pytest.fixture
def state(tiny_sam):
    return dict(tiny_sam.state_dict())


def assert_loads(path, state, config):
    model, _ = load_network(path)
    assert config_of(model.state_dict()) == config
    assert not model.training
    assert model.state_dict().keys() == state.keys()
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name]), name


def test_official_file(tmp_path, state, tiny_config):
    path = tmp_path / "sam größe 1.pth"
    torch.save(collections.OrderedDict(state), path)
    assert_loads(path, state, tiny_config)


def test_file_of_old_pytorch(tmp_path, state, tiny_config):
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert_loads(path, state, tiny_config)


@pytest.mark.parametrize("wrapper", ["model", "model_state_dict", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "sam.", "module.sam."])
def test_training_checkpoints(tmp_path, state, tiny_config, wrapper, prefix):
    weights = {prefix + name: value for name, value in state.items()}
    torch.save({wrapper: weights, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "a.pt")
    assert_loads(tmp_path / "a.pt", state, tiny_config)


def test_stored_pixel_statistics_are_no_weights(tmp_path, state, tiny_config):
    extra = {"pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)}
    torch.save(state | extra, tmp_path / "a.pth")
    assert_loads(tmp_path / "a.pth", state, tiny_config)


def test_safetensors(tmp_path, state, tiny_config):
    save_file(state, tmp_path / "a.safetensors")
    assert_loads(tmp_path / "a.safetensors", state, tiny_config)


def test_half_precision_is_read_as_float32(tmp_path, state):
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "a.pth")
    model, _ = load_network(tmp_path / "a.pth")
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("form", ["folder", "safetensors", "bin"])
def test_hugging_face_layout(tmp_path, state, tiny_config, reference_sam, form):
    if form == "bin":
        torch.save(reference_sam.state_dict(), tmp_path / "pytorch_model.bin")
    else:
        reference_sam.save_pretrained(tmp_path)
    path = {"safetensors": tmp_path / "model.safetensors"}.get(form, tmp_path)
    assert_loads(path, state, tiny_config)


def test_a_loaded_model_can_be_trained(tmp_path, state):
    torch.save(state, tmp_path / "a.pth")
    model, _ = load_network(tmp_path / "a.pth")
    model.encode(torch.rand(1, 1, 128, 128)).image_embedding.sum().backward()
    assert model.image_encoder.pos_embed.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_three_sizes_are_recognised(name):
    with torch.device("meta"):
        state = build_sam(SAM_CONFIGS[name]).state_dict()
    assert config_of(state) == SAM_CONFIGS[name]
    wrapped = {f"module.{key}": value for key, value in state.items()}
    assert config_of(to_official(wrapped)).name == name


def refused(path, *parts):
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path.parent) not in message
    for part in (path.name, *parts):
        assert part in message


def test_missing_file_and_empty_folder(tmp_path):
    refused(tmp_path / "a.pth", "is missing; choose another file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds none of model.safetensors")


def test_file_without_permission(tmp_path, state, monkeypatch):
    torch.save(state, tmp_path / "a.pth")

    def forbidden(*arguments, **options):
        raise PermissionError("no")

    monkeypatch.setattr(torch, "load", forbidden)
    refused(tmp_path / "a.pth", "may not be read; change its permissions")


def test_missing_weights(tmp_path, state):
    del state["mask_decoder.iou_token.weight"], state["mask_decoder.mask_tokens.weight"]
    torch.save(state, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "lacks mask_decoder.iou_token.weight and 1 more")


def test_unexpected_weights(tmp_path, state):
    torch.save(state | {"mask_decoder.more": torch.zeros(1)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "holds mask_decoder.more, which its network does not have")


def test_wrong_shape(tmp_path, state):
    state["mask_decoder.mask_tokens.weight"] = torch.zeros(3, 32)
    torch.save(state, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "mask_tokens.weight of shape (3, 32) where its network has (4, 32)")


@pytest.mark.parametrize("bad", [torch.full((4, 32), torch.nan), torch.zeros(4, 32, dtype=int)])
def test_values_that_are_no_weights(tmp_path, state, bad):
    state["mask_decoder.mask_tokens.weight"] = bad
    torch.save(state, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "mask_tokens.weight that are not finite numbers")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("image_encoder.trunk.pos_embed", "SAM 2"),
        ("mask_decoder.hf_token.weight", "SAM-HQ"),
    ],
)
def test_relatives_are_named(tmp_path, name, model):
    torch.save({name: torch.zeros(2)}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", f"holds {model}")


@pytest.mark.parametrize(
    "content",
    [{"layer.weight": torch.zeros(2)}, {"image_encoder.pos_embed": torch.zeros(2)}],
)
def test_other_networks(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "does not hold a SAM")


@pytest.mark.parametrize("content", [{}, [torch.zeros(2)], torch.zeros(2), {"epoch": 3}, 5])
def test_files_without_named_weights(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "does not hold named weights")


class Attack:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_inside_is_not_run(tmp_path, state, is_zip):
    trap = tmp_path / "trap"
    content = state | {"extra": Attack(trap)}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    refused(tmp_path / "a.pth", "could run code, and was not opened")
    assert not trap.exists()


def test_a_bare_pickle_is_not_run(tmp_path):
    trap = tmp_path / "trap"
    for protocol in (2, 4):
        (tmp_path / "a.pth").write_bytes(pickle.dumps({"a": Attack(trap)}, protocol))
        refused(tmp_path / "a.pth")
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_truncated_files(tmp_path, state, kind):
    whole = tmp_path / "whole"
    if kind == "safetensors":
        save_file(state, whole)
    else:
        torch.save(state, whole, _use_new_zipfile_serialization=kind == "zip")
    data = whole.read_bytes()
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    for length in (0, 1, 7, 100, 5000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        refused(path, "is damaged or not a checkpoint; get it again")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_something_else_under_the_name_of_a_checkpoint(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for content in (b"<!DOCTYPE html><html>Not found</html>", b"\x89PNG\r\n", bytes(4000)):
        path.write_bytes(content)
        refused(path, "is damaged or not a checkpoint")


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_flipped_bits_load_or_are_refused(tmp_path, state, kind):
    whole = tmp_path / "whole"
    if kind == "safetensors":
        save_file(state, whole)
    else:
        torch.save(state, whole, _use_new_zipfile_serialization=kind == "zip")
    data = np.frombuffer(whole.read_bytes(), np.uint8)
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(30):
        damaged = data.copy()
        at = rng.integers(0, min(4000, len(data)), 3)  # where names and structure are
        damaged[at] ^= rng.integers(1, 256, 3, dtype=np.uint8)
        path.write_bytes(damaged.tobytes())
        try:
            load_network(path)
            outcomes.add("loaded")
        except CheckpointError:
            outcomes.add("refused")
    assert "refused" in outcomes
