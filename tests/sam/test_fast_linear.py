"""The oneDNN path of linear layers."""

import pytest
import torch
import torch.nn.functional as F

from stacksam.sam import fast_linear
from stacksam.sam.fast_linear import FastLinear


def plain(x, weight, bias, activation):
    y = F.linear(x, weight, bias)
    return F.gelu(y) if activation == "gelu" else y


@pytest.fixture
def layer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FastLinear(24, 40)


@pytest.fixture
def calls(monkeypatch):
    """Count the calls into oneDNN, which are answered by PyTorch's own linear."""
    seen = []

    def counted(x, weight, bias, activation):
        seen.append(x.shape)
        return plain(x, weight, bias, activation)

    monkeypatch.setattr(fast_linear, "has_onednn", lambda dtype: True)
    monkeypatch.setattr(fast_linear, "_onednn_linear", counted)
    return seen


def test_equal_to_the_plain_layer(layer):
    x = torch.randn(2, 5, 7, 24, generator=torch.Generator().manual_seed(0))
    plain = F.linear(x, layer.weight, layer.bias)
    with torch.inference_mode():
        assert torch.allclose(layer(x), plain, atol=1e-5)
        assert torch.allclose(layer(x.transpose(1, 2)), plain.transpose(1, 2), atol=1e-5)


def test_activation_is_the_exact_gelu(layer):
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))
    expected = F.gelu(F.linear(x, layer.weight, layer.bias))
    assert torch.equal(layer(x, "gelu"), expected)
    with torch.inference_mode():
        assert torch.allclose(layer(x, "gelu"), expected, atol=1e-5)


def test_bfloat16_is_float32_rounded(layer, calls):
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))
    expected = F.gelu(F.linear(x, layer.weight, layer.bias))
    with torch.inference_mode():
        half = layer.bfloat16()(x.bfloat16(), "gelu")
    assert calls == [(5, 24)]
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), expected, atol=2e-2)


def test_inference_takes_the_fast_path(layer, calls):
    with torch.inference_mode():
        layer(torch.zeros(3, 24))
    assert calls == [(3, 24)]


def test_training_takes_the_plain_path(layer, calls):
    layer(torch.zeros(3, 24)).sum().backward()
    assert calls == []
    assert layer.bias.grad is not None


def test_mixed_precision_takes_the_plain_path(layer, calls):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.zeros(3, 24)).dtype == torch.bfloat16
    with torch.inference_mode():
        assert layer.double()(torch.zeros(3, 24).double()).dtype == torch.float64
    assert calls == []


def fresh(monkeypatch, replacement):
    fast_linear.has_onednn.cache_clear()
    monkeypatch.setattr(fast_linear, "_onednn_linear", replacement)
    try:
        return fast_linear.has_onednn()
    finally:
        fast_linear.has_onednn.cache_clear()


def missing(x, weight, bias, activation):
    raise AttributeError("no such function")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs a build with oneDNN")
def test_a_missing_or_wrong_function_is_not_used(monkeypatch):
    assert fresh(monkeypatch, plain)
    assert not fresh(monkeypatch, missing)
    assert not fresh(monkeypatch, lambda x, weight, bias, activation: F.linear(x, weight, bias))
    assert not fresh(monkeypatch, lambda x, weight, bias, activation: F.gelu(F.linear(x, weight)))
