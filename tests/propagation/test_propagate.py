"""Through the stack: keyframes, fronts, fusion, stop."""

from dataclasses import replace
from itertools import count
from threading import Event

import numpy as np
import pytest

from models import ThresholdPredictor, disc, overlap, stack_of, two_tubes
from stacksam.core.fields import Field
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet
from stacksam.core.windows import resolve_window
from stacksam.propagation import SlicePrediction, SlicePredictor, make_plan, run_plan, run_slice
from stacksam.propagation.belief import carry_belief
from stacksam.propagation.between import fuse

TRUTH = two_tubes()
FIRST, SECOND = TRUTH == 1, TRUTH == 2
BOX_1, BOX_2 = (12.0, 14.0, 32.0, 34.0), (36.0, 44.0, 52.0, 60.0)
_ids = count(1)


def box(index, yxyx=BOX_1, axis=0, object_id=1):
    return BoxPrompt(next(_ids), object_id, axis, index, yxyx)


def point(index, y, x, positive=True, axis=0):
    return PointPrompt(next(_ids), 1, axis, index, (float(y), float(x)), positive)


def mask_of(index, mask):
    return MaskPrompt.from_array(next(_ids), 1, 0, index, mask)


def absent(index):
    return mask_of(index, np.zeros(TRUTH.shape[1:], bool))


def predictor_of(labels=TRUTH, model=None, **options):
    volume = stack_of(labels, **options)
    return SlicePredictor(volume, resolve_window(volume), model or ThresholdPredictor())


def plan_of(prompts, axis=0, n_slices=12, z_range=None):
    return make_plan(PromptSet(tuple(prompts)), 1, axis, n_slices, z_range)


def run(predictor, prompts, axis=0, z_range=None, cancel=None):
    plan = plan_of(prompts, axis, predictor.volume.n_slices(axis), z_range)
    found = list(run_plan(predictor, plan, cancel))
    indices = [index for index, _ in found]
    assert len(set(indices)) == len(indices)
    return dict(found)


def volume_mask(found, shape=TRUTH.shape, axis=0):
    mask = np.zeros(shape, bool)
    for index, prediction in found.items():
        np.moveaxis(mask, axis, 0)[index] = prediction.mask
    return mask


@pytest.fixture
def predictor():
    return predictor_of()


@pytest.mark.parametrize("start", [3, 6, 9])
def test_object_is_found_in_both_directions_and_ends(predictor, start):
    found = run(predictor, [box(start)])
    assert sorted(found) == list(range(3, 10))
    assert overlap(volume_mask(found), FIRST) > 0.9


def test_object_may_reach_both_ends_of_the_stack(predictor):
    found = run(predictor, [box(4, BOX_2)])
    assert sorted(found) == list(range(12))
    assert overlap(volume_mask(found), SECOND) > 0.9


@pytest.mark.parametrize("axis", [1, 2])
def test_any_axis(axis):
    labels = np.zeros((20, 40, 44), np.uint8)
    labels[6:14, 10:30, 12:34] = 1
    predictor = predictor_of(labels, spacing_zyx=(2.0, 1.0, 1.0))
    yxyx = (5.0, 11.0, 15.0, 35.0) if axis == 1 else (5.0, 9.0, 15.0, 31.0)
    found = run(predictor, [box(20, yxyx, axis)], axis)
    assert overlap(volume_mask(found, labels.shape, axis), labels > 0) > 0.85


def test_single_slice(predictor):
    flat = predictor_of(TRUTH[5:6])
    found = run(flat, [box(0)])
    assert list(found) == [0]
    assert overlap(found[0].mask, FIRST[5]) > 0.9


def test_masks_are_keyframes_to_the_bit(predictor):
    drawn = {i: np.random.default_rng(i).random(TRUTH.shape[1:]) > 0.8 for i in (0, 5, 11)}
    found = run(predictor, [mask_of(i, m) for i, m in drawn.items()])
    for index, mask in drawn.items():
        assert np.array_equal(found[index].mask, mask)


def test_box_keyframes_follow_from_their_own_prompts_alone(predictor):
    alone = predictor.from_prompts(0, 8, (box(8, BOX_2),))
    found = run(predictor, [box(4), box(8, BOX_2)])
    assert np.array_equal(found[8].mask, alone.mask)


def test_absent_slice_stops_and_is_not_passed(predictor):
    found = run(predictor, [box(4, BOX_2), absent(7)])
    assert sorted(found) == list(range(7))


def test_keyframe_beyond_an_absent_slice_goes_on(predictor):
    found = run(predictor, [box(4, BOX_2), absent(7), box(9, BOX_2)])
    assert sorted(found) == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_two_absent_slices_leave_all_between_them(predictor):
    found = run(predictor, [box(1, BOX_2), absent(4), absent(8), box(10, BOX_2)])
    assert sorted(found) == [0, 1, 2, 3, 9, 10, 11]


def test_absent_slice_with_a_negative_click_is_still_absent(predictor):
    found = run(predictor, [box(4, BOX_2), absent(7), point(7, 44, 52, False)])
    assert sorted(found) == list(range(7))


def test_absent_slice_with_a_later_click_is_a_keyframe(predictor):
    found = run(predictor, [box(4, BOX_2), absent(7), point(7, 44, 52)])
    assert sorted(found) == list(range(12))


@pytest.mark.parametrize("knob", [{"presence": 0.4}, {"score": 0.2}])
def test_front_stops_where_the_model_doubts(knob):
    predictor = predictor_of(model=ThresholdPredictor(**knob))
    assert sorted(run(predictor, [box(4, BOX_2)])) == [4]


def test_nothing_is_computed_beyond_the_end(predictor):
    run(predictor, [box(6)])
    assert predictor.model.decoded == 7 + 2  # one look beyond either end


@pytest.mark.parametrize(
    ("z_range", "expected"), [((2, 7), range(2, 7)), ((-5, 99), range(12)), ((4, 5), [4])]
)
def test_range_limits_what_is_computed(predictor, z_range, expected):
    assert sorted(run(predictor, [box(4, BOX_2)], z_range=z_range)) == list(expected)


@pytest.mark.parametrize("z_range", [(5, 5), (7, 3), (40, 50), (-3, 0)])
def test_empty_range_is_refused(z_range):
    with pytest.raises(ValueError, match="holds no slice; this axis has slices 0 to 11"):
        plan_of([box(4)], z_range=z_range)


def test_prompts_have_to_say_where():
    for prompts in (
        [],
        [point(3, 1, 1, False)],
        [absent(2)],
        [box(3, axis=1)],
        [absent(2), absent(3)],
    ):
        with pytest.raises(ValueError, match="object 1 has no box, mask or positive point along"):
            plan_of(prompts)


def test_first_slice_with_points_is_a_keyframe_and_later_ones_correct():
    plan = plan_of([point(2, 5, 5, False), point(6, 22, 24), point(4, 22, 24), box(9)])
    assert list(plan.keyframes) == [6, 9]
    assert list(plan.corrections) == [2, 4]


def test_other_objects_and_axes_do_not_count():
    plan = plan_of([box(4), box(7, object_id=2), box(8, axis=1)])
    assert list(plan.keyframes) == [4]


def test_correction_refines_what_arrives(predictor):
    plain = run(predictor, [box(4)])
    corrected = run(predictor, [box(4), point(7, 16, 24, False)])
    assert plain[7].mask[16, 24]
    assert not corrected[7].mask[16, 24]
    assert overlap(corrected[7].mask, FIRST[7]) > 0.6
    handed = predictor.model.seen[-4]
    assert corrected[5] is plain[5]
    assert not handed.points_yx or handed.logits is not None


def test_correction_adds_what_was_missed(predictor):
    found = run(predictor, [box(4), point(7, 44, 52)])
    assert found[7].mask[44, 52]
    assert found[7].mask[22, 24]


def test_click_that_no_front_reaches_stands_for_itself():
    labels = np.zeros((14, 64, 72), np.uint8)
    labels[1:4, disc((64, 72), (22, 24), 9)] = 1
    labels[8:12, disc((64, 72), (40, 40), 9)] = 1
    found = run(predictor_of(labels), [box(2), point(9, 40, 40)])
    assert sorted(found) == [1, 2, 3, 8, 9, 10, 11]
    assert overlap(volume_mask(found, labels.shape), labels > 0) > 0.85


def test_such_a_click_stops_at_what_is_known_already():
    labels = np.zeros((12, 64, 72), np.uint8)
    labels[:, disc((64, 72), (22, 24), 9)] = 1
    stopping = Doubting(predictor_of(labels), {(1, 7), (1, 8), (1, 9), (-1, 2), (-1, 1), (-1, 0)})
    plan = plan_of([box(4), point(10, 22, 24)])
    indices = [index for index, _ in run_plan(stopping, plan)]
    assert sorted(indices) == list(range(3, 12))
    assert stopping.asked.count(6) == stopping.asked.count(2) == 1  # by the first front alone


class Doubting:
    """A slice predictor that does not see the object on some slices, if nobody clicks there."""

    def __init__(self, predictor, unseen, presence=0.0):
        self._predictor, self._unseen, self._presence = predictor, unseen, presence
        self.asked = []
        self.crop, self.model, self.volume = predictor.crop, predictor.model, predictor.volume
        self.predictions, self.slice_step = predictor.predictions, predictor.slice_step

    def from_prompts(self, axis, index, prompts, neighbour=None):
        self.asked.append(index)
        found = self._predictor.from_prompts(axis, index, prompts, neighbour)
        if neighbour is None or prompts:
            return found
        if not {index, (index - neighbour.index, index)} & self._unseen:
            return found
        belief = carry_belief(neighbour.belief, 0.5, self._presence)
        return replace(found, presence=self._presence, score=0.5, belief=belief)


# Branches and gaps


def test_all_branches_are_followed():
    labels = np.zeros((12, 64, 72), np.uint8)
    for z in range(12):
        apart = max(0, 3 * (z - 3))
        for y in (32 - apart, 32 + apart):
            labels[z, disc((64, 72), (y, 36), 6)] = 1
    found = run(predictor_of(labels), [box(1, (25.0, 29.0, 40.0, 44.0))])
    assert sorted(found) == list(range(12))
    assert overlap(volume_mask(found, labels.shape), labels > 0) > 0.9
    back = run(predictor_of(labels), [mask_of(11, labels[11] > 0)])  # two pieces become one
    assert overlap(volume_mask(back, labels.shape), labels > 0) > 0.9


@pytest.fixture
def tube():
    labels = np.zeros((14, 64, 72), np.uint8)
    labels[:, disc((64, 72), (22, 24), 9)] = 1
    return labels


@pytest.mark.parametrize("gap", [{7}, {7, 8}])
def test_a_short_gap_is_bridged_and_what_was_seen_in_it_is_kept(tube, gap):
    doubting = Doubting(predictor_of(tube), gap)
    found = dict(run_plan(doubting, plan_of([box(4)], n_slices=14)))
    assert sorted(found) == list(range(14))
    behind = max(gap) + 1
    assert found[behind].confidence > found[behind - 1].confidence


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: None,  # three slices
        lambda labels: labels[8:].fill(0),  # nothing behind it
        lambda labels: labels.__setitem__(np.s_[8:], np.roll(labels[8:], 14, 2)),  # elsewhere
    ],
)
def test_other_gaps_end_the_front(tube, change):
    change(tube)
    doubting = Doubting(predictor_of(tube), {7, 8, 9} if tube[8:, 22, 24].all() else {7})
    found = dict(run_plan(doubting, plan_of([box(4)], n_slices=14)))
    assert sorted(found) == list(range(7))


def test_an_object_is_not_looked_for_behind_a_gap_longer_than_half_its_radius():
    labels = np.zeros((14, 64, 72), np.uint8)
    labels[:, disc((64, 72), (22, 24), 9)] = 1
    found = {}
    for step in (4.0, 1.0):  # in pixels; one slice is always looked over
        thick = predictor_of(labels, spacing_zyx=(step, 1.0, 1.0))
        found[step] = dict(run_plan(Doubting(thick, {7, 8}), plan_of([box(4)], n_slices=14)))
    assert max(found[4.0]) == 6
    assert max(found[1.0]) == 13


def test_doubt_that_has_grown_ends_a_front_without_a_look_beyond(tube):
    doubting = Doubting(predictor_of(tube), set(range(5, 14)), presence=0.95)
    found = dict(run_plan(doubting, plan_of([box(4)], n_slices=14)))
    last = max(found)
    assert 4 < last < 13
    assert max(doubting.asked) == last + 1


def test_a_click_in_a_gap_is_shown_as_a_run_would(tube):
    doubting, prompts = Doubting(predictor_of(tube), {7}), [box(4), point(7, 5, 5, False)]
    plan = plan_of(prompts, n_slices=14)
    unsure = Doubting(predictor_of(tube), {7, 8})
    for predictor in (doubting, unsure):
        whole = dict(run_plan(predictor, plan))
        shown = run_slice(predictor, plan, 8)
        assert np.array_equal(shown.mask, whole[8].mask)


def test_useless_negative_clicks_are_harmless(predictor):
    found = run(predictor, [box(4), point(11, 5, 5, False)])
    assert sorted(found) == list(range(3, 10))


def test_editing_computes_only_the_intervals_beside_it(predictor):
    prompts = [box(0, BOX_2), box(5, BOX_2), box(11, BOX_2)]
    before = run(predictor, prompts)
    decoded = predictor.model.decoded
    moved = box(11, (35.0, 44.0, 52.0, 60.0))
    after = run(predictor, [*prompts[:2], moved])
    assert predictor.model.decoded - decoded <= 1 + 5 + 5  # the keyframe and both fronts beside it
    assert all(after[i] is before[i] for i in range(5))  # not even fused again
    decoded = predictor.model.decoded
    run(predictor, prompts)
    assert predictor.model.decoded == decoded


def test_running_again_costs_nothing_and_gives_the_same(predictor):
    prompts = [box(4), point(7, 16, 24, False), mask_of(9, FIRST[9])]
    first = volume_mask(run(predictor, prompts))
    counts = predictor.model.decoded, predictor.model.encoded
    assert np.array_equal(volume_mask(run(predictor, prompts)), first)
    assert (predictor.model.decoded, predictor.model.encoded) == counts
    assert np.array_equal(volume_mask(run(predictor_of(), prompts)), first)


def test_objects_share_embeddings():
    labels = np.zeros((6, 64, 64), np.uint8)
    labels[:, 20:30, 20:30], labels[:, 32:42, 32:42] = 1, 2
    predictor = predictor_of(labels)
    whole = (16.0, 16.0, 46.0, 46.0)
    list(run_plan(predictor, plan_of([box(2, whole)], n_slices=6)))
    encoded = predictor.model.encoded
    list(run_plan(predictor, plan_of([box(2, whole), point(2, 24, 24, False)], n_slices=6)))
    assert predictor.model.encoded == encoded


def test_two_fronts_are_fused_between_keyframes(predictor):
    small, large = disc((64, 72), (22, 24), 5), disc((64, 72), (22, 24), 9)
    labels = np.zeros((9, 64, 72), np.uint8)
    labels[:, large] = 1
    found = run(predictor_of(labels), [mask_of(0, small), mask_of(8, large)])
    assert sorted(found) == list(range(9))
    assert overlap(found[7].mask, large) > 0.9


WHOLE = Field(0.0, 0.0, 8.0, 8.0)


def fake_prediction(value, field=WHOLE, score=0.5):
    return SlicePrediction(b"k", 0, (8, 8), field, np.full((8, 8), value, np.float32), score, 1.0)


def test_nearer_front_counts_more():
    yes, no = fake_prediction(5.0, score=1.0), fake_prediction(-5.0, score=0.5)
    assert fuse(yes, no, 0.75).mask.all()
    assert not fuse(yes, no, 0.25).mask.any()
    assert fuse(yes, no, 0.75).score == pytest.approx(0.875)
    assert np.array_equal(fuse(yes, no, 0.7).logits, fuse(no, yes, 0.3).logits)


def test_overconfident_front_does_not_win_alone():
    assert not fuse(fake_prediction(1000.0), fake_prediction(-6.0), 0.4).mask.any()


def test_fusion_brings_both_into_one_field():
    other = Field(4.0, 4.0, 8.0, 8.0)
    fused = fuse(fake_prediction(5.0), fake_prediction(5.0, other), 0.6)
    assert fused.field == WHOLE
    assert fused.mask[5:, 5:].all()


def test_cancel_before_the_start_gives_nothing(predictor):
    cancel = Event()
    cancel.set()
    assert run(predictor, [box(4)], cancel=cancel) == {}
    assert predictor.model.decoded == 0


@pytest.mark.parametrize("prompts", [[box(4, BOX_2)], [box(0, BOX_2), box(11, BOX_2)]])
@pytest.mark.parametrize("after", [1, 3, 6])
def test_cancel_keeps_what_is_there(predictor, prompts, after):
    cancel, model = Event(), predictor.model
    decode = model.decode

    def counting(embedding, given):
        if model.decoded + 1 == after:
            cancel.set()
        return decode(embedding, given)

    model.decode = counting
    found = run(predictor, prompts, cancel=cancel)
    assert model.decoded == after
    assert len(found) == (after if len(prompts) == 1 else min(after, 2))
    whole = run(predictor, prompts)
    for index, prediction in found.items():  # nothing that the second front would have changed
        assert np.array_equal(prediction.logits, whole[index].logits)


def test_slices_stream(predictor):
    stream = run_plan(predictor, plan_of([box(4)]))
    assert next(stream)[0] == 4
    assert predictor.model.decoded == 1
    assert next(stream)[0] == 5
    assert predictor.model.decoded == 2


def test_between_keyframes_slices_stream_with_the_second_front(predictor):
    stream = run_plan(predictor, plan_of([box(0, BOX_2), box(11, BOX_2)]))
    assert [next(stream)[0] for _ in range(3)] == [0, 11, 10]
    assert predictor.model.decoded == 2 + 10 + 1


@pytest.mark.parametrize(
    "prompts",
    [
        [box(4)],
        [box(2, BOX_2), point(5, 38, 52, positive=False), box(9, BOX_2), point(11, 44, 52)],
        [box(2, BOX_2), absent(6), box(9, BOX_2)],
        [box(4, BOX_2), absent(6)],
    ],
)
def test_one_slice_is_what_the_whole_run_gives(predictor, prompts):
    whole = run(predictor, prompts)
    for index in range(12):
        found = run_slice(predictor_of(), plan_of(prompts), index)
        assert (found is None) == (index not in whole)
        if found is not None:
            assert np.array_equal(found.logits, whole[index].logits)


def test_one_slice_costs_the_way_there(predictor):
    run_slice(predictor, plan_of([box(4, BOX_2)]), 7)
    assert predictor.model.decoded == 4
    cancel = Event()
    cancel.set()
    assert run_slice(predictor, plan_of([box(4, BOX_2)]), 9, cancel) is None


def test_sensitivity_is_a_share(predictor):
    for value in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="sensitivity is"):
            make_plan(PromptSet((box(4),)), 1, 0, 12, sensitivity=value)


def test_front_that_leaks_into_something_far_wider_stops():
    labels = np.zeros((12, 64, 72), np.uint8)
    labels[:6, disc((64, 72), (32, 36), 6)] = 1
    labels[6:, disc((64, 72), (32, 36), 25)] = 1
    thin = (26.0, 30.0, 39.0, 43.0)
    assert sorted(run(predictor_of(labels), [box(3, thin)])) == list(range(6))
    wide = (7.0, 11.0, 58.0, 62.0)
    assert sorted(run(predictor_of(labels), [box(9, wide)])) == list(range(12))
    between = [box(3, thin), box(9, wide)]  # the user says that it is one object
    assert sorted(run(predictor_of(labels), between)) == list(range(12))
