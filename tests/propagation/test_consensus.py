"""Agreement of three planes, and smoothing in 3D."""

from threading import Event

import numpy as np
import pytest

from models import ThresholdPredictor, disc, overlap, stack_of
from stacksam.core.prompts import BoxPrompt, PromptSet
from stacksam.core.windows import resolve_window
from stacksam.propagation import SliceMask, SlicePredictor, make_plan, run_plan
from stacksam.propagation.consensus import agree, smooth_stack


@pytest.fixture(scope="module")
def ball():
    z, y, x = np.ogrid[:24, :40, :44]
    return (((z - 12) / 9) ** 2 + ((y - 20) / 11) ** 2 + ((x - 22) / 12) ** 2 < 1).astype(np.uint8)


def predictor_of(labels):
    volume = stack_of(labels)
    return SlicePredictor(volume, resolve_window(volume), ThresholdPredictor())


def plan_along(axis, labels):
    index = int(np.moveaxis(labels, axis, 0).sum((1, 2)).argmax())
    y, x = np.nonzero(np.take(labels, index, axis))
    box = (float(y.min()), float(x.min()), float(y.max() + 1), float(x.max() + 1))
    prompts = PromptSet((BoxPrompt(1, 1, axis, index, box),))
    return make_plan(prompts, 1, axis, labels.shape[axis])


def carried(predictor, plan):
    found = run_plan(predictor, plan)
    return {index: SliceMask.from_prediction(prediction) for index, prediction in found}


def as_volume(found, axis, shape):
    mask = np.zeros(shape, bool)
    for index, here in found.items():
        np.moveaxis(mask, axis, 0)[index] = here.mask
    return mask


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_that_agree_change_little(ball, axis):
    predictor, plan = predictor_of(ball), plan_along(axis, ball)
    found = carried(predictor, plan)
    agreed = agree(predictor, plan, found)
    before, after = (as_volume(f, axis, ball.shape) for f in (found, agreed))
    assert overlap(before, ball > 0) > 0.8
    assert overlap(after, ball > 0) > 0.8
    assert overlap(before, after) > 0.9


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_one_plane_made_up_is_dropped(ball, axis):
    predictor, plan = predictor_of(ball), plan_along(axis, ball)
    found = carried(predictor, plan)
    keyframe = next(iter(plan.keyframes))
    wrong = keyframe + 3
    leaked = found[wrong].mask
    leaked[:9, :9] = True
    given = found | {wrong: found[wrong].with_mask(leaked)}
    agreed = agree(predictor, plan, given)
    assert not agreed[wrong].mask[:9, :9].any()
    assert agreed[wrong].score < given[wrong].score
    assert agreed[keyframe] == found[keyframe]


def test_keyframes_stay_even_if_nobody_agrees(ball):
    predictor, plan = predictor_of(ball), plan_along(0, ball)
    keyframe = next(iter(plan.keyframes))
    odd = SliceMask.from_mask(disc(ball.shape[1:], (5, 5), 4), 0.9)
    agreed = agree(predictor, plan, carried(predictor, plan) | {keyframe: odd})
    assert agreed[keyframe] == odd


def test_cancelled_or_empty_agreement_changes_nothing(ball):
    predictor, plan = predictor_of(ball), plan_along(0, ball)
    found = carried(predictor, plan)
    cancel = Event()
    cancel.set()
    assert agree(predictor, plan, found, cancel) == found
    nothing = {3: SliceMask.from_mask(np.zeros(ball.shape[1:], bool), 0.5)}
    assert agree(predictor, plan, nothing) == nothing
    assert agree(predictor, plan, {}) == {}


def ragged(ball):
    """The ball with every other slice one pixel larger."""
    masks = {}
    for z in np.flatnonzero(ball.any((1, 2))).tolist():
        mask = ball[z] > 0
        masks[z] = SliceMask.from_mask(np.roll(mask, 2 * (z % 2), 1), 0.9)
    return masks


def roughness(found):
    stack = np.stack([found[z].mask for z in sorted(found)])
    return np.count_nonzero(stack[1:] != stack[:-1])


def test_smoothing_evens_what_jumps_and_keeps_keyframes(ball):
    found = ragged(ball)
    keep = [8, 11]
    smoothed = smooth_stack(found, 0, 2.0, keep)
    assert roughness(smoothed) < 0.8 * roughness(found)
    assert all(smoothed[z] == found[z] for z in keep)
    assert any(smoothed[z] != found[z] for z in found)
    assert overlap(as_volume(smoothed, 0, ball.shape), ball > 0) > 0.8


def test_distant_slices_are_blended_less(ball):
    found = ragged(ball)
    near, far = (roughness(smooth_stack(found, 0, 2.0, (), (z, 1.0, 1.0))) for z in (1.0, 8.0))
    assert near < far


def test_no_smoothing_changes_nothing(ball):
    found = ragged(ball)
    assert smooth_stack(found, 0, 0.0) == found
    assert smooth_stack({}, 0, 2.0) == {}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_smoothing_along_any_axis(axis):
    block = np.zeros((16, 20, 24), bool)
    block[4:12, 5:15, 6:18] = True
    planes = np.moveaxis(block, axis, 0)
    found = {i: SliceMask.from_mask(p, 0.9) for i, p in enumerate(planes) if p.any()}
    smoothed = smooth_stack(found, axis, 1.0)
    assert overlap(as_volume(smoothed, axis, block.shape), block) > 0.8
