"""The published way from a slice to masks."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stacksam.sam.official import PIXEL_MEAN, PIXEL_STD, build_sam
from stacksam.sam.predictor import FieldPrompts, Predictor
from stacksam.sam.whole_slice import (
    WholeSlicePredictor,
    postprocess_masks,
    preprocess_whole_slice,
    resized_shape,
)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1024, 1024), (1024, 1024)),
        ((512, 256), (1024, 512)),
        ((2000, 1333), (1024, 682)),  # 682.496 is rounded down
        ((1333, 2001), (682, 1024)),  # 682.16
        ((3, 4096), (1, 1024)),
        ((1, 4096), (1, 1024)),  # never empty
    ],
)
def test_resized_shape(shape, expected):
    assert resized_shape(shape) == expected


def denormalized(tensor):
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return tensor * std[:, None, None] + mean[:, None, None]


def test_preprocessing_keeps_an_image_of_the_right_size_and_pads_with_zeros():
    image = np.random.default_rng(0).integers(0, 256, (64, 40, 3), dtype=np.uint8)
    padded, resized = preprocess_whole_slice(image, 64)
    assert padded.shape == (1, 3, 64, 64)
    assert padded.dtype == torch.float32
    assert resized == (64, 40)
    assert torch.allclose(
        denormalized(padded[0, :, :, :40]), torch.tensor(image).permute(2, 0, 1).float(), atol=1e-3
    )
    assert not padded[..., 40:].any()  # zeros after normalising, as published


def test_preprocessing_averages_where_it_shrinks():
    image = np.zeros((8, 8), np.uint8)
    image[:, ::2] = 200
    padded, _ = preprocess_whole_slice(image, 4)
    inside = denormalized(padded[0])[:, :, 1:3]
    assert inside.min() > 60
    assert inside.max() < 140


def test_grey_becomes_three_channels_and_windows_become_levels():
    levels = np.random.default_rng(0).integers(0, 256, (30, 50), dtype=np.uint8)
    from_levels, _ = preprocess_whole_slice(levels, 64)
    from_colours, _ = preprocess_whole_slice(np.stack([levels] * 3, -1), 64)
    from_window, _ = preprocess_whole_slice((levels / 255).astype(np.float32), 64)
    assert torch.equal(from_levels, from_colours)
    assert torch.equal(from_levels, from_window)


def test_preprocessing_equals_transformers():
    module = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    processor = module.SamImageProcessorPil()
    image = np.random.default_rng(0).integers(0, 256, (301, 517, 3), dtype=np.uint8)
    theirs = processor(image, return_tensors="pt")
    ours, resized = preprocess_whole_slice(image)
    assert resized == tuple(theirs["reshaped_input_sizes"][0].tolist())
    assert (ours - theirs["pixel_values"]).abs().max() < 1e-4


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


def test_postprocessing_drops_the_padding():
    masks = torch.full((1, 1, 16, 16), -5.0)
    masks[..., :8, :] = 5.0  # the upper half of the square is the slice
    logits = postprocess_masks(masks, (32, 64), (10, 20), 64)
    assert logits.shape == (1, 1, 10, 20)
    assert (logits[..., :9, :] > 0).all()


@pytest.fixture(scope="module")
def predictor(tiny_sam):
    return WholeSlicePredictor(tiny_sam)


IMAGE = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)


def test_prediction_equals_transformers_from_image_to_mask(predictor, reference_sam):
    """Points, box and mask on a slice that has to be enlarged by 128 / 90 and padded."""
    point, box = np.array([[10.0, 50.0]]), np.array([5.0, 7.0, 40.0, 80.0])
    mask_input = np.random.default_rng(1).normal(0, 4, (1, 32, 32)).astype(np.float32)
    encoded = predictor.encode(IMAGE)
    prediction = predictor.predict(encoded, point, np.array([1]), box, mask_input)

    width = int(60 * 128 / 90 + 0.5)
    scale = torch.tensor([width / 60, 128 / 90])
    theirs = reference_sam(
        pixel_values=preprocess_whole_slice(IMAGE, 128)[0],
        input_points=(torch.tensor(point).float() * scale)[None, None],
        input_labels=torch.ones(1, 1, 1, dtype=torch.int),
        input_boxes=(torch.tensor(box).float().reshape(2, 2) * scale).reshape(1, 1, 4),
        input_masks=torch.tensor(mask_input)[None],
    )
    low_res = theirs.pred_masks[0]
    full = F.interpolate(low_res, (128, 128), mode="bilinear")[..., :128, :width]
    full = F.interpolate(full, (90, 60), mode="bilinear")[0].numpy()
    assert np.abs(prediction.low_res_masks - low_res[0].numpy()).max() < 1e-4
    assert np.abs(prediction.iou_predictions - theirs.iou_scores[0, 0].numpy()).max() < 1e-4
    assert prediction.masks.shape == (3, 90, 60)
    assert prediction.masks.dtype == bool
    is_clear = np.abs(full) > 1e-3
    assert is_clear.mean() > 0.9
    assert np.array_equal(prediction.masks[is_clear], full[is_clear] > 0)


def test_one_mask_or_three_candidates(predictor):
    encoded = predictor.encode(IMAGE)
    box = [5, 7, 40, 80]
    candidates = predictor.predict(encoded, box=box)
    single = predictor.predict(encoded, box=box, multimask_output=False)
    assert candidates.masks.shape == (3, 90, 60)
    assert single.masks.shape == (1, 90, 60)
    assert single.low_res_masks.shape == (1, 32, 32)
    assert single.iou_predictions.dtype == np.float32


def test_points_need_labels(predictor):
    encoded = predictor.encode(IMAGE)
    with pytest.raises(ValueError, match="1 points have 0 labels"):
        predictor.predict(encoded, [[1, 2]])
    with pytest.raises(ValueError, match="2 points have 1 labels"):
        predictor.predict(encoded, [[1, 2], [3, 4]], [1])


def test_a_square_input_is_needed(tiny_config):
    model = build_sam(replace(tiny_config, input_size=(64, 128)))
    with pytest.raises(ValueError, match="the model's input is 64 x 128"):
        WholeSlicePredictor(model)


def test_fields_in_a_window_are_encoded_like_8_bit_images(tiny_sam):
    grey = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    padded, _ = preprocess_whole_slice(grey, 128)
    field = torch.tensor(grey / 255, dtype=torch.float32)[None, None]
    with torch.inference_mode():
        expected = tiny_sam.image_encoder(padded).image_embedding
        from_field = tiny_sam.encode(field).image_embedding
        from_colours = tiny_sam.encode(field.expand(1, 3, 128, 128)).image_embedding
    assert (from_field - expected).abs().max() < 1e-4
    assert (from_colours - expected).abs().max() < 1e-4


def test_the_predictor_of_fields_runs_it_as_well(tiny_sam):
    """A field that is the whole slice: same logits but for the embedding's half precision."""
    grey = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    whole = WholeSlicePredictor(tiny_sam)
    expected = whole.predict(whole.encode(grey), [[30, 40]], [1], multimask_output=False)
    fields = Predictor(copy.deepcopy(tiny_sam), name="tiny", fingerprint="x", device="cpu")
    prompts = FieldPrompts(points_yx=((40.0, 30.0),), is_positive=(True,))
    found = fields.decode(fields.encode((grey / 255).astype(np.float32)), prompts)
    assert fields.input_size == 128
    assert found.presence == 1
    scale = np.abs(expected.low_res_masks).max()
    assert np.abs(found.logits[0] - expected.low_res_masks[0]).max() < 0.02 * scale
