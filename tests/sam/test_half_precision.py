"""Which encoders are computed in bfloat16 on a CPU, and how well."""

import numpy as np
import pytest
import torch

from models import tiny_network
from stacksam.core.errors import StackSAMError
from stacksam.sam import half_precision
from stacksam.sam.half_precision import has_fast_bfloat16, wants_bfloat16
from stacksam.sam.official import build_sam
from stacksam.sam.onnx_export import export_onnx
from stacksam.sam.predictor import FieldPrompts, Predictor


@pytest.fixture
def seconds(monkeypatch):
    """Set how long the probe takes in float32 and in bfloat16."""

    def set_seconds(single, half):
        taken = {torch.float32: single, torch.bfloat16: half}
        monkeypatch.setattr(half_precision, "_seconds", lambda x, weight: taken[x.dtype])
        has_fast_bfloat16.cache_clear()

    yield set_seconds
    has_fast_bfloat16.cache_clear()


@pytest.fixture
def network(tiny_config):
    torch.manual_seed(0)
    return build_sam(tiny_config)


@pytest.mark.parametrize(
    ("single", "half", "expected"), [(2, 1, True), (1, 1, False), (1, 9, False)]
)
def test_the_probe_asks_for_a_clear_gain(seconds, single, half, expected):
    seconds(single, half)
    assert has_fast_bfloat16() is expected


def test_the_probe_runs_once(seconds, monkeypatch):
    seconds(2, 1)
    assert has_fast_bfloat16()
    monkeypatch.setattr(half_precision, "_seconds", None)
    assert has_fast_bfloat16()


def test_the_probe_takes_little_time():
    x, weight = torch.zeros(256, 768), torch.zeros(768, 768)
    assert 0 < half_precision._seconds(x, weight) < 1


def test_only_large_transformers_want_it(seconds, monkeypatch, network):
    seconds(2, 1)
    assert not wants_bfloat16(network.image_encoder)
    monkeypatch.setattr(half_precision, "LEAST_WEIGHTS", 1000)
    assert wants_bfloat16(network.image_encoder)
    assert not wants_bfloat16(tiny_network().image_encoder)
    seconds(1, 1)
    assert not wants_bfloat16(network.image_encoder)


@pytest.mark.parametrize(("half", "expected"), [(1, torch.bfloat16), (3, torch.float32)])
def test_auto_follows_the_probe(seconds, monkeypatch, network, half, expected):
    monkeypatch.setattr(half_precision, "LEAST_WEIGHTS", 1000)
    seconds(2, half)
    model = Predictor(network, name="a", fingerprint="a", device="cpu")
    assert model.dtype == expected
    assert network.image_encoder.pos_embed.dtype == expected
    assert model.has_half_weights == (expected == torch.bfloat16)


def test_float32_stays_what_was_asked_for(seconds, monkeypatch, network):
    monkeypatch.setattr(half_precision, "LEAST_WEIGHTS", 1000)
    seconds(2, 1)
    model = Predictor(network, name="a", fingerprint="a", device="cpu", dtype="float32")
    assert model.dtype == network.image_encoder.pos_embed.dtype == torch.float32


def test_bfloat16_shows_the_same(tiny_config, network):
    crop = np.random.default_rng(0).random((128, 128), np.float32)
    prompts = FieldPrompts(points_yx=((30.0, 40.0),), is_positive=(True,))
    found = {}
    for dtype in ("float32", "bfloat16"):
        copied = build_sam(tiny_config)
        copied.load_state_dict(network.state_dict())
        model = Predictor(copied, name="a", fingerprint="a", device="cpu", dtype=dtype)
        embedding = model.encode(crop)
        found[dtype] = embedding.image_embedding.float(), model.decode(embedding, prompts).logits
    exact, half = found["float32"][0], found["bfloat16"][0]
    assert 0 < (half - exact).norm() / exact.norm() < 2e-2
    exact, half = (torch.from_numpy(found[dtype][1]) for dtype in ("float32", "bfloat16"))
    assert (half - exact).norm() / exact.norm() < 2e-2


def test_rounded_weights_are_not_exported(network, tmp_path):
    pytest.importorskip("onnx")
    model = Predictor(network, name="a", fingerprint="a", device="cpu", dtype="bfloat16")
    with pytest.raises(StackSAMError, match="load it with dtype 'float32'"):
        export_onnx(model, tmp_path / "out")
