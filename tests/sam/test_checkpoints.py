"""Checkpoints: what is written comes back, and nothing else is taken for one."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from models import TINY, tiny_network
from stacksam.core.errors import CheckpointError, WriteError
from stacksam.sam import checkpoints
from stacksam.sam.checkpoints import FORMAT, load_compact, save_compact
from stacksam.sam.checksums import sha256_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "Gewichte für Übung.safetensors"


def metadata(**changes):
    return {"stacksam": json.dumps({"format": FORMAT, "model": TINY.to_dict(), **changes})}


def test_weights_come_back_in_half_precision(path):
    network = tiny_network()
    save_compact(path, network, TINY, {"steps": 7})
    loaded, description = load_compact(path)
    assert description["training"] == {"steps": 7}
    assert not loaded.training
    assert loaded.state_dict().keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float())


def test_saving_what_was_loaded_changes_nothing(path, tmp_path):
    save_compact(path, tiny_network(), TINY, {})
    loaded, _ = load_compact(path)
    save_compact(tmp_path / "again.safetensors", loaded, TINY, {})
    assert sha256_of(tmp_path / "again.safetensors") == sha256_of(path)


def test_missing_file_is_named(path):
    with pytest.raises(CheckpointError, match=r"Übung\.safetensors is missing"):
        load_compact(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not weights at all"])
def test_damaged_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_compact(path)


def test_truncated_file_is_refused(path):
    save_compact(path, tiny_network(), TINY, {})
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_compact(path)


def test_other_models_are_refused(path):
    tensors = {"weight": torch.zeros(3)}
    state = tiny_network().state_dict()
    cases = [
        (tensors, None),
        (tensors, metadata()),
        (state, metadata(format="stacksam-compact-99")),
        (state, metadata(model={"input_size": 64, "colour": "blue"})),
        (state, {"stacksam": "no JSON"}),
        (state, {"stacksam": "[]"}),
    ]
    for values, text in cases:
        save_file({k: v.contiguous() for k, v in values.items()}, path, metadata=text)
        with pytest.raises(CheckpointError, match="does not hold a compact model"):
            load_compact(path)


@pytest.mark.parametrize(
    "change",
    [
        {"embed_dim": 10**7},
        {"widths": [8, 8, 8, 8, 10**8]},
        {"depths": [1, 1, 1, 10**9]},
        {"decoder_depth": 10**9},
        {"input_size": 10**6},
        {"mlp_dim": -1},
        {"num_heads": 0.5},
    ],
    ids=str,
)
def test_a_network_larger_than_its_weights_is_not_built(path, change):
    text = metadata(model=TINY.to_dict() | change)
    save_file({k: v.contiguous() for k, v in tiny_network().state_dict().items()}, path, text)
    with pytest.raises(CheckpointError, match="does not hold a compact model"):
        load_compact(path)


def test_numbers_have_to_be_finite(path):
    network = tiny_network()
    with torch.no_grad():
        network.mask_decoder.iou_token.weight[0, 0] = float("nan")
    save_compact(path, network, TINY, {})
    with pytest.raises(CheckpointError, match="not finite"):
        load_compact(path)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), SafetensorError("IoError")])
def test_failed_writing_leaves_the_old_file(path, monkeypatch, error):
    save_compact(path, tiny_network(), TINY, {})
    before = path.read_bytes()

    def fail(tensors, file, metadata):
        np.zeros(10).tofile(file)
        raise error

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(WriteError, match=r"Übung\.safetensors was not written"):
        save_compact(path, tiny_network(1), TINY, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_folder_has_to_exist(tmp_path):
    with pytest.raises(WriteError, match="folder does not exist"):
        save_compact(tmp_path / "none" / "x.safetensors", tiny_network(), TINY, {})


def test_sha256_is_that_of_the_bytes(path):
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()
