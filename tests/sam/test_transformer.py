"""The two-way transformer."""

import pytest
import torch

from stacksam.sam.transformer import Attention, LayerNorm2d, TwoWayTransformer


@pytest.fixture
def transformer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoWayTransformer(2, 32, 4, 48).eval().requires_grad_(False)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_shapes(transformer):
    tokens, image = transformer(random(3, 32, 4, 5), random(1, 32, 4, 5), random(3, 7, 32))
    assert tokens.shape == (3, 7, 32)
    assert image.shape == (3, 20, 32)


def test_order_of_tokens_does_not_matter(transformer):
    image, positions, tokens = random(1, 32, 4, 4), random(1, 32, 4, 4, seed=1), random(1, 6, 32)
    forward, keys = transformer(image, positions, tokens)
    backward, other_keys = transformer(image, positions, tokens.flip(1))
    assert torch.allclose(forward, backward.flip(1), atol=1e-5)
    assert torch.allclose(keys, other_keys, atol=1e-5)


def test_image_positions_matter(transformer):
    image, tokens = random(1, 32, 4, 4), random(1, 6, 32)
    first, _ = transformer(image, random(1, 32, 4, 4, seed=1), tokens)
    second, _ = transformer(image, random(1, 32, 4, 4, seed=2), tokens)
    assert (first - second).abs().max() > 1e-3


def test_attention_is_the_formula():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = Attention(8, 1, downsample_rate=2).requires_grad_(False)
    q, k = random(1, 3, 8), random(1, 5, 8, seed=1)
    scores = attention.q_proj(q) @ attention.k_proj(k).transpose(1, 2) / 4**0.5
    expected = attention.out_proj(scores.softmax(-1) @ attention.v_proj(k))
    assert torch.allclose(attention(q, k, k), expected, atol=1e-6)


def test_heads_have_to_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide the width 16"):
        Attention(32, 3, downsample_rate=2)


def test_layer_norm_2d_norms_over_channels():
    normed = LayerNorm2d(6)(5 + 3 * random(2, 6, 4, 3))
    assert normed.shape == (2, 6, 4, 3)
    assert normed.mean(1).abs().max() < 1e-5
    assert torch.allclose(normed.var(1, unbiased=False), torch.ones(2, 4, 3), atol=1e-3)
