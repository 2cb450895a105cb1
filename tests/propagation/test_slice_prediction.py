"""What is known of an object on a slice: its mask, its size, and how sure that is."""

from dataclasses import replace

import numpy as np
import pytest

from models import disc
from stacksam.core.fields import Field
from stacksam.propagation import SlicePrediction


@pytest.fixture
def found():
    logits = np.where(disc((64, 64), (32, 32), 16), 4, -4).astype(np.float32)
    others = np.stack([logits, -logits, logits - 1, logits + 1])  # as a decoder gives them
    candidates = ((others[0], 0.8), (others[2], 0.6), (others[3], 0.5))
    field = Field(10.0, 20.0, 32.0, 32.0)
    return SlicePrediction(b"key", 7, (50, 60), field, others[0], 0.8, 0.5, candidates)


def test_mask_and_radius_are_in_pixels_of_the_slice(found):
    assert found.mask.shape == (50, 60)
    assert found.mask[26, 36]
    assert not found.mask[26, 20]
    assert found.radius == pytest.approx(np.sqrt(found.mask.sum() / np.pi), rel=0.05)
    assert not found.is_empty


def test_given_mask_comes_before_logits_and_cannot_be_spoilt(found):
    given = np.zeros((50, 60), bool)
    assert replace(found, given=given).is_empty
    given[3, 4] = True
    shown = replace(found, given=given)
    assert not shown.is_empty
    shown.mask[3, 4] = False
    assert shown.mask[3, 4]


def test_confidence_is_score_and_presence_or_what_is_believed_of_a_handed_mask(found):
    assert found.confidence == pytest.approx(0.4)
    sure, unsure = (replace(found, is_handed=True, belief=b).confidence for b in (3.0, -3.0))
    assert 0 <= unsure < sure <= 1


def test_what_is_kept_lets_the_decoders_output_go(found):
    kept = found.kept()
    assert np.shares_memory(kept.logits, kept.candidates[0][0])
    assert not np.shares_memory(kept.logits, found.logits)
    assert [score for _, score in kept.candidates] == [0.8, 0.6, 0.5]
    for (one, _), (other, _) in zip(kept.candidates, found.candidates, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(kept.mask, found.mask)
    assert kept.nbytes == 2048 + 3 * found.logits.nbytes
    assert replace(kept, given=found.mask).nbytes == kept.nbytes + found.mask.nbytes
