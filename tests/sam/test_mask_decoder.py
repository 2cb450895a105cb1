"""The mask decoder with and without its optional parts."""

import pytest
import torch

from stacksam.sam.mask_decoder import MaskDecoder, _weigh_channels
from stacksam.sam.transformer import TwoWayTransformer


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer = TwoWayTransformer(2, 32, 4, 48)
        decoder = MaskDecoder(
            transformer_dim=32, transformer=transformer, iou_head_hidden_dim=24, **options
        )
    return decoder.eval().requires_grad_(False)


PLAIN = {}
FULL = {
    "num_prompt_blocks": 1,
    "num_output_blocks": 1,
    "has_skips": True,
    "has_object_score": True,
    "quality_dim": 8,
}
EMBEDDING, POSITIONS = random(1, 32, 6, 5), random(1, 32, 6, 5, seed=1)
SKIPS = (random(1, 8, 12, 10, seed=2), random(1, 4, 24, 20, seed=3))
SPARSE, DENSE = random(3, 2, 32, seed=4), random(3, 32, 6, 5, seed=5)


@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_shapes(options):
    skips = SKIPS if options else None
    output = build(**options)(EMBEDDING, POSITIONS, SPARSE, DENSE, skips)
    assert output.masks.shape == (3, 4, 24, 20)
    assert output.iou_predictions.shape == (3, 4)


def test_object_score_only_where_configured():
    assert build()(EMBEDDING, POSITIONS, SPARSE, DENSE).object_score_logits is None
    score = build(**FULL)(EMBEDDING, POSITIONS, SPARSE, DENSE, SKIPS).object_score_logits
    assert score.shape == (3, 1)
    assert score.std() > 0


@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_prompts_sharing_an_embedding_equal_a_loop(options):
    decoder = build(**options)
    skips = SKIPS if options else None
    together = decoder(EMBEDDING, POSITIONS, SPARSE, DENSE, skips)
    for index in range(3):
        part = slice(index, index + 1)
        alone = decoder(EMBEDDING, POSITIONS, SPARSE[part], DENSE[part], skips)
        assert torch.allclose(alone.masks, together.masks[part], atol=1e-4)
        assert torch.allclose(alone.iou_predictions, together.iou_predictions[part], atol=1e-4)
    assert (together.masks[0] - together.masks[1]).abs().max() > 1e-2


def test_skips_change_the_masks_but_not_their_scores():
    decoder = build(has_skips=True)
    with_skips = decoder(EMBEDDING, POSITIONS, SPARSE, DENSE, SKIPS)
    without = decoder(EMBEDDING, POSITIONS, SPARSE, DENSE)
    assert (with_skips.masks - without.masks).abs().max() > 1e-3
    assert torch.equal(with_skips.iou_predictions, without.iou_predictions)


def test_number_of_candidates():
    decoder = build(num_multimask_outputs=2)
    assert decoder(EMBEDDING, POSITIONS, SPARSE, DENSE).masks.shape[1] == 3


def test_no_prompt_tokens_at_all():
    output = build()(EMBEDDING, POSITIONS, SPARSE[:, :0], DENSE)
    assert output.masks.isfinite().all()


@pytest.mark.parametrize("options", [PLAIN, FULL | {"quality_dim": 16}])
@pytest.mark.parametrize("batch", [1, 3])
def test_inference_gives_what_training_gives(options, batch):
    decoder, skips = build(**options), SKIPS if options else None
    for parameter in decoder.parameters():  # heads that begin at zero say something, too
        parameter.data = 0.2 * random(*parameter.shape, seed=parameter.numel())
    given = (EMBEDDING, POSITIONS, SPARSE[:batch], DENSE[:batch], skips)
    expected = decoder(*given)
    before = [part.clone() for part in (EMBEDDING, *SKIPS)]
    with torch.inference_mode():
        found = decoder(*given)
    for part, other in zip(found, expected, strict=True):
        assert (part is None) == (other is None)
        if part is not None:
            assert torch.allclose(part, other, atol=1e-4, rtol=1e-4)
    for part, kept in zip((EMBEDDING, *SKIPS), before, strict=True):
        assert torch.equal(part, kept)


def test_masks_send_gradients_in_the_memory_format_that_convolutions_are_quick_with():
    features = torch.randn(2, 8, 6, 5).to(memory_format=torch.channels_last).requires_grad_()
    weights = torch.randn(2, 4, 8)
    masks = _weigh_channels(features, weights)
    masks.square().sum().backward()
    assert features.grad.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(_weigh_channels(features, weights), masks.detach())
