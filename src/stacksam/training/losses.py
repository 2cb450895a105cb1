"""Losses of masks, of their predicted quality, and of the object's presence."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stacksam.sam.mask_decoder import DecoderOutput

BCE_WEIGHT, DICE_WEIGHT, IOU_WEIGHT, PRESENCE_WEIGHT = 3.0, 1.0, 4.0, 1.0
ABSENT_WEIGHT = 1.0


class RoundLoss(NamedTuple):
    """Loss of one round of prompts.

    Attributes
    ----------
    total : Tensor, scalar
    logits : Tensor of shape (N, h, w), float32
        Of the mask that a user would be shown.
    iou : Tensor of shape (N,)
        Of these masks with the truth; 0 where it is empty.
    presence : Tensor of shape (N,)
        Object score logits.
    """

    total: Tensor
    logits: Tensor
    iou: Tensor
    presence: Tensor


def round_loss(
    output: DecoderOutput,
    truth: Tensor,
    is_ambiguous: Tensor,
    is_handed: Tensor,
    weight: Tensor,
    unseen: Tensor | None = None,
) -> RoundLoss:
    """Compare decoder output with the truth.

    Masks count fully only where the object is there; where it is absent they are pulled down a
    little. Of an ambiguous prompt's candidates only the best one learns (Kirillov et al. 2023,
    appendix A), beside the single mask.

    Parameters
    ----------
    output : DecoderOutput
    truth : Tensor of shape (N, h, w) in [0, 1]
    is_ambiguous : bool Tensor of shape (N,)
        Whether the prompts are a single click.
    is_handed : bool Tensor of shape (N,)
        Whether only a neighbour's mask was given; only there the object may be absent.
    weight : Tensor of shape (N,)
        0 leaves a prompt out.
    unseen : Tensor of shape (N,), optional
        Cells of the object beyond the field. No mask can have them, and its predicted quality is
        to say so: a field that is filled by a part of the object is the wrong one.
    """
    masks = output.masks.float()  # (N, M, h, w)
    target = truth[:, None]
    bce = F.binary_cross_entropy_with_logits(masks, target.expand_as(masks), reduction="none")
    probabilities = masks.sigmoid()
    overlap = (probabilities * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probabilities.sum((2, 3)) + target.sum((2, 3)) + 1)
    per_mask = BCE_WEIGHT * bce.mean((2, 3)) + DICE_WEIGHT * dice  # (N, M)
    best_candidate = per_mask[:, 1:].min(1).values
    mask_loss = torch.where(
        is_ambiguous, 0.4 * per_mask[:, 0] + 0.8 * best_candidate, per_mask[:, 0]
    )

    iou = true_iou(masks.detach(), target)  # (N, M)
    reached = iou if unseen is None else true_iou(masks.detach(), target, unseen[:, None])
    iou_error = (output.iou_predictions.float() - reached).square()
    iou_loss = torch.where(is_ambiguous, iou_error.mean(1), iou_error[:, 0])

    is_present = truth.flatten(1).amax(1) > 0.5
    counted = weight * is_present
    total = ((mask_loss + IOU_WEIGHT * iou_loss) * counted).sum() / counted.sum().clamp(min=1)
    presence = output.object_score_logits
    if presence is None:
        presence = torch.zeros_like(weight)[:, None]
    presence = presence.float()[:, 0]
    asked = weight * is_handed
    surplus = (bce[:, 0].mean((1, 2)) * weight * ~is_present).sum()
    total = total + ABSENT_WEIGHT * surplus / weight.sum().clamp(min=1)
    presence_loss = F.binary_cross_entropy_with_logits(
        presence, is_present.float(), weight=asked, reduction="sum"
    )
    total = total + PRESENCE_WEIGHT * presence_loss / asked.sum().clamp(min=1)

    candidates = output.iou_predictions[:, 1:].argmax(1) + 1
    shown = torch.where(is_ambiguous, candidates, torch.zeros_like(candidates))
    rows = torch.arange(len(masks), device=masks.device)
    return RoundLoss(total, masks[rows, shown].detach(), iou[rows, shown], presence.detach())


def true_iou(logits: Tensor, truth: Tensor, unseen: Tensor | float = 0.0) -> Tensor:
    """Intersection over union over the last two axes, of logits > 0 and truth > 0.5.

    `unseen` cells of the truth lie beyond the last two axes.
    """
    predicted, wanted = logits > 0, truth > 0.5
    intersection = (predicted & wanted).flatten(-2).sum(-1).float()
    union = (predicted | wanted).flatten(-2).sum(-1).float() + unseen
    return intersection / union.clamp(min=1)
