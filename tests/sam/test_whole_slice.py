"""The published way from a slice to masks, inside the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stacksam.sam.official import PIXEL_MEAN, PIXEL_STD, build_sam
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.whole_slice import WholeSlicePredictor, preprocess_whole_slice


def denormalized(tensor):
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return tensor * std[:, None, None] + mean[:, None, None]


def test_preprocessing_keeps_an_image_of_the_right_size_and_pads_with_zeros():
    image = np.random.default_rng(0).integers(0, 256, (64, 40, 3), dtype=np.uint8)
    padded = preprocess_whole_slice(image, 64)
    assert padded.shape == (1, 3, 64, 64)
    assert padded.dtype == torch.float32
    assert torch.allclose(
        denormalized(padded[0, :, :, :40]), torch.tensor(image).permute(2, 0, 1).float(), atol=1e-3
    )
    assert not padded[..., 40:].any()  # zeros after normalising, as published


def test_preprocessing_averages_where_it_shrinks():
    image = np.zeros((8, 8), np.uint8)
    image[:, ::2] = 200
    inside = denormalized(preprocess_whole_slice(image, 4)[0])[:, :, 1:3]
    assert inside.min() > 60
    assert inside.max() < 140


def test_grey_becomes_three_channels_and_windows_become_levels():
    levels = np.random.default_rng(0).integers(0, 256, (30, 50), dtype=np.uint8)
    from_levels = preprocess_whole_slice(levels, 64)
    assert torch.equal(from_levels, preprocess_whole_slice(np.stack([levels] * 3, -1), 64))
    window = (levels / 255).astype(np.float32)
    assert torch.equal(from_levels, preprocess_whole_slice(window, 64))


def test_preprocessing_equals_transformers():
    module = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    processor = module.SamImageProcessorPil()
    image = np.random.default_rng(0).integers(0, 256, (301, 517, 3), dtype=np.uint8)
    theirs = processor(image, return_tensors="pt")
    assert (preprocess_whole_slice(image) - theirs["pixel_values"]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((0, 5), np.uint8), ValueError, r"shape \(0, 5\)"),
        (np.zeros((4, 5, 2), np.uint8), ValueError, r"shape \(4, 5, 2\)"),
        (np.zeros(7, np.uint8), ValueError, r"shape \(7,\)"),
        (np.zeros((4, 5), np.int16), TypeError, "image is int16"),
        (np.full((4, 5), np.nan), ValueError, "from nan to nan; apply a window"),
        (np.full((4, 5), 40.0), ValueError, "from 40.0 to 40.0; apply a window"),
        (np.full((4, 5), -np.inf, np.float32), ValueError, "from -inf to -inf; apply a window"),
    ],
)
def test_other_images_are_refused(image, error, message):
    with pytest.raises(error, match=message):
        preprocess_whole_slice(image)


@pytest.fixture
def predictor(tiny_sam):
    return WholeSlicePredictor(tiny_sam, name="tiny", fingerprint="f", device="cpu")


IMAGE = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("with_points", [True, False])
@pytest.mark.parametrize("with_box", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_decoding_hands_prompts_on_unchanged(predictor, tiny_sam, with_points, with_box, with_mask):
    """No shift by half a pixel, x before y, no padding point beside a mask alone."""
    mask = np.random.default_rng(1).normal(0, 4, (32, 32)).astype(np.float32)
    prompts = FieldPrompts(
        points_yx=((10.0, 50.0), (33.25, 7.5)) if with_points else (),
        is_positive=(True, False) if with_points else (),
        box_yxyx=(5.0, 7.0, 80.0, 40.0) if with_box else None,
        logits=mask if with_mask else None,
    )
    embedding = predictor.encode(IMAGE)
    found = predictor.decode(embedding, prompts)
    points = (torch.tensor([[[50.0, 10.0], [7.5, 33.25]]]), torch.tensor([[1, 0]]))
    with torch.inference_mode():  # what is learned from is computed a little otherwise
        expected = tiny_sam.decode(
            embedding,
            points if with_points else None,
            torch.tensor([[7.0, 5.0, 40.0, 80.0]]) if with_box else None,
            torch.tensor(mask)[None, None] if with_mask else None,
        )
    assert np.array_equal(found.logits, expected.masks[0].numpy())
    assert found.scores == pytest.approx(expected.iou_predictions[0].numpy())
    assert found.presence == 1


def test_embeddings_keep_full_precision(predictor, tiny_sam):
    embedding = predictor.encode(IMAGE)
    assert embedding.image_embedding.dtype == torch.float32
    expected = tiny_sam.image_encoder(preprocess_whole_slice(IMAGE, 128)).image_embedding
    # half precision would differ by 1e-3
    torch.testing.assert_close(embedding.image_embedding, expected, rtol=0, atol=2e-5)


def test_name_and_fingerprint_tell_it_from_fields(predictor):
    assert predictor.name == "tiny:whole-slice"
    assert predictor.fingerprint == "f:whole-slice"
    assert predictor.field_of((90, 60)).resized == (128, 85)


def test_a_square_input_is_needed(tiny_config):
    model = build_sam(replace(tiny_config, input_size=(64, 128)))
    with pytest.raises(ValueError, match="the model's input is 64 x 128"):
        WholeSlicePredictor(model, name="a", fingerprint="b", device="cpu")
