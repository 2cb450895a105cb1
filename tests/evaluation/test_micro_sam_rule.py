"""The rule that hands binary masks on, beside our own propagation on the same engine."""

import numpy as np
import pytest

from models import ThresholdPredictor, disc, overlap, stack_of
from stacksam.core.windows import resolve_window
from stacksam.evaluation.micro_sam_rule import MASK_LOGIT, carry_by_micro_sam_rule
from stacksam.propagation import SlicePredictor

SHAPE = (64, 72)


def tube(radii, shift=0):
    """Discs of these radii, slice by slice, each moved by `shift` pixels against the last."""
    return np.array([disc(SHAPE, (30, 20 + shift * z), r) for z, r in enumerate(radii)])


def predictor_of(truth, **options):
    volume = stack_of(truth.astype(np.uint8))
    return SlicePredictor(volume, resolve_window(volume, "auto"), ThresholdPredictor(**options))


def test_an_object_is_followed_both_ways():
    truth = tube([9, 9, 10, 11, 11, 10])
    found = carry_by_micro_sam_rule(predictor_of(truth), 2, truth[2])
    assert found.shape == truth.shape
    assert np.array_equal(found[2], truth[2])
    assert all(overlap(a, b) > 0.7 for a, b in zip(found, truth, strict=True))


def test_the_prompts_are_a_box_and_a_binary_mask_and_nothing_else():
    truth = tube([9, 9, 9])
    predictor = predictor_of(truth)
    carry_by_micro_sam_rule(predictor, 1, truth[1])
    (first, second) = predictor.model.seen
    for prompts in (first, second):
        assert prompts.box_yxyx is not None
        assert np.unique(prompts.logits) == pytest.approx([-MASK_LOGIT, MASK_LOGIT])
        assert prompts.logits.shape == (64, 64)
        assert not prompts.is_neighbour
        assert prompts.context is None
        assert prompts.points_yx == ()
    y0, x0, y1, x1 = first.box_yxyx
    marked = np.argwhere(first.logits > 0) * 2
    assert np.abs(marked.min(axis=0) - (y0, x0)).max() <= 2
    assert np.abs(marked.max(axis=0) + 2 - (y1, x1)).max() <= 2


class Shrinking(ThresholdPredictor):
    """Answers with less than it was shown, however the image looks."""

    def __init__(self, kept):
        super().__init__(presence=0.0)
        self.kept = kept

    def decode(self, embedding, prompts):
        found = super().decode(embedding, prompts)
        rows = np.flatnonzero((found.logits[0] > 0).any(axis=1))
        found.logits[0, rows[round(self.kept * len(rows)) :]] = -6
        return found


@pytest.mark.parametrize(("kept", "is_followed"), [(0.8, True), (0.3, False), (0.0, False)])
def test_it_stops_where_masks_overlap_by_less_than_half(kept, is_followed):
    truth = tube([12, 12, 12])
    predictor = predictor_of(truth)
    predictor.model = Shrinking(kept)
    found = carry_by_micro_sam_rule(predictor, 1, truth[1])
    assert found.any(axis=(1, 2)).tolist() == [is_followed, True, is_followed]
    anyway = carry_by_micro_sam_rule(predictor, 1, truth[1], iou_limit=0.0)
    assert anyway[0].any() == (kept > 0)


def test_absence_is_not_asked_for():
    truth = tube([9, 9, 9])
    found = carry_by_micro_sam_rule(predictor_of(truth, presence=0.0, score=0.0), 0, truth[0])
    assert found.any(axis=(1, 2)).all()


def test_an_empty_mask_is_carried_nowhere():
    predictor = predictor_of(tube([9, 9, 9]))
    assert not carry_by_micro_sam_rule(predictor, 1, np.zeros(SHAPE, bool)).any()
    assert predictor.model.decoded == 0


def test_it_looks_at_the_fields_that_our_propagation_has_embedded():
    import stacksam

    truth = tube([9, 9, 9, 9])
    session = stacksam.Session(stack_of(truth.astype(np.uint8)), ThresholdPredictor())
    session.add_mask(1, 1, truth[1])
    session.propagate(1)
    encoded = session.model.encoded
    carry_by_micro_sam_rule(session.predictor, 1, truth[1])
    assert session.model.encoded == encoded
