"""The built-in model's configuration and the whole built from it."""

import json

import pytest
import torch

from stacksam.sam.model import CompactConfig, build_compact

SMALL = CompactConfig(
    input_size=64,
    embed_dim=32,
    widths=(8, 16, 16, 16, 32),
    depths=(1, 1, 1, 1),
    num_heads=2,
    mlp_dim=32,
    mask_in_chans=8,
    num_prompt_blocks=1,
)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_compact(SMALL).eval().requires_grad_(False)


def test_configuration_survives_json():
    text = json.dumps(SMALL.to_dict())
    assert CompactConfig.from_dict(json.loads(text)) == SMALL
    assert CompactConfig.from_dict({}) == CompactConfig()


def test_unknown_keys_are_refused():
    with pytest.raises(ValueError, match=r"does not fit this version: .*'rounds'"):
        CompactConfig.from_dict({"rounds": 3})


def test_encoder_gives_an_embedding_with_skips(model):
    image, (twice, four_times) = model.encode(torch.rand(2, 1, 64, 64))
    assert image.shape == (2, 32, 8, 8)
    assert twice.shape == (2, 8, 16, 16)
    assert four_times.shape == (2, 4, 32, 32)


def test_encoder_sees_the_image(model):
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    embedding = model.encode(images).image_embedding
    assert (embedding[0] - embedding[1]).abs().max() > 1e-3


def test_several_prompts_on_one_embedding_equal_a_loop(model):
    embedding = model.encode(torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)))
    coords = torch.tensor([[[10.0, 12.0]], [[50.0, 40.0]]])
    labels = torch.tensor([[1.0], [0.0]])
    logits = 4 * torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    neighbour = torch.tensor([False, True])
    together = model.decode(embedding, (coords, labels), None, logits, neighbour)
    assert together.masks.shape == (2, 4, 32, 32)
    for index in range(2):
        part = slice(index, index + 1)
        alone = model.decode(
            embedding, (coords[part], labels[part]), None, logits[part], neighbour[part]
        )
        assert torch.allclose(alone.masks, together.masks[part], atol=1e-4)
        assert torch.allclose(
            alone.object_score_logits, together.object_score_logits[part], atol=1e-4
        )


def test_one_mask_for_a_neighbour_and_for_refinement_are_told_apart(model):
    embedding = model.encode(torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)))
    logits = 4 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    own = model.decode(embedding, masks=logits, is_neighbour=torch.tensor([False]))
    handed = model.decode(embedding, masks=logits, is_neighbour=torch.tensor([True]))
    assert (own.masks - handed.masks).abs().max() > 1e-4
