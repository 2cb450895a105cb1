"""The session: prompts in, labels out, and everything can be taken back."""

from dataclasses import FrozenInstanceError
from threading import Event

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import stacksam
from models import ThresholdPredictor, disc, overlap, stack_of, tiny_predictor, two_tubes
from stacksam.core.prompts import BoxPrompt, PromptSet
from stacksam.io.prompt_files import PromptFile
from stacksam.session import Session

BOX_1, BOX_2 = (12, 14, 32, 34), (36, 44, 52, 60)
TRUTH = two_tubes()


class Heard:
    """Collects what a session says."""

    def __init__(self, session):
        self.events = []
        for name in ("prompts", "objects", "labels"):
            signal = getattr(session, f"{name}_changed")
            signal.connect(lambda i, name=name: self.events.append((name, i)))

    def take(self):
        events, self.events[:] = list(self.events), []
        return events


def state_of(session):
    results = {i: session.result(i) for i in session.objects}
    return session.objects, session.window, results, session.labels.tolist()


# The main job


def test_box_to_labels(session, truth):
    session.add_box(1, 6, BOX_1)
    result = session.propagate(1)
    assert overlap(result.mask, truth == 1) > 0.9
    assert result.mask.dtype == bool
    assert result.complete
    assert result.keyframes == [6]
    assert result.confidence.shape == (12,)
    assert result.confidence[6] == pytest.approx(0.9)
    assert (result.confidence[3:10] > 0.7).all()
    assert not result.confidence[[0, 1, 2, 10, 11]].any()
    assert session.commit(1, name="left tube") == 1
    assert np.array_equal(session.labels > 0, result.mask)
    assert session.objects[1].name == "left tube"


def test_public_names_lead_here():
    session = stacksam.Session(stack_of(TRUTH), ThresholdPredictor())
    assert isinstance(session, Session)


def test_iteration_gives_the_same_as_propagate(session):
    session.add_box(1, 6, BOX_1)
    slices = {i: (mask, score) for i, mask, score in session.propagate_iter(1)}
    result = session.propagate(1)
    assert sorted(slices) == list(range(3, 10))
    for index, (mask, score) in slices.items():
        assert np.array_equal(result.mask[index], mask)
        assert result.confidence[index] == pytest.approx(score)


@pytest.mark.parametrize("axis", [1, 2])
def test_other_axes(axis):
    labels = np.zeros((20, 40, 44), np.uint8)
    labels[6:14, 10:30, 12:34] = 1
    session = Session(stack_of(labels, spacing_zyx=(2.0, 1.0, 1.0)), ThresholdPredictor())
    session.add_point(1, (10, 20, 22), axis=axis)
    result = session.propagate(1, axis=axis)
    assert overlap(result.mask, labels > 0) > 0.85
    assert result.confidence.shape == (labels.shape[axis],)
    assert result.keyframes == [20 if axis == 1 else 22]
    session.commit(1)
    assert np.array_equal(session.labels > 0, result.mask)


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_lazy_arrays_give_the_same(kind, tmp_path):
    array = np.asarray(stack_of(TRUTH).data)
    if kind == "dask":
        array = da.from_array(array, chunks=(5, 17, 30))
    if kind == "zarr":
        array = zarr.create_array(tmp_path / "ü.zarr", data=array, chunks=(1, 40, 40))
    session = Session(stacksam.Volume(array), ThresholdPredictor())
    session.add_box(1, 6, BOX_1)
    expected = Session(stack_of(TRUTH), ThresholdPredictor())
    expected.add_box(1, 6, BOX_1)
    assert np.array_equal(session.propagate(1).mask, expected.propagate(1).mask)


def test_flat_images_are_one_slice():
    session = Session(stack_of(TRUTH[5]), ThresholdPredictor())
    session.add_point(1, (0, 22, 24))
    assert overlap(session.propagate(1).mask[0], TRUTH[5] == 1) > 0.9
    assert session.labels.shape == (1, 64, 72)


def test_colour_images():
    colours = np.zeros((*TRUTH.shape, 3), np.uint8)
    colours[TRUTH > 0] = (220, 160, 200)
    session = Session(stacksam.Volume(colours, rgb=True), ThresholdPredictor())
    session.add_box(1, 6, BOX_1)
    assert overlap(session.propagate(1).mask, TRUTH == 1) > 0.9


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 20, 30), np.uint8),
        np.full((3, 20, 30), np.nan),
        np.random.default_rng(0).random((3, 20, 30)) > 0.5,
        np.full((3, 20, 30), np.inf, np.float32),
        np.ones((1, 1, 1), np.int64),
    ],
    ids=["constant", "nan", "bool", "infinite", "one voxel"],
)
def test_odd_images_do_not_break(array):
    session = Session(stacksam.Volume(array), tiny_predictor())
    session.add_point(1, (0, 0, 0))
    result = session.propagate(1)
    assert result.mask.shape == array.shape
    assert np.isfinite(result.confidence).all()


def test_real_network_runs_through(truth):
    session = Session(stack_of(truth), tiny_predictor())
    session.add_box(1, 6, BOX_1)
    session.add_point(1, (6, 22, 24))
    session.add_scribble(1, 6, [(20, 20), (24, 28)])
    result = session.propagate(1)
    assert result.decoded >= 3
    assert 0 <= result.confidence.min() <= result.confidence.max() <= 1


# Prompts and predictions


def test_prediction_of_one_slice(session, truth):
    session.add_point(1, (6.2, 22.4, 23.7))
    found = session.predict(1, 6)
    assert overlap(found.mask, truth[6] == 1) > 0.9
    assert 0 <= found.score <= 1
    assert np.array_equal(found.candidates[0].mask, found.mask)
    assert len(found.candidates) == 3


def test_choosing_a_candidate_is_an_edit(session):
    session.add_point(1, (6, 22, 24))
    found = session.predict(1, 6)
    chosen = found.candidates[2].mask
    assert not np.array_equal(chosen, found.mask)
    prompt_id = found.choose(2)
    assert np.array_equal(session.predict(1, 6).mask, chosen)
    assert session.objects[1].prompts[-1].prompt_id == prompt_id
    assert session.undo()
    assert np.array_equal(session.predict(1, 6).mask, found.mask)
    assert session.redo()
    assert np.array_equal(session.propagate(1).mask[6], chosen)


@pytest.mark.parametrize("k", [-1, 3, 10])
def test_candidates_end(session, k):
    session.add_point(1, (6, 22, 24))
    with pytest.raises(ValueError, match="choose 0 to 2"):
        session.predict(1, 6).choose(k)


def test_mask_is_honoured_exactly(session):
    drawn = np.random.default_rng(0).random((64, 72)) > 0.6
    session.add_box(1, 6, BOX_1)
    session.add_mask(1, 6, drawn)
    assert np.array_equal(session.predict(1, 6).mask, drawn)
    assert np.array_equal(session.propagate(1).mask[6], drawn)
    session.commit(1)
    assert np.array_equal(session.labels[6] == 1, drawn)


def test_later_clicks_refine_a_mask(session, truth):
    session.add_mask(1, 6, truth[6] == 1)
    session.add_point(1, (6, 16, 24), positive=False)
    assert not session.predict(1, 6).mask[16, 24]
    assert overlap(session.predict(1, 6).mask, truth[6] == 1) > 0.6


def test_absent_slice_stops(session):
    session.add_box(2, 4, BOX_2)
    session.add_mask(2, 7, np.zeros((64, 72), bool))
    result = session.propagate(2)
    assert np.flatnonzero(result.mask.any((1, 2))).tolist() == list(range(7))
    assert result.keyframes == [4, 7]


def test_points_go_to_the_nearest_slice(session):
    session.add_point(1, (5.5, 22, 24))
    session.add_point(1, (5.4, 22, 24), axis=2)
    assert [(p.axis, p.index) for p in session.objects[1].prompts] == [(0, 6), (2, 24)]


def test_boxes_are_clipped(session):
    session.add_box(1, 6, (-5, -5, 32, 34))
    assert session.objects[1].prompts[0].yxyx == (0, 0, 32, 34)


def test_removing_and_clearing(session):
    ids = [
        session.add_box(1, 6, BOX_1),
        session.add_point(1, (6, 20, 20)),
        session.add_box(1, 8, BOX_1),
    ]
    session.add_point(1, (6, 22, 24), axis=1)
    session.remove_prompt(ids[1])
    assert len(session.objects[1].prompts) == 3
    session.clear(1, 6)
    assert [(p.axis, p.index) for p in session.objects[1].prompts] == [(0, 8), (1, 22)]
    session.clear(1)
    assert session.objects[1].prompts == ()


def test_object_list_is_a_description(session):
    session.add_box(1, 6, BOX_1)
    info = session.objects[1]
    assert (info.name, info.label_id, info.locked) == ("object 1", None, False)
    assert all(0 <= c <= 1 for c in info.color)
    with pytest.raises(FrozenInstanceError):
        info.name = "x"
    session.objects.clear()
    assert list(session.objects) == [1]


def test_prompt_ids_are_never_used_twice(session):
    first = session.add_point(1, (6, 22, 24))
    session.undo()
    second = session.add_point(1, (6, 22, 24))
    session.remove_prompt(second)
    assert len({first, second, session.add_point(1, (6, 22, 24))}) == 3


def test_prompts_file_is_one_step(session):
    prompts = PromptSet((BoxPrompt(1, 5, 0, 6, (12.0, 14.0, 32.0, 34.0)),))
    session.load(PromptFile(prompts, names={5: "tube"}))
    assert session.objects[5].name == "tube"
    assert session.add_point(5, (6, 20, 20)) == 2
    session.undo()
    session.undo()
    assert session.objects == {}
    session.add_point(1, (6, 22, 24))
    with pytest.raises(ValueError, match="already has objects"):
        session.load(PromptFile(prompts))


@pytest.mark.parametrize("point", [(12, 5, 5), (-1, 5, 5), (5, 64, 5), (5, 5, 72), (5, -0.6, 5)])
def test_points_outside_are_refused(session, point):
    with pytest.raises(ValueError, match="outside the volume"):
        session.add_point(1, point)
    assert session.objects == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_coordinates_have_to_be_finite(session, bad):
    with pytest.raises(ValueError, match="finite"):
        session.add_point(1, (5, bad, 5))
    with pytest.raises(ValueError, match="finite"):
        session.add_box(1, 5, (0, 0, bad, 5))
    with pytest.raises(ValueError, match="finite"):
        session.add_scribble(1, 5, [(1, bad)])


def test_other_bad_prompts_are_refused(session):
    calls = [
        (lambda: session.add_box(1, 5, (3, 3, 3, 9)), "empty"),
        (lambda: session.add_box(1, 5, (70, 3, 90, 9)), "outside"),
        (lambda: session.add_box(1, 12, BOX_1), "slices 0 to 11"),
        (lambda: session.add_box(1, 5, BOX_1, axis=3), "axis is 3"),
        (lambda: session.add_scribble(1, 5, []), "no points"),
        (lambda: session.add_scribble(1, 5, [(1, 1)], width=0), "width"),
        (lambda: session.add_mask(1, 5, np.zeros((3, 3), bool)), "shape"),
        (lambda: session.add_mask(1, 5, np.arange(64 * 72).reshape(64, 72)), "two values"),
        (lambda: session.add_point(0, (5, 5, 5)), "object id is 0"),
        (lambda: session.add_point(True, (5, 5, 5)), "object id is True"),
        (lambda: session.add_point("liver", (5, 5, 5)), "object id is 'liver'"),
    ]
    for call, message in calls:
        with pytest.raises(ValueError, match=message):
            call()
    assert session.objects == {}
    assert not session.undo()


def test_unknown_objects_and_prompts_are_refused(session):
    for call in (session.propagate, session.commit, session.clear, session.remove_object):
        with pytest.raises(ValueError, match="no object 9"):
            call(9)
    with pytest.raises(ValueError, match="no object 9"):
        session.predict(9, 3)
    with pytest.raises(ValueError, match="no prompt 4"):
        session.remove_prompt(4)


def test_prediction_needs_something_that_says_where(session):
    session.add_box(1, 6, BOX_1)
    session.add_point(1, (8, 5, 5), positive=False)
    for index in (7, 8):
        with pytest.raises(ValueError, match=f"slice {index} has no box, mask or positive point"):
            session.predict(1, index)
    with pytest.raises(ValueError, match="slice index is 12"):
        session.predict(1, 12)


# What results depend on

edits = st.lists(
    st.one_of(
        st.tuples(st.just("box"), st.integers(3, 9)),
        st.tuples(st.just("point"), st.integers(3, 9), st.booleans()),
        st.tuples(st.just("mask"), st.integers(6, 9), st.booleans()),
        st.tuples(st.just("predict"), st.integers(3, 9)),
        st.tuples(st.just("propagate")),
        st.tuples(st.just("undo redo")),
        st.tuples(st.just("other object")),
    ),
    max_size=10,
)


def play(session, edits, *, only_prompts=False):
    session.add_box(1, 5, BOX_1)
    for kind, *values in edits:
        if kind == "box":
            session.add_box(1, values[0], BOX_1)
        elif kind == "point":
            y = 22 if values[1] else 17
            session.add_point(1, (values[0], y, 24), positive=values[1])
        elif kind == "mask":
            session.add_mask(1, values[0], disc((64, 72), (22, 24), 7) & values[1])
        elif only_prompts:
            continue
        elif kind == "predict":
            try:
                session.predict(1, values[0])
            except ValueError:
                assert not session.objects[1].prompts or values[0] != 5
        elif kind == "propagate":
            session.propagate(1)
        elif kind == "undo redo":
            session.undo()
            session.redo()
        else:
            session.add_box(2, 4, BOX_2)
            session.propagate(2)
    return session.propagate(1)


@settings(max_examples=20, deadline=None)
@given(edits)
def test_results_follow_from_the_ordered_prompts_alone(edits):
    volume = stack_of(TRUTH)
    busy = play(Session(volume, ThresholdPredictor()), edits)
    quiet = play(Session(volume, ThresholdPredictor()), edits, only_prompts=True)
    assert np.array_equal(busy.mask, quiet.mask)
    assert np.array_equal(busy.confidence, quiet.confidence)
    assert busy.keyframes == quiet.keyframes


def test_order_of_prompts_is_meaning(truth):
    masks = []
    for order in ((0, 1), (1, 0)):
        session = Session(stack_of(truth), ThresholdPredictor())
        for step in order:
            if step:
                session.add_mask(1, 6, truth[6] == 1)
            else:
                session.add_point(1, (6, 16, 24), positive=False)
        masks.append(session.predict(1, 6).mask)
    assert not masks[1][16, 24]
    assert np.array_equal(masks[0], truth[6] == 1)


def test_only_what_depends_on_an_edit_is_computed(session, model):
    for index in (0, 5, 11):
        session.add_box(2, index, BOX_2)
    first = session.propagate(2)
    assert first.decoded == model.decoded
    session.add_point(2, (11, 38, 52), positive=False)
    second = session.propagate(2)
    assert 0 < second.decoded <= 1 + 5 + 5
    session.undo()
    assert session.propagate(2).decoded == 0


def test_objects_share_embeddings(session, model):
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    encoded = model.encoded
    session.add_box(2, 6, BOX_1)
    session.propagate(2)
    assert model.encoded == encoded


def test_window_is_one_for_the_whole_stack(truth):
    session = Session(stack_of(truth), ThresholdPredictor(), window=(0, 10_000))
    session.add_box(1, 6, BOX_1)
    assert not session.predict(1, 6).mask.any()  # everything is dark in this window
    with pytest.raises(ValueError, match="unknown"):
        Session(stack_of(truth), ThresholdPredictor(), window="ct-hair")


# Several objects, progress, cancel


def test_list_of_objects_gives_a_dict(session, truth):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 6, BOX_2)
    for ids in ([1, 2], (1, 2), session.objects, np.array([1, 2])):
        results = session.propagate(ids)
        assert list(results) == [1, 2]
        for object_id, result in results.items():
            assert overlap(result.mask, truth == object_id) > 0.9
    assert session.propagate([]) == {}


def test_progress_counts_up_to_the_end(session):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 6, BOX_2)
    seen = []
    session.propagate(1, progress=lambda *args: seen.append(args))
    assert [done for done, _ in seen] == [1, 2, 3, 4, 5, 6, 7, 12]
    assert {total for _, total in seen} == {12}
    seen.clear()
    session.propagate([1, 2], progress=lambda *args: seen.append(args))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (24, 24)


def test_cancel_keeps_what_is_there(session):
    session.add_box(2, 4, BOX_2)
    cancel, seen = Event(), []

    def progress(done, total):
        seen.append(done)
        if done == 3:
            cancel.set()

    result = session.propagate(2, progress=progress, cancel=cancel)
    assert not result.complete
    assert result.mask.any((1, 2)).sum() == 3
    assert max(seen) == 3
    session.commit(2)
    assert np.array_equal(session.labels > 0, result.mask)
    assert session.propagate(2).complete


def test_run_cancelled_at_once_does_not_empty_a_label(session):
    session.add_box(2, 4, BOX_2)
    session.propagate(2)
    session.commit(2)
    cancel = Event()
    cancel.set()
    assert not session.propagate(2, cancel=cancel).mask.any()
    session.commit(2)
    assert session.labels[4].any()


def test_broken_off_iteration_can_be_committed(session):
    session.add_box(2, 4, BOX_2)
    for index, _, _ in session.propagate_iter(2):
        if index == 6:
            break
    session.commit(2)
    assert np.flatnonzero(session.labels.any((1, 2))).tolist() == [4, 5, 6]


def test_prompts_may_change_during_an_iteration(session):
    session.add_box(2, 4, BOX_2)
    for index, _, _ in session.propagate_iter(2):
        if index == 6:
            session.add_mask(2, 7, np.zeros((64, 72), bool))
    assert session.objects[2].prompts[-1].index == 7
    assert not session.propagate(2).mask[7:].any()


def test_cancelled_run_leaves_no_trace_in_the_next(session):
    session.add_box(2, 4, BOX_2)
    cancel = Event()
    stream = session.propagate_iter(2, cancel=cancel)
    next(stream)
    cancel.set()
    assert list(stream) == []
    assert session.propagate(2).mask.any((1, 2)).all()


def test_range_of_slices(session):
    session.add_box(2, 4, BOX_2)
    result = session.propagate(2, z_range=(3, 8))
    assert np.flatnonzero(result.mask.any((1, 2))).tolist() == [3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match="holds no slice"):
        session.propagate(2, z_range=(8, 8))


# Commit


def commit_both(session):
    for object_id, box in ((1, BOX_1), (2, BOX_2)):
        session.add_box(object_id, 6, box)
        session.propagate(object_id)
        session.commit(object_id)


def test_labels_count_up(session, truth):
    commit_both(session)
    assert {o.label_id for o in session.objects.values()} == {1, 2}
    assert all(o.locked for o in session.objects.values())
    for label_id in (1, 2):
        assert overlap(session.labels == label_id, truth == label_id) > 0.9


def test_committed_objects_are_protected(session, truth):
    everything = np.ones((64, 72), bool)
    commit_both(session)
    before = session.labels.copy()
    session.add_mask(3, 6, everything)
    session.commit(3)
    assert np.array_equal(session.labels[before > 0], before[before > 0])
    assert (session.labels[6][before[6] == 0] == 3).all()
    assert np.array_equal(session.labels == 1, before == 1)


def test_overwriting_has_to_be_asked_for(session):
    commit_both(session)
    session.add_mask(3, 6, np.ones((64, 72), bool))
    session.commit(3, overwrite=True)
    assert (session.labels[6] == 3).all()
    session.undo()
    assert set(np.unique(session.labels[6])) == {0, 1, 2}


def test_committing_again_clears_earlier_voxels(session):
    session.add_box(2, 4, BOX_2)
    session.propagate(2)
    session.commit(2)
    session.add_mask(2, 8, np.zeros((64, 72), bool))
    result = session.propagate(2)
    assert session.commit(2) == 1
    assert np.array_equal(session.labels > 0, result.mask)
    assert not session.labels[8:].any()


def test_another_label_moves_the_object(session):
    session.add_box(1, 6, BOX_1)
    session.commit(1)
    before = session.labels.copy()
    assert session.commit(1, label_id=7) == 7
    assert np.array_equal(session.labels == 7, before == 1)
    assert set(np.unique(session.labels)) == {0, 7}
    session.undo()
    assert np.array_equal(session.labels, before)


@pytest.mark.parametrize("label_id", [0, -3, 2**32])
def test_impossible_labels_are_refused(session, label_id):
    session.add_box(1, 6, BOX_1)
    with pytest.raises(ValueError, match=f"label is {label_id}; it has to be between 1 and"):
        session.commit(1, label_id=label_id)
    assert not session.labels.any()


def test_labels_of_others_are_refused(session):
    commit_both(session)
    with pytest.raises(ValueError, match="label 1 belongs to another object"):
        session.commit(2, label_id=1)


def test_without_propagation_the_prompted_slices_are_written(session, truth):
    session.add_box(1, 6, BOX_1)
    session.add_point(1, (8, 5, 5), positive=False)
    session.add_point(1, (6, 22, 24), axis=1)
    session.commit(1)
    across = session.predict(1, 22, axis=1).mask
    expected = np.zeros(truth.shape, bool)
    expected[6] |= session.predict(1, 6).mask
    expected[:, 22] |= across
    assert np.array_equal(session.labels > 0, expected)


def test_nothing_to_commit_is_said(session):
    session.add_point(1, (6, 5, 5), positive=False)
    with pytest.raises(ValueError, match="nothing to commit"):
        session.commit(1)


def test_outdated_propagation_is_not_committed(session):
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    session.add_point(1, (6, 16, 24), positive=False)
    session.commit(1)
    assert np.flatnonzero(session.labels.any((1, 2))).tolist() == [6]
    session.undo()
    session.undo()  # the click: now the propagation fits again
    session.commit(1)
    assert np.flatnonzero(session.labels.any((1, 2))).tolist() == list(range(3, 10))


def test_dtype_grows_beyond_255_objects():
    labels = np.zeros((1, 40, 40), np.uint8)
    session = Session(stack_of(labels), ThresholdPredictor())
    for number in range(300):
        mask = np.zeros((40, 40), bool)
        mask[number // 40 * 5, number % 40] = True
        session.add_mask(number + 1, 0, mask)
        assert session.commit(number + 1) == number + 1
    assert session.labels.dtype == np.uint16
    assert len(np.unique(session.labels)) == 301
    assert session.undo_text == "commit object 300"
    for _ in range(600):
        assert session.undo()
    assert not session.labels.any()
    while session.redo():
        pass
    assert session.labels.max() == 300


def test_removing_an_object_frees_its_voxels(session):
    commit_both(session)
    session.remove_object(1)
    assert list(session.objects) == [2]
    assert set(np.unique(session.labels)) == {0, 2}
    session.undo()
    assert set(np.unique(session.labels)) == {0, 1, 2}
    assert session.objects[1].prompts


# Undo, redo, signals


def test_everything_can_be_taken_back_and_done_again(session, truth):
    steps = [
        lambda: session.add_box(1, 6, BOX_1),
        lambda: session.add_point(1, (6, 16, 24), positive=False),
        lambda: session.propagate(1),
        lambda: session.commit(1, name="a"),
        lambda: session.add_scribble(2, 4, [(44, 50), (44, 54)]),
        lambda: session.predict(2, 4).choose(1),
        lambda: session.rename(2, "b"),
        lambda: session.commit(2, overwrite=True),
        lambda: session.clear(1, 6),
        lambda: session.add_mask(1, 7, truth[7] == 1),
        lambda: session.commit(1),
        lambda: session.remove_object(2),
    ]
    states = [state_of(session)]
    for step in steps:
        step()
        states.append(state_of(session))
        assert states[-1] != states[-2]
    for state in states[-2::-1]:
        assert session.undo()
        assert state_of(session) == state
    assert not session.undo()
    for state in states[1:]:
        assert session.redo()
        assert state_of(session) == state
    assert not session.redo()


def test_new_edit_ends_redo(session):
    session.add_box(1, 6, BOX_1)
    session.undo()
    session.add_box(2, 6, BOX_2)
    assert not session.redo()
    assert list(session.objects) == [2]


def test_signals_say_what_changed(session):
    heard = Heard(session)
    session.add_box(1, 6, BOX_1)
    assert heard.take() == [("objects", 1), ("prompts", 1)]
    session.add_point(1, (6, 22, 24))
    assert heard.take() == [("prompts", 1)]
    session.commit(1, name="tube")
    assert heard.take() == [("objects", 1), ("labels", 1)]
    session.rename(1, "pipe")
    assert heard.take() == [("objects", 1)]
    session.undo()
    assert heard.take() == [("objects", 1)]
    session.undo()
    assert heard.take() == [("objects", 1), ("labels", 1)]
    session.undo()
    assert heard.take() == [("prompts", 1)]
    session.redo()
    session.redo()
    heard.take()
    session.remove_object(1)
    assert sorted(heard.take()) == [("labels", 1), ("objects", 1), ("prompts", 1)]


def test_commit_of_another_mask_is_heard_when_undone(session):
    session.add_box(1, 6, BOX_1)
    session.commit(1)
    session.propagate(1)
    session.commit(1)
    heard = Heard(session)
    session.undo()
    assert heard.take() == [("labels", 1)]


def test_equal_values_emit_nothing(session):
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    session.commit(1, name="tube")
    heard = Heard(session)
    session.rename(1, "tube")
    session.clear(1, 3)
    session.commit(1)
    session.predict(1, 6)
    session.propagate(1)
    assert heard.take() == []
    session.undo()  # the commit, not one of the above
    assert not session.labels.any()


def test_refused_edits_emit_nothing(session):
    heard = Heard(session)
    with pytest.raises(ValueError, match="outside"):
        session.add_point(1, (99, 0, 0))
    assert heard.take() == []
    assert session.objects == {}
