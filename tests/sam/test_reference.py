"""Our SAM equals transformers' with the same weights."""

import pytest
import torch

TOLERANCE = 1e-4

SIDE = 128
POINTS = torch.tensor([[[20.0, 30.0], [100.5, 64.25], [3.0, 127.0]]])
LABELS = torch.tensor([[1, 0, 1]])
BOX = torch.tensor([[10.0, 20.0, 90.0, 110.0]])


def image(seed=0):
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def mask_logits(batch=1):
    return 4 * torch.randn(batch, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < TOLERANCE


@pytest.mark.parametrize("seed", [0, 1])
def test_image_embedding(tiny_sam, reference_sam, seed):
    ours = tiny_sam.image_encoder(image(seed))
    assert ours.skips is None
    theirs = reference_sam.get_image_embeddings(image(seed))
    assert theirs.abs().max() > 0.5
    assert_close(ours.image_embedding, theirs)


@pytest.mark.parametrize("with_points", [False, True])
@pytest.mark.parametrize("with_box", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_prompt_embeddings(tiny_sam, reference_sam, with_points, with_box, with_mask):
    points = (POINTS, LABELS) if with_points else None
    boxes, masks = BOX if with_box else None, mask_logits() if with_mask else None
    sparse, dense = tiny_sam.prompt_encoder(points, boxes, masks)
    their_sparse, their_dense = reference_sam.get_prompt_embeddings(
        POINTS[None] if with_points else None,
        LABELS[None] if with_points else None,
        BOX[None] if with_box else None,
        masks,
    )
    if their_sparse is None:
        assert sparse.shape == (1, 0, 32)
    else:
        assert_close(sparse, their_sparse[0])
    assert_close(dense, their_dense)


def test_positions_of_the_embedding(tiny_sam, reference_sam):
    assert_close(
        tiny_sam.prompt_encoder.get_dense_pe(),
        reference_sam.get_image_wide_positional_embeddings(),
    )


@pytest.mark.parametrize(
    ("with_points", "with_box", "with_mask"),
    [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, True, False),
        (True, False, True),
        (False, True, True),
        (True, True, True),
    ],
)
@pytest.mark.parametrize("multimask", [True, False])
def test_whole_model(tiny_sam, reference_sam, with_points, with_box, with_mask, multimask):
    masks = mask_logits() if with_mask else None
    ours = tiny_sam.decode(
        tiny_sam.image_encoder(image()),
        (POINTS, LABELS) if with_points else None,
        BOX if with_box else None,
        masks,
    )
    theirs = reference_sam(
        pixel_values=image(),
        input_points=POINTS[None] if with_points else None,
        input_labels=LABELS[None] if with_points else None,
        input_boxes=BOX[None] if with_box else None,
        input_masks=masks,
        multimask_output=multimask,
    )
    chosen = slice(1, None) if multimask else slice(0, 1)
    assert ours.object_score_logits is None
    assert_close(
        ours.masks[:, chosen], theirs.pred_masks.reshape(-1, *theirs.pred_masks.shape[-3:])
    )
    assert_close(
        ours.iou_predictions[:, chosen], theirs.iou_scores.reshape(-1, theirs.iou_scores.shape[-1])
    )


def test_several_prompts_on_one_embedding(tiny_sam, reference_sam):
    points = torch.cat([POINTS, POINTS.flip(1) * 0.7, POINTS * 0.1 + 9])
    labels = torch.cat([LABELS, LABELS.flip(1), 1 - LABELS])
    ours = tiny_sam.decode(tiny_sam.image_encoder(image()), (points, labels))
    theirs = reference_sam(
        pixel_values=image(), input_points=points[None], input_labels=labels[None]
    )
    assert (ours.masks[0] - ours.masks[1]).abs().max() > 0.01
    assert_close(ours.masks[:, 1:], theirs.pred_masks[0])
    assert_close(ours.iou_predictions[:, 1:], theirs.iou_scores[0])


def test_box_given_as_two_points(tiny_sam):
    """The predictor of fields hands boxes on as points labelled 2 and 3."""
    embedding = tiny_sam.image_encoder(image())
    as_box = tiny_sam.decode(embedding, (POINTS, LABELS), BOX)
    coords = torch.cat([BOX.reshape(1, 2, 2), POINTS], dim=1)
    labels = torch.cat([torch.tensor([[2, 3]]), LABELS], dim=1)
    as_points = tiny_sam.decode(embedding, (coords, labels))
    assert_close(as_points.masks, as_box.masks)
    assert_close(as_points.iou_predictions, as_box.iou_predictions)
