"""The second look at masks: silent at first, and able to tell what SAM's own head cannot see."""

import pytest
import torch

from stacksam.sam.quality_head import QualityHead


def square(y, x, side, value=1.0):
    cells = torch.zeros(1, 1, 16, 16)
    cells[..., y : y + side, x : x + side] = value
    return cells


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


FEATURES, TOKENS = random(2, 256, 8), random(2, 4, 8, seed=1)


def trained(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = QualityHead(8, 12)
        torch.nn.init.normal_(head.out.weight)
    return head.requires_grad_(False)


def test_says_nothing_until_it_is_trained():
    assert not QualityHead(8, 12)(FEATURES, TOKENS, random(2, 4, 16, 16).sigmoid()).any()


def test_each_mask_is_judged_by_itself():
    cells = random(2, 4, 16, 16, seed=2).sigmoid()
    together = trained()(FEATURES, TOKENS, cells)
    assert together.shape == (2, 4)
    assert together.std() > 0
    alone = trained()(FEATURES[1:], TOKENS[1:, 2:3], cells[1:, 2:3])
    assert torch.allclose(together[1:, 2:3], alone, atol=1e-5)


def test_features_far_from_a_mask_do_not_matter():
    features = FEATURES[:1].clone().view(1, 16, 16, 8)
    cells, tokens = square(5, 5, 4), TOKENS[:1, :1]
    before = trained()(features.flatten(1, 2), tokens, cells)
    features[:, 12:] += 5
    assert torch.equal(trained()(features.flatten(1, 2), tokens, cells), before)
    features[:, 4, 5] += 5  # the rim
    assert not torch.allclose(trained()(features.flatten(1, 2), tokens, cells), before)


@pytest.mark.parametrize("cells", [torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)])
def test_empty_and_full_masks_are_judged_with_finite_numbers(cells):
    assert torch.isfinite(trained()(FEATURES[:1], TOKENS[:1, :1], cells)).all()


def test_it_learns_to_tell_masks_that_leave_the_object():
    """Features say 'object' on a disc; a mask is good where it ends where the object does."""
    rng = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = QualityHead(8, 16)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    features = torch.zeros(64, 16, 16, 8)
    features[:, 4:10, 4:10, 0] = 1
    sides = torch.randint(2, 12, (64,), generator=rng)
    cells = torch.cat([square(4, 4, int(side)) for side in sides])
    area, kept = sides.float() ** 2, sides.clamp(max=6).float() ** 2
    iou = kept / (area + 36 - kept)
    for _ in range(150):
        told = head(features.flatten(1, 2), torch.zeros(64, 1, 8), cells)[:, 0]
        optimizer.zero_grad()
        (told - iou).square().mean().backward()
        optimizer.step()
    assert (told - iou).abs().mean() < 0.1
