"""One slice from the prompts on it, or from the slice beside it."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from models import ThresholdPredictor, disc, overlap, stack_of, two_tubes
from stacksam.core.fields import LOGIT_OUTSIDE
from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    ScribblePrompt,
)
from stacksam.core.volume import Volume
from stacksam.core.windows import Window, resolve_window
from stacksam.propagation import SlicePredictor
from stacksam.propagation.belief import carry_belief
from stacksam.propagation.field_choice import CLICK_SCALES
from stacksam.propagation.slice_predictor import (
    GROWN_SHARE,
    GROWTH,
    HANDED_LOGIT,
    without_growth,
)

TRUTH = two_tubes()
FIRST = TRUTH[5] == 1
BOX = (12.0, 14.0, 32.0, 34.0)
_ids = count(1)


def box(yxyx=BOX, axis=0, index=5):
    return BoxPrompt(next(_ids), 1, axis, index, yxyx)


def point(y, x, positive=True, axis=0, index=5):
    return PointPrompt(next(_ids), 1, axis, index, (float(y), float(x)), positive)


def scribble(points, positive=True):
    return ScribblePrompt(next(_ids), 1, 0, 5, tuple(points), positive)


def mask_of(array, index=5):
    return MaskPrompt.from_array(next(_ids), 1, 0, index, array)


def predictor_of(volume=None, window="auto", **options):
    volume = stack_of(TRUTH) if volume is None else volume
    model = ThresholdPredictor(**options)
    return SlicePredictor(volume, resolve_window(volume, window), model)


@pytest.fixture
def predictor():
    return predictor_of()


def test_box_gives_what_is_in_it(predictor):
    found = predictor.from_prompts(0, 5, (box(),))
    assert overlap(found.mask, FIRST) > 0.9
    assert found.mask.shape == FIRST.shape
    assert found.score == pytest.approx(0.9)
    assert found.confidence == pytest.approx(0.9)


def test_click_gives_the_object_under_it(predictor):
    found = predictor.from_prompts(0, 5, (point(22, 24),))
    assert overlap(found.mask, FIRST) > 0.9
    assert len(found.candidates) == 3
    assert np.array_equal(found.candidates[0][0], found.logits)


@pytest.mark.parametrize("radius", [4, 12, 60])
def test_click_finds_the_objects_scale(radius):
    labels = disc((400, 500), (230, 200), radius)[None]
    predictor = predictor_of(stack_of(labels))
    found = predictor.from_prompts(0, 0, (point(230, 200, index=0),))
    assert overlap(found.mask, labels[0]) > 0.85
    assert predictor.model.encoded <= len(CLICK_SCALES) <= 3
    assert 0.1 < 2 * radius / found.field.width < 1


def test_box_costs_one_encoding(predictor):
    predictor.from_prompts(0, 5, (box(),))
    assert (predictor.model.encoded, predictor.model.decoded) == (1, 1)


def test_asking_again_costs_nothing(predictor):
    first = predictor.from_prompts(0, 5, (box(),))
    again = predictor.from_prompts(0, 5, (box(),))  # another id, the same facts
    assert again is first
    assert (predictor.model.encoded, predictor.model.decoded) == (1, 1)


def test_next_prompt_reuses_the_embedding(predictor):
    first = box()
    predictor.from_prompts(0, 5, (first,))
    predictor.from_prompts(0, 5, (first, point(20, 20, False)))
    assert predictor.model.encoded == 1


def test_keys_tell_everything_apart(predictor):
    a, b = point(22, 24), point(23, 24)
    other_window = SlicePredictor(predictor.volume, Window(0.0, 1000.0), predictor.model)
    other_model = predictor_of(fingerprint="other")
    other_image = predictor_of(stack_of(TRUTH + 1))
    neighbour = predictor.from_prompts(0, 4, (box(index=4),))
    keys = [
        predictor.from_prompts(0, 5, (a,)).key,
        predictor.from_prompts(0, 5, (b,)).key,
        predictor.from_prompts(0, 5, (a, b)).key,
        predictor.from_prompts(0, 5, (b, a)).key,
        predictor.from_prompts(0, 4, (a,)).key,
        predictor.from_prompts(0, 5, (a,), neighbour).key,
        predictor.from_neighbour(0, 5, neighbour).key,
        other_window.from_prompts(0, 5, (a,)).key,
        other_model.from_prompts(0, 5, (a,)).key,
        other_image.from_prompts(0, 5, (a,)).key,
    ]
    assert len(set(keys)) == len(keys)


def test_each_prompt_sees_the_logits_of_those_before(predictor):
    first = predictor.from_prompts(0, 5, (box(),))
    predictor.from_prompts(0, 5, (box(), point(20, 20, False)))
    handed = predictor.model.seen[-1]
    assert np.array_equal(handed.logits, first.logits)
    assert not handed.is_neighbour


def test_negative_click_takes_away(predictor):
    before = predictor.from_prompts(0, 5, (box(),)).mask
    after = predictor.from_prompts(0, 5, (box(), point(16, 24, False))).mask
    assert not after[16, 24]
    assert before[16, 24]
    assert not (after & ~before).any()


def test_negative_click_may_come_first(predictor):
    found = predictor.from_prompts(0, 5, (point(16, 24, False), point(22, 24)))
    assert found.mask[26, 24]
    assert not found.mask[16, 24]


def test_click_beside_the_field_widens_it():
    labels = np.zeros((1, 300, 300), np.uint8)
    labels[0, disc((300, 300), (60, 60), 10)] = 1
    labels[0, disc((300, 300), (220, 230), 10)] = 1
    predictor = predictor_of(stack_of(labels))
    near = box((48.0, 48.0, 72.0, 72.0), index=0)
    found = predictor.from_prompts(0, 0, (near, point(220, 230, index=0)))
    assert overlap(found.mask, labels[0] > 0) > 0.7
    assert found.field.contains((50, 50, 229, 239))


@pytest.mark.parametrize("shape", [(300, 300), (60, 900)])
def test_whole_scribble_lies_in_the_field(shape):
    labels = np.zeros((1, *shape), np.uint8)
    labels[0, 20:44, 10 : shape[1] - 10] = 1
    predictor = predictor_of(stack_of(labels))
    stroke = ScribblePrompt(1, 1, 0, 0, ((32.0, 14.0), (32.0, shape[1] - 15.0)))
    found = predictor.from_prompts(0, 0, (stroke,))
    assert overlap(found.mask, labels[0] > 0) > 0.7
    for prompts in predictor.model.seen:
        points = np.array(prompts.points_yx)
        assert points.min() >= -0.5
        assert points.max() <= predictor.model.input_size - 0.5


def test_negative_scribble_takes_a_line_away(predictor):
    found = predictor.from_prompts(0, 5, (box(), scribble([(22.0, 16.0), (22.0, 32.0)], False)))
    assert not found.mask[22, 17:32].any()
    assert found.mask.any()


def test_second_box_starts_anew(predictor):
    second = (36.0, 44.0, 52.0, 60.0)
    found = predictor.from_prompts(0, 5, (box(), box(second)))
    assert overlap(found.mask, TRUTH[5] == 2) > 0.9


def test_mask_is_honoured_to_the_pixel(predictor):
    drawn = np.random.default_rng(0).random(FIRST.shape) > 0.7
    found = predictor.from_prompts(0, 5, (mask_of(drawn),))
    assert np.array_equal(found.mask, drawn)
    assert found.confidence == 1
    assert predictor.model.decoded == 0


def test_caller_cannot_spoil_what_is_remembered(predictor):
    for prompts in ((mask_of(FIRST),), (box(),)):
        predictor.from_prompts(0, 5, prompts).mask[:] = False
        assert predictor.from_prompts(0, 5, prompts).mask.any()


def test_click_refines_a_mask(predictor):
    found = predictor.from_prompts(0, 5, (mask_of(FIRST), point(16, 24, False)))
    assert not found.mask[16, 24]
    assert overlap(found.mask, FIRST) > 0.6


def test_box_after_a_mask_starts_anew(predictor):
    second = (36.0, 44.0, 52.0, 60.0)
    found = predictor.from_prompts(0, 5, (mask_of(FIRST), box(second)))
    assert np.array_equal(found.mask, predictor.from_prompts(0, 5, (box(second),)).mask)


def test_empty_mask_says_absent(predictor):
    empty = mask_of(np.zeros(FIRST.shape, bool))
    for prompts in ((empty,), (empty, point(22, 24, False))):
        found = predictor.from_prompts(0, 5, prompts)
        assert found.is_empty
        assert not found.mask.any()
        assert found.confidence == 0


def test_click_after_an_empty_mask_brings_the_object_back(predictor):
    empty = mask_of(np.zeros(FIRST.shape, bool))
    for prompt in (point(22, 24), box()):
        found = predictor.from_prompts(0, 5, (empty, prompt))
        assert overlap(found.mask, FIRST) > 0.9


def test_thin_mask_keeps_its_place(predictor):
    line = np.zeros(FIRST.shape, bool)
    line[5, 3:60] = True
    found = predictor.from_prompts(0, 5, (mask_of(line),))
    assert np.array_equal(found.mask, line)
    assert not found.is_empty


def test_neighbour_hands_on_mask_and_field(predictor):
    start = predictor.from_prompts(0, 5, (box(),))
    found = predictor.from_neighbour(0, 6, start)
    assert overlap(found.mask, FIRST) > 0.9
    handed = predictor.model.seen[-1]
    assert handed.is_neighbour
    assert handed.box_yxyx is None
    assert not handed.points_yx


def test_field_follows_the_object():
    labels = np.stack([disc((64, 200), (32, 30 + 6 * z), 10) for z in range(20)])
    predictor = predictor_of(stack_of(labels))
    found = predictor.from_prompts(0, 0, (box((21.0, 19.0, 43.0, 41.0), index=0),))
    for z in range(1, 20):
        found = predictor.from_neighbour(0, z, found)
        assert overlap(found.mask, labels[z]) > 0.85


def test_model_without_neighbours_gets_a_box(predictor):
    predictor.model.knows_neighbours = False
    start = predictor.from_prompts(0, 5, (box(),))
    found = predictor.from_neighbour(0, 6, start)
    handed = predictor.model.seen[-1]
    assert handed.box_yxyx is not None
    assert not handed.is_neighbour
    assert overlap(found.mask, FIRST) > 0.9


@pytest.mark.parametrize("axis", [1, 2])
def test_other_axes_and_square_fields(axis):
    volume = stack_of(TRUTH, spacing_zyx=(4.0, 1.0, 1.0))
    predictor = predictor_of(volume)
    truth = np.moveaxis(TRUTH, axis, 0)[23] == 1
    y, x = np.argwhere(truth).mean(0)
    found = predictor.from_prompts(axis, 23, (point(y, x, axis=axis, index=23),))
    assert overlap(found.mask, truth) > 0.6
    assert found.field.height * 4 == pytest.approx(found.field.width)


def test_unknown_spacing_means_square_pixels(predictor):
    assert predictor.pixel_aspect(1) == 1


def test_prompts_have_to_say_where(predictor):
    for prompts in ((), (point(3, 3, False),), (scribble([(3.0, 3.0)], False),)):
        with pytest.raises(ValueError, match="slice 5 has no box, mask or positive point"):
            predictor.from_prompts(0, 5, prompts)


@pytest.mark.parametrize("y", [-0.5, 63.49])
@pytest.mark.parametrize("x", [-0.5, 71.49])
def test_clicks_on_the_very_edge(predictor, y, x):
    found = predictor.from_prompts(0, 5, (point(y, x), point(x * 0 + 22, 24)))
    assert found.mask[22, 24]


@pytest.mark.parametrize("fill", [0.0, 5.0, np.nan])
def test_constant_images_do_not_break(fill):
    volume = Volume(np.full((3, 20, 30), fill, np.float32))
    predictor = predictor_of(volume)
    found = predictor.from_prompts(0, 1, (box((3.0, 3.0, 9.0, 9.0), index=1),))
    assert found.mask.shape == (20, 30)
    assert np.isfinite(found.logits).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 40), (1, 40, 1), (2, 3, 3)])
def test_smallest_planes(shape):
    predictor = predictor_of(Volume(np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)))
    found = predictor.from_prompts(0, 0, (point(0, 0, index=0),))
    assert found.mask.shape == shape[1:]


def test_colours_become_grey():
    colours = np.zeros((1, 64, 72, 3), np.uint8)
    colours[0, FIRST] = (200, 180, 220)
    predictor = predictor_of(Volume(colours, rgb=True))
    found = predictor.from_prompts(0, 0, (box(index=0),))
    assert overlap(found.mask, FIRST) > 0.9


def test_store_counts_painted_masks(predictor):
    predictor.from_prompts(0, 5, (mask_of(FIRST),))
    assert predictor.predictions.used > FIRST.size


def test_neighbours_get_logits_of_limited_certainty(predictor):
    known = predictor.from_prompts(0, 5, (box(),))
    predictor.from_neighbour(0, 6, known)
    handed = predictor.model.seen[-1].logits
    assert np.abs(known.logits).max() > HANDED_LOGIT
    assert np.abs(handed[handed > LOGIT_OUTSIDE]).max() == pytest.approx(HANDED_LOGIT)


def test_belief_goes_on_from_the_neighbour_and_starts_anew_where_the_user_clicks(predictor):
    known = predictor.from_prompts(0, 5, (box(),))
    near = predictor.from_neighbour(0, 6, known)
    far = predictor.from_neighbour(0, 7, near)
    assert near.is_handed
    assert near.belief == carry_belief(known.belief, near.score, near.presence)
    assert far.belief == carry_belief(near.belief, far.score, far.presence)
    assert known.radius == pytest.approx(np.sqrt(FIRST.sum() / np.pi), rel=0.1)
    clicked = predictor.from_prompts(0, 7, (point(22, 24, index=7),), near)
    assert clicked.belief == known.belief
    assert not clicked.is_handed


def test_growth_is_taken_off_but_thin_masks_stay():
    steep = np.linspace(-20, 20, 4096, dtype=np.float32).reshape(1, 64, 64)
    assert np.allclose(without_growth(steep), steep - GROWTH)
    thin = np.full((1, 64, 64), -3, np.float32)
    thin[0, 30] = np.linspace(0.01, 0.2, 64)  # a line that is nowhere sure
    left = np.count_nonzero(without_growth(thin) > 0) / 64
    assert 1 - 2 * GROWN_SHARE <= left < 1
    nothing = np.full((2, 8, 8), -1, np.float32)
    assert np.array_equal(without_growth(nothing), nothing)


class Unsure(ThresholdPredictor):
    """Its masks have an edge of low logits."""

    def decode(self, embedding, prompts):
        found = super().decode(embedding, prompts)
        return replace(found, logits=np.where(found.logits > 0, np.float32(0.2), found.logits))


def test_only_what_a_neighbour_handed_on_is_lowered():
    volume = stack_of(TRUTH)
    predictor = SlicePredictor(volume, resolve_window(volume, "auto"), Unsure())
    first = predictor.from_prompts(0, 5, (box(),))
    assert first.logits.max() == np.float32(0.2)
    handed = predictor.from_neighbour(0, 6, first)
    assert handed.logits.max() < 0.2
    clicked = predictor.from_prompts(0, 6, (point(22, 24, index=6),), first)
    assert clicked.logits.max() == np.float32(0.2)
