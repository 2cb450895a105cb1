"""Jobs: what another thread computes is what the owner's thread would."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from models import ThresholdPredictor, disc, overlap, stack_of, two_tubes
from stacksam.core.cleanup import CleanUp
from stacksam.session import Finish, Session
from stacksam.session.replay import replay

BOX_1, BOX_2 = (12, 14, 32, 34), (36, 44, 52, 60)


@pytest.fixture
def thread():
    with ThreadPoolExecutor(1) as pool:
        yield lambda call, *args: pool.submit(call, *args).result()


@pytest.fixture
def other():
    """The same session, in which nothing but public calls in one thread is used."""
    return Session(stack_of(two_tubes()), ThresholdPredictor())


def click_both(*sessions):
    for session in sessions:
        session.add_box(1, 6, BOX_1)
        session.add_point(1, (6, 16, 24), positive=False)
        session.add_box(2, 4, BOX_2)


def collect(job, cancel=None):
    return list(job.run(cancel))


# One slice


def test_slice_job_finds_what_predict_does(session, other, thread):
    click_both(session, other)
    job = session.slice_job(1, 6)
    assert (job.object_id, job.index, job.axis, len(job.prompts)) == (1, 6, 0, 2)
    prediction = session.accept(job, thread(job.run))
    expected = other.predict(1, 6)
    assert np.array_equal(prediction.mask, expected.mask)
    assert prediction.score == expected.score
    assert len(prediction.candidates) == len(expected.candidates)
    assert session.prediction(1, 6).score == prediction.score


def test_slice_job_is_refused_like_predict(session):
    session.add_point(1, (6, 16, 24), positive=False)
    for index, axis in ((6, 0), (7, 0), (6, 1)):
        with pytest.raises(ValueError, match="no box, mask or positive point"):
            session.slice_job(1, index, axis)
    with pytest.raises(ValueError, match="no object 4"):
        session.slice_job(4, 6)
    with pytest.raises(ValueError, match="slice index is 12"):
        session.slice_job(1, 12)


LATER = {
    "another prompt": lambda s: s.add_point(1, (6, 22, 24)),
    "a moved prompt": lambda s: s.move_prompt(1, yxyx=(10, 10, 30, 30)),
    "undo": lambda s: s.undo(),
    "removed prompts": lambda s: s.clear(1),
    "a removed object": lambda s: s.remove_object(1),
    "window": lambda s: s.set_window((0, 5000)),
    "model": lambda s: s.set_model(ThresholdPredictor(fingerprint="other")),
}


@pytest.mark.parametrize("change", LATER.values(), ids=LATER)
def test_late_predictions_are_dropped(session, change):
    session.add_box(1, 6, BOX_1)
    job = session.slice_job(1, 6)
    found = job.run()
    change(session)
    heard = []
    session.results_changed.connect(heard.append)
    assert session.accept(job, found) is None
    assert session.objects.get(1) is None or session.prediction(1, 6) is None
    assert heard == []


@pytest.mark.parametrize("change", LATER.values(), ids=LATER)
def test_predictions_are_outdated_by_the_same(session, change):
    session.add_box(1, 6, BOX_1)
    job = session.slice_job(1, 6)
    assert session.accept(job, job.run())
    change(session)
    assert session.prediction(1, 6) is None


def test_prompts_elsewhere_do_not_outdate_a_prediction(session):
    session.add_box(1, 6, BOX_1)
    job = session.slice_job(1, 6)
    found = job.run()
    session.add_box(2, 6, BOX_2)
    session.add_box(1, 8, BOX_1)
    session.rename(1, "tube")
    assert session.accept(job, found)


def test_undo_brings_the_prediction_back_where_its_prompts_are_back(session):
    session.add_box(1, 6, BOX_1)
    job = session.slice_job(1, 6)
    session.accept(job, job.run())
    session.add_point(1, (6, 22, 24))
    session.undo()
    assert session.prediction(1, 6) is not None


def test_choosing_from_an_accepted_prediction(session):
    session.add_point(1, (6, 22, 24))
    job = session.slice_job(1, 6)
    prediction = session.accept(job, job.run())
    prediction.choose(2)
    assert np.array_equal(session.predict(1, 6).mask, prediction.candidates[2].mask)


def test_accepted_predictions_are_heard_of(session):
    heard = []
    session.results_changed.connect(heard.append)
    session.add_box(1, 6, BOX_1)
    job = session.slice_job(1, 6)
    assert heard == []
    session.accept(job, job.run())
    assert heard == [1]


def test_few_predictions_are_kept(session):
    for index in range(12):
        for axis in (0, 1, 2):
            for shift in range(3):
                session.add_box(1, index + 12 * shift * (axis > 0), (2, 14, 9, 34), axis=axis)
    seen = {(p.axis, p.index) for p in session.objects[1].prompts}
    assert len(seen) > 64
    for axis, index in seen:
        job = session.slice_job(1, index, axis)
        session.accept(job, job.run())
    kept = [session.prediction(1, index, axis) is not None for axis, index in seen]
    assert kept == [False] * (len(seen) - 64) + [True] * 64


# Corrections


def test_corrections_show_what_propagating_again_will(session, model):
    session.add_box(2, 4, BOX_2)
    session.propagate(2)
    session.add_point(2, (7, 38, 52), positive=False)
    decoded = model.decoded
    job = session.slice_job(2, 7)
    assert session.accept(job, job.run())
    assert model.decoded == decoded + 1  # the way there is remembered
    shown = session.shown_slice(2, 7)
    assert not shown[38, 52]
    assert overlap(shown, two_tubes()[7] == 2) > 0.6
    assert np.array_equal(session.propagate(2).mask[7], shown)


def test_corrections_between_keyframes(session):
    for index in (2, 10):
        session.add_box(2, index, BOX_2)
    session.propagate(2)
    session.add_point(2, (5, 38, 52), positive=False)
    job = session.slice_job(2, 5)
    prediction = session.accept(job, job.run())
    assert np.array_equal(session.propagate(2).mask[5], prediction.mask)


def test_without_a_result_points_count_alone(session):
    session.add_box(2, 4, BOX_2)
    session.add_point(2, (7, 38, 52), positive=False)
    with pytest.raises(ValueError, match="slice 7 has no box"):
        session.slice_job(2, 7)


def test_correction_that_nothing_reaches(session):
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    session.add_point(1, (11, 5, 5), positive=False)
    job = session.slice_job(1, 11)
    with pytest.raises(ValueError, match="slice 11 has no box"):
        job.run()
    session.add_point(1, (11, 44, 52))
    job = session.slice_job(1, 11)
    assert session.accept(job, job.run()).mask[44, 52]


# The stack


def test_propagation_job_finds_what_propagate_does(session, other, thread):
    click_both(session, other)
    job = session.propagation_job([1, 2])
    seen = thread(collect, job)
    assert len(seen) <= job.n_slices
    results = session.accept_propagation(job)
    expected = other.propagate([1, 2])
    assert results == expected == {i: session.result(i) for i in (1, 2)}
    for object_id, index, found in seen:
        assert np.array_equal(found.mask, expected[object_id].mask[index])
        assert found.confidence == pytest.approx(expected[object_id].confidence[index])
    for object_id in (1, 2):
        assert session.is_current(object_id)
        assert np.array_equal(results[object_id].mask, expected[object_id].mask)


def test_accepting_is_one_step(session):
    click_both(session)
    job = session.propagation_job([1, 2])
    collect(job)
    session.accept_propagation(job)
    assert session.undo_text == "propagate 2 objects"
    session.undo()
    assert session.result(1) is session.result(2) is None
    assert session.undo_text == "add box to object 2"
    session.redo()
    assert session.result(1).mask.any()
    assert session.result(2).mask.any()


def test_undo_brings_the_former_result_back(session):
    session.add_box(2, 4, BOX_2)
    first = session.propagate(2)
    session.add_mask(2, 8, np.zeros((64, 72), bool))
    second = session.propagate(2)
    assert second != first
    session.undo()
    assert session.result(2) == first
    assert not session.is_current(2)
    session.undo()
    assert session.is_current(2)


def test_objects_share_out_contested_pixels(session):
    everything = np.ones((64, 72), bool)
    session.add_mask(1, 6, everything)
    session.add_mask(2, 4, everything)
    job = session.propagation_job([1, 2])
    collect(job)
    results = session.accept_propagation(job)
    assert not (results[1].mask & results[2].mask).any()
    assert results[1].mask[6].all()
    assert results[2].mask[4].all()


def test_cancelled_job_keeps_what_is_there(session, thread):
    click_both(session)
    job, cancel, seen = session.propagation_job([2, 1]), Event(), []

    def run():
        for found in job.run(cancel):
            seen.append(found[:2])
            if len(seen) == 3:
                cancel.set()

    thread(run)
    results = session.accept_propagation(job)
    assert sorted(results) == [1, 2]
    for object_id, result in results.items():
        assert not result.complete
        assert sorted(result.slices) == sorted(index for i, index in seen if i == object_id)


def test_what_is_there_may_be_accepted_in_mid_run(session):
    session.add_box(2, 4, BOX_2)
    job = session.propagation_job(2)
    run = job.run()
    for _ in range(3):
        next(run)
    assert len(session.accept_propagation(job)[2].slices) == 3
    list(run)
    assert len(session.accept_propagation(job)[2].slices) == 12
    session.undo()
    assert len(session.result(2).slices) == 3


@pytest.mark.parametrize("change", ["window", "model"])
def test_late_propagations_are_dropped(session, change):
    session.add_box(1, 6, BOX_1)
    job = session.propagation_job(1)
    collect(job)
    LATER[change](session)
    assert session.accept_propagation(job) == {}
    assert session.result(1) is None


def test_propagation_of_earlier_prompts_is_shown_but_not_current(session):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 4, BOX_2)
    job = session.propagation_job([1, 2])
    collect(job)
    session.add_point(1, (6, 16, 24), positive=False)
    session.remove_object(2)
    assert list(session.accept_propagation(job)) == [1]
    assert not session.is_current(1)
    assert session.shown_slice(1, 8).any()
    session.commit(1)
    assert np.flatnonzero(session.labels.any((1, 2))).tolist() == [6]


def test_job_of_a_cleared_object_leaves_nothing(session):
    session.add_box(1, 6, BOX_1)
    job = session.propagation_job(1)
    collect(job)
    session.clear(1)
    assert session.accept_propagation(job) == {}


def test_range_and_count_of_slices(session):
    session.add_box(2, 4, BOX_2)
    assert session.propagation_job(2).n_slices == 12
    job = session.propagation_job([2], z_range=(6, 99))
    assert job.n_slices == 7  # the keyframe is there, too
    assert len(collect(job)) <= 7


def test_sensitivity(truth):
    lengths = []
    for sensitivity in (0.0, 0.5, 1.0):
        session = Session(stack_of(truth), ThresholdPredictor(presence=0.95, score=0.9))
        session.add_box(2, 4, BOX_2)
        job = session.propagation_job(2, sensitivity=sensitivity)
        lengths.append(len(collect(job)))
    assert lengths[0] == 1
    assert lengths == sorted(set(lengths))
    with pytest.raises(ValueError, match="sensitivity is 2; it has to be between 0 and 1"):
        session.propagation_job(2, sensitivity=2)


def test_job_runs_while_the_owner_goes_on(session):
    """The owner edits, predicts and undoes while another thread propagates."""
    session.add_box(2, 4, BOX_2)
    expected = Session(session.volume, ThresholdPredictor())
    expected.add_box(2, 4, BOX_2)
    with ThreadPoolExecutor(1) as pool:
        job = session.propagation_job(2)
        running = pool.submit(collect, job)
        for _ in range(20):
            session.add_box(1, 6, BOX_1)
            session.predict(1, 6)
            session.undo()
            session.accept_propagation(job)
        running.result()
    session.accept_propagation(job)
    assert session.result(2) == expected.propagate(2)


# Shown slices


def test_shown_slice_is_the_prediction_then_the_result(session, truth):
    assert session.new_object() == 1
    assert session.shown_slice(1, 6) is None
    session.add_box(1, 6, BOX_1)
    assert session.shown_slice(1, 6) is None
    job = session.slice_job(1, 6)
    prediction = session.accept(job, job.run())
    assert np.array_equal(session.shown_slice(1, 6), prediction.mask)
    assert session.shown_slice(1, 7) is None
    result = session.propagate(1)
    assert np.array_equal(session.shown_slice(1, 7), result.mask[7])
    assert not session.shown_slice(1, 0).any()
    for axis, index in ((1, 22), (2, 24)):
        shown = session.shown_slice(1, index, axis)
        assert np.array_equal(shown, np.moveaxis(result.mask, axis, 0)[index])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shown_slices_across_any_axis(axis):
    labels = np.zeros((20, 22, 24), np.uint8)
    labels[6:14, 5:15, 7:18] = 1
    session = Session(stack_of(labels), ThresholdPredictor())
    session.add_point(1, (10, 10, 12), axis=axis)
    mask = session.propagate(1, axis=axis).mask
    for other in range(3):
        for index in range(labels.shape[other]):
            shown = session.shown_slice(1, index, other)
            assert np.array_equal(shown, np.moveaxis(mask, other, 0)[index])


def test_given_masks_are_shown_at_once(session):
    drawn = disc((64, 72), (20, 20), 5)
    session.add_mask(1, 6, drawn)
    assert np.array_equal(session.shown_slice(1, 6), drawn)
    session.add_mask(1, 6, np.zeros((64, 72), bool))
    assert not session.shown_slice(1, 6).any()


# Clean-up


@pytest.fixture
def spotted(truth):
    """A tube with a speck beside it that a box takes along."""
    labels = truth.copy()
    labels[3:10, 12:15, 14:17] = 1
    return Session(stack_of(labels, spacing_zyx=(2.0, 0.5, 0.5)), ThresholdPredictor())


def has_speck(mask):
    return bool(mask[13, 15])


def test_clean_up_of_predictions_results_and_commit(spotted):
    spotted.add_box(1, 6, BOX_1)
    raw = spotted.propagate(1)
    assert has_speck(raw.mask[6])
    spotted.set_clean_up(1, CleanUp(keep_largest=True))
    assert spotted.is_current(1)
    assert not has_speck(spotted.predict(1, 6).mask)
    assert not has_speck(spotted.predict(1, 6).candidates[1].mask)
    assert not has_speck(spotted.result(1).mask[6])
    assert not has_speck(spotted.shown_slice(1, 6))
    assert not any(has_speck(m) for _, m, _ in spotted.propagate_iter(1))
    spotted.commit(1)
    assert not has_speck(spotted.labels[6])
    assert spotted.labels[6].any()
    spotted.undo()
    spotted.undo()
    assert spotted.result(1) == raw
    assert spotted.objects[1].clean_up is None


def test_given_masks_are_never_cleaned(spotted):
    drawn = np.zeros((64, 72), bool)
    drawn[5, 5] = drawn[20:30, 20:30] = True
    spotted.add_mask(1, 6, drawn)
    spotted.set_clean_up(1, CleanUp(keep_largest=True))
    assert np.array_equal(spotted.predict(1, 6).mask, drawn)
    assert np.array_equal(spotted.propagate(1).mask[6], drawn)
    spotted.commit(1)
    assert np.array_equal(spotted.labels[6] > 0, drawn)


def test_sizes_in_millimetres(spotted, session):
    spotted.add_box(1, 6, BOX_1)
    spotted.set_clean_up(1, CleanUp(min_size=5.0, min_size_unit="mm"))  # 20 pixels
    assert not has_speck(spotted.predict(1, 6).mask)
    session.add_box(1, 6, BOX_1)
    with pytest.raises(ValueError, match="needs a spacing, which this image lacks"):
        session.set_clean_up(1, CleanUp(min_size=1.0, min_size_unit="mm"))


def test_no_clean_up_is_none(session):
    session.add_box(1, 6, BOX_1)
    session.set_clean_up(1, CleanUp())
    assert session.undo_text == "add box to object 1"


# Filling


def test_fill_between_does_not_ask_the_model(session, model):
    small, large = disc((64, 72), (20, 20), 4), disc((64, 72), (24, 28), 10)
    session.add_mask(1, 2, small)
    session.add_mask(1, 8, large)
    result = session.fill_between(1)
    assert model.decoded == model.encoded == 0
    assert np.array_equal(result.mask[2], small)
    assert np.array_equal(result.mask[8], large)
    areas = result.areas[2:9]
    assert (np.diff(areas) > 0).all()
    assert sorted(result.slices) == list(range(2, 9))
    assert result.keyframes == [2, 8]
    assert result.confidence[5] == pytest.approx(0.5)
    assert result.confidence[2] == 1
    assert session.is_current(1)
    session.commit(1)
    assert np.array_equal(session.labels > 0, result.mask)
    session.undo()
    assert session.undo_text == "fill object 1"
    session.undo()
    assert session.result(1) is None


def test_fill_between_stops_at_absent_slices(session):
    drawn = disc((64, 72), (20, 20), 4)
    for index in (1, 4, 9):
        session.add_mask(1, index, drawn)
    session.add_mask(1, 6, np.zeros((64, 72), bool))
    result = session.fill_between(1)
    assert sorted(result.slices) == [1, 2, 3, 4, 9]
    assert result.keyframes == [1, 4, 6, 9]


def test_fill_between_boxes_asks_for_those_slices_only(session, model):
    session.add_box(1, 4, BOX_1)
    session.add_box(1, 8, BOX_1)
    result = session.fill_between(1)
    assert model.decoded == 2
    assert overlap(result.mask[6], two_tubes()[6] == 1) > 0.9


def test_fill_between_needs_two_slices(session):
    session.add_mask(1, 4, disc((64, 72), (20, 20), 4))
    with pytest.raises(ValueError, match="no two slices to fill between"):
        session.fill_between(1)
    session.new_object()
    with pytest.raises(ValueError, match="no box, mask or positive point"):
        session.fill_between(2)


# What is done to whole objects


def test_three_planes_agree_and_keyframes_stay(session, other):
    click_both(session, other)
    plain, agreed = other.propagate(2), session.propagate(2, consensus=True)
    assert np.array_equal(plain.mask[4], agreed.mask[4])
    assert overlap(plain.mask, agreed.mask) > 0.8
    assert agreed.decoded > 2 * plain.decoded
    assert agreed.complete


def test_smoothing_changes_other_slices_than_keyframes(session, other):
    click_both(session, other)
    plain, smooth = other.propagate([1, 2]), session.propagate([1, 2], smooth=1.5)
    for i, keyframe in ((1, 6), (2, 4)):
        assert np.array_equal(plain[i].mask[keyframe], smooth[i].mask[keyframe])
        assert not np.array_equal(plain[i].mask, smooth[i].mask)


def test_a_job_yields_what_its_finish_changed(session):
    click_both(session)
    job = session.propagation_job([1, 2], finish=Finish(consensus=True, smooth=1.5))
    shown = {(i, index): found.mask for i, index, found in job.run()}
    for i, result in session.accept_propagation(job).items():
        stack = np.stack([shown.get((i, z), np.zeros_like(result.mask[0])) for z in range(12)])
        assert np.array_equal(stack, result.mask)


def test_finished_objects_are_replayed(session, other, tmp_path):
    click_both(session)
    session.start_journal(tmp_path / "journal")
    session.propagate(2, consensus=True, smooth=1.0)
    session.commit(2)
    session.stop_journal()
    again = replay(tmp_path / "journal", session.volume, session.model)
    assert np.array_equal(np.asarray(again.session.labels), np.asarray(session.labels))


@pytest.mark.parametrize("smooth", [-1, float("nan"), float("inf")])
def test_other_smoothing_is_refused(session, smooth):
    click_both(session)
    with pytest.raises(ValueError, match="smooth is"):
        session.propagate(1, smooth=smooth)
