"""Attention between few and many tokens, without projecting the many."""

import pytest
import torch

from stacksam.sam.mask_decoder import SpreadBlock
from stacksam.sam.model import CompactConfig, build_compact
from stacksam.sam.transformer import Attention


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomised(module):
    for parameter in module.parameters():
        parameter.data = 0.3 * random(*parameter.shape, seed=parameter.numel())
    return module.eval()


@pytest.mark.parametrize(("n", "m"), [(3, 50), (50, 3), (1, 40), (40, 1), (3, 3), (30, 50)])
@pytest.mark.parametrize("rate", [1, 2])
def test_products_in_another_order_give_the_same(n, m, rate):
    attention = randomised(Attention(32, 4, rate))
    q, k, v = random(2, n, 32), random(2, m, 32, seed=1), random(2, m, 32, seed=2)
    plain = attention(q, k, v).detach()  # as in training
    with torch.inference_mode():
        assert torch.allclose(attention(q, k, v), plain, atol=1e-4)


def test_many_tokens_are_not_projected_for_few(monkeypatch):
    attention = randomised(Attention(32, 4))
    seen = []
    for name in ("_from_few", "_to_few"):
        monkeypatch.setattr(attention, name, lambda *_, name=name: seen.append(name))
    few, many, more = random(1, 3, 32), random(1, 50, 32), random(1, 40, 32)
    with torch.inference_mode():
        attention(few, many, many)
        attention(many, few, few)
        attention(few, few, few)
        attention(many, more, more)
    attention(few, many, many)
    assert seen == ["_from_few", "_to_few"]


def test_spread_block_is_the_same_in_training_and_inference():
    block, x = randomised(SpreadBlock(16)), random(2, 16, 9, 12)
    plain = block(x).detach()
    with torch.inference_mode():
        assert torch.allclose(block(x), plain, atol=1e-4)
        strided = x.to(memory_format=torch.channels_last)
        assert torch.allclose(block(strided), plain, atol=1e-4)


def test_positions_are_remembered_until_the_weights_change():
    encoder = build_compact(CompactConfig(input_size=64, embed_dim=32)).eval().prompt_encoder
    plain = encoder.get_dense_pe()
    with torch.inference_mode():
        first = encoder.get_dense_pe()
        assert encoder.get_dense_pe() is first
        assert torch.equal(first, plain)
    encoder.load_state_dict({k: 2 * v for k, v in encoder.state_dict().items()})
    with torch.inference_mode():
        assert not torch.equal(encoder.get_dense_pe(), first)
        assert torch.equal(encoder.get_dense_pe(), encoder.pe_layer.grid(8, 8)[None])
