"""Nothing is found, or handed on, outside of a box."""

from dataclasses import replace

import numpy as np
import pytest

from models import ThresholdPredictor, disc, stack_of
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PromptSet
from stacksam.core.windows import resolve_window
from stacksam.propagation import SliceMask, SlicePredictor, make_plan, run_plan, run_slice
from stacksam.propagation.box_limit import confine, cut, pixels_in

ROOM = (10, 12, 34, 36)


def leaking(depth=9):
    """A tube that merges with a bar from slice 5 on; only the bar is there after slice 6."""
    labels = np.zeros((depth, 64, 72), np.uint8)
    labels[:7, disc((64, 72), (22, 24), 9)] = 1
    labels[5:, 18:26, 28:66] = 1
    return labels


@pytest.fixture
def predictor():
    volume = stack_of(leaking())
    return SlicePredictor(volume, resolve_window(volume), ThresholdPredictor())


def plan_of(*prompts, box=None):
    given = prompts or (BoxPrompt(1, 1, 0, 2, (12.0, 14.0, 32.0, 34.0)),)
    return replace(make_plan(PromptSet(given), 1, 0, 9), box=box)


def edge(mask):
    """How far the mask reaches over the box's right edge."""
    return int(np.flatnonzero(mask.any(0)).max(initial=0)) - ROOM[3] + 1


@pytest.mark.parametrize(
    ("yxyx", "expected"),
    [
        ((2.0, 3.0, 5.0, 7.0), (2, 3, 5, 7)),
        ((1.6, 2.5, 5.4, 6.6), (2, 2, 5, 7)),
        ((-4.0, -1.0, 99.0, 99.0), (0, 0, 8, 9)),
    ],
)
def test_pixels_count_where_their_centre_is_in_the_box(yxyx, expected):
    assert pixels_in(yxyx, (8, 9)) == expected


@pytest.mark.parametrize(
    "yxyx", [(5.0, 2.0, 5.0, 7.0), (9.0, 0.0, 12.0, 4.0), (2.6, 2.6, 3.4, 3.4)]
)
def test_boxes_without_a_pixel_are_refused(yxyx):
    with pytest.raises(ValueError, match="holds no pixel of a slice of 8 by 9"):
        pixels_in(yxyx, (8, 9))


def test_a_leak_is_cut_off_and_not_followed(predictor):
    free = dict(run_plan(predictor, plan_of()))
    assert edge(free[6].mask) > 25
    kept = dict(run_plan(predictor, plan_of(box=ROOM)))
    assert all(edge(found.mask) <= 1 for found in kept.values())  # half a cell
    for index in range(5):
        assert np.array_equal(kept[index].mask, free[index].mask)
    assert kept[6].mask[22, 24]


def test_a_front_stops_where_nothing_is_left_in_the_box(predictor):
    assert max(dict(run_plan(predictor, plan_of()))) == 8
    assert max(dict(run_plan(predictor, plan_of(box=(10, 12, 34, 27))))) == 6


def test_one_slice_is_what_the_whole_gives(predictor):
    plan = plan_of(box=ROOM)
    for index, found in run_plan(predictor, plan):
        assert np.array_equal(run_slice(predictor, plan, index).logits, found.logits)


def test_limited_predictions_are_kept_apart(predictor):
    free = predictor.from_prompts(0, 2, plan_of().keyframes[2])
    first, second = confine(free, ROOM), confine(free, (10, 12, 34, 30))
    assert len({free.key, first.key, second.key}) == 3
    assert first.key == confine(free, ROOM).key
    assert not np.array_equal(first.logits, second.logits)


def test_masks_that_the_user_gave_stay(predictor):
    drawn = np.zeros((64, 72), bool)
    drawn[20:24, 20:60] = True
    given = MaskPrompt.from_array(1, 1, 0, 2, drawn)
    found = dict(run_plan(predictor, plan_of(given, box=ROOM)))[2]
    assert np.array_equal(found.mask, drawn)
    kept = SliceMask.from_prediction(found)
    assert cut(kept, ROOM) is kept


def test_masks_are_cut_to_the_pixel():
    mask = SliceMask.from_mask(np.ones((64, 72), bool), 0.7)
    inside = cut(mask, ROOM)
    assert inside.box == ROOM
    assert inside.n_pixels == 24 * 24
    assert inside.score == 0.7
    assert cut(inside, ROOM) is inside
    assert cut(inside, (40, 40, 44, 44)).is_empty
