"""The published predictor's way from slices to its square input and back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stacksam.core.fields import crop_image, logits_box, move_logits, paste_logits
from stacksam.core.padded_slice import padded_slice, resized_shape


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
    assert padded_slice(shape).resized == expected


@pytest.mark.parametrize("shape", [(512, 512), (701, 931), (90, 60), (1, 7), (333, 1025)])
def test_pasting_equals_the_published_interpolation(shape):
    """Enlarge to 1024, cut the padding off, then to the slice, both linear, not averaging."""
    field = padded_slice(shape)
    logits = np.random.default_rng(0).normal(0, 4, (256, 256)).astype(np.float32)
    height, width = field.resized
    enlarged = F.interpolate(torch.tensor(logits)[None, None], (1024, 1024), mode="bilinear")
    expected = F.interpolate(enlarged[..., :height, :width], shape, mode="bilinear")[0, 0].numpy()
    pasted = paste_logits(logits, field, shape)
    assert pasted.shape == shape
    assert pasted.dtype == np.float32
    assert np.abs(pasted - expected).max() < 2e-4
    assert np.array_equal(pasted > 0, expected > 0)


def test_coordinates_are_scaled_and_not_shifted():
    field = padded_slice((90, 60), 128)
    points = np.array([[0.0, 0.0], [45.0, 30.0], [89.5, 59.0]])
    in_field = field.to_field(points, 128)
    assert in_field == pytest.approx(points * [128 / 90, 85 / 60])
    assert field.from_field(in_field, 128) == pytest.approx(points)
    assert field.to_field(points, 32) == pytest.approx(in_field / 4)


def test_the_whole_slice_lies_at_the_upper_left():
    image = np.random.default_rng(0).random((64, 32)).astype(np.float32)
    crop = crop_image(image, padded_slice((64, 32), 64), 64)
    assert crop[:, :32] == pytest.approx(image, abs=1e-6)
    assert not crop[:, 32:].any()


def test_what_lies_in_the_padding_is_not_seen():
    field = padded_slice((60, 90), 128)  # resized to 85 x 128: 21.25 of 32 rows
    logits = np.full((32, 32), -5.0, np.float32)
    logits[22:] = 5.0
    assert logits_box(logits, field) is None
    assert not (paste_logits(logits, field, (60, 90)) > 0).any()
    logits[4:8, 8:16] = 5.0
    assert logits_box(logits, field) == pytest.approx((60 * 16 / 85, 22.5, 60 * 32 / 85, 45))


def test_logits_of_other_slices_stay_as_they_are():
    logits = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    assert move_logits(logits, padded_slice((60, 90)), padded_slice((60, 90))) is logits
