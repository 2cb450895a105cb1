"""Losses: better masks, better scores and right presence cost less, and only what counts counts."""

import pytest
import torch

from stacksam.sam.mask_decoder import DecoderOutput
from stacksam.training.losses import round_loss, true_iou


def square(y0=2, y1=6, count=1):
    truth = torch.zeros(count, 8, 8)
    truth[:, y0:y1, 2:6] = 1
    return truth


def output_of(masks, scores=None, presence=0.0):
    """A decoder's answer from masks (N, M, 8, 8) in [0, 1]."""
    masks = (12 * masks - 6).clone().requires_grad_()
    scores = torch.ones(masks.shape[:2]) if scores is None else scores
    return DecoderOutput(masks, scores.requires_grad_(), torch.full((len(masks), 1), presence))


def loss_of(output, truth, *, ambiguous=False, handed=False, weight=1.0):
    flags = torch.ones(len(truth), dtype=torch.bool)
    return round_loss(
        output, truth, flags & ambiguous, flags & handed, torch.full((len(truth),), weight)
    )


def total_of(output, truth, **options):
    return float(loss_of(output, truth, **options).total.detach())


def four(mask):
    return mask[:, None].repeat(1, 4, 1, 1)


def test_iou_by_hand():
    logits = 2 * square(2, 6) - 1
    assert true_iou(logits, square(2, 6)).tolist() == [1]
    assert true_iou(logits, square(4, 8)).tolist() == pytest.approx([8 / 24])
    assert true_iou(logits, torch.zeros(1, 8, 8)).tolist() == [0]
    assert true_iou(-torch.ones(1, 8, 8), torch.zeros(1, 8, 8)).tolist() == [0]


def test_what_lies_beyond_the_field_lowers_the_iou_that_is_to_be_predicted():
    logits = 2 * square(2, 6) - 1
    assert true_iou(logits, square(2, 6), torch.tensor([16.0])).tolist() == [0.5]
    truth, unseen = square(), torch.tensor([16.0])
    half, whole = (output_of(four(truth), torch.full((1, 4), score)) for score in (0.5, 1.0))
    flags = torch.ones(1, dtype=torch.bool)
    losses = [
        float(round_loss(o, truth, flags, ~flags, torch.ones(1), unseen).total.detach())
        for o in (half, whole)
    ]
    assert losses[0] < losses[1]


def test_better_masks_cost_less():
    truth = square()
    losses = []
    for shift in (0, 1, 2):
        masks = four(square(2 + shift, 6 + shift))
        output = output_of(masks, true_iou(2 * masks - 1, truth[:, None]))
        losses.append(total_of(output, truth))
    assert losses[0] < losses[1] < losses[2]


def test_honest_scores_cost_less():
    truth = square()
    right, wrong = (
        total_of(output_of(four(truth), torch.full((1, 4), score)), truth) for score in (1.0, 0.2)
    )
    assert right < wrong


@pytest.mark.parametrize("is_ambiguous", [False, True])
def test_of_an_ambiguous_prompts_candidates_only_the_best_learns(is_ambiguous):
    truth = square()
    masks = torch.stack([square(5, 7), square(6, 8), square(3, 7), square(0, 2)], 1)
    output = output_of(masks)
    loss_of(output, truth, ambiguous=is_ambiguous).total.backward()
    learns = (output.masks.grad.abs().sum((0, 2, 3)) > 0).tolist()
    assert learns == ([True, False, True, False] if is_ambiguous else [True, False, False, False])


def test_what_is_shown_is_the_best_scored_candidate():
    masks = torch.stack([square(2, 6), square(5, 7), square(2, 5), square(0, 2)], 1)
    scores = torch.tensor([[0.9, 0.1, 0.8, 0.2]])
    shown = loss_of(output_of(masks, scores.clone()), square(), ambiguous=True)
    assert torch.equal(shown.logits, (12 * masks - 6)[:, 2])
    assert shown.iou.tolist() == pytest.approx([12 / 16])
    shown = loss_of(output_of(masks, scores.clone()), square())
    assert torch.equal(shown.logits, (12 * masks - 6)[:, 0])
    assert shown.iou.tolist() == [1]


def test_results_of_a_round_carry_no_gradient():
    played = loss_of(output_of(four(square())), square())
    assert played.total.requires_grad
    assert not played.logits.requires_grad
    assert not played.presence.requires_grad


def test_weight_zero_leaves_a_prompt_out():
    truth = square(count=2)
    masks = four(torch.stack([square()[0], square(6, 8)[0]]))
    output = output_of(masks)
    flags = torch.zeros(2, dtype=torch.bool)
    both = round_loss(output, truth, flags, flags, torch.tensor([1.0, 0.0]))
    alone = loss_of(output_of(four(square())), square())
    assert both.total.tolist() == pytest.approx(alone.total.tolist())
    both.total.backward()
    assert not output.masks.grad[1].any()


def test_presence_counts_only_where_a_mask_was_handed():
    truth = square()

    def total(presence, **options):
        return total_of(output_of(four(truth), presence=presence), truth, **options)

    assert total(5.0) == total(-5.0)
    assert total(5.0, handed=True) < total(-5.0, handed=True)


def test_absent_objects_are_told_by_presence_and_empty_masks():
    nothing = torch.zeros(1, 8, 8)

    def total(mask, presence):
        return total_of(output_of(four(mask), presence=presence), nothing, handed=True)

    assert total(nothing, -5.0) < total(nothing, 5.0)
    assert total(nothing, -5.0) < total(square(), -5.0)


def test_decoders_without_presence_work():
    output = output_of(four(square()))._replace(object_score_logits=None)
    played = loss_of(output, square(), handed=False)
    assert torch.isfinite(played.total)
    assert played.presence.tolist() == [0]


def test_nothing_counted_gives_a_finite_loss():
    played = loss_of(output_of(four(square())), square(), weight=0.0)
    assert played.total.tolist() == 0
