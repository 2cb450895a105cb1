"""Objects, prompts and labels: edits that need no model."""

import numpy as np
import pytest

from models import ThresholdPredictor, disc, stack_of, two_tubes
from stacksam.core.windows import Window
from stacksam.session import Session

BOX_1, BOX_2 = (12, 14, 32, 34), (36, 44, 52, 60)


@pytest.fixture
def heard(session):
    events = []
    for name in ("prompts", "objects", "labels", "results"):
        getattr(session, f"{name}_changed").connect(lambda i, name=name: events.append((name, i)))
    for name in ("active", "window"):
        getattr(session, f"{name}_changed").connect(lambda name=name: events.append(name))
    return events


# Objects


def test_new_objects_are_active_and_have_their_own_ids(session, heard):
    assert session.active_object is None
    assert session.new_object() == 1
    assert session.objects[1].name == "object 1"
    assert session.active_object == 1
    assert session.new_object("liver") == 2
    assert session.objects[2].name == "liver"
    session.remove_object(2)
    assert session.active_object is None
    assert session.new_object() == 3
    session.undo()
    assert list(session.objects) == [1]
    assert session.new_object() == 4
    assert heard.count("active") == 6


def test_a_prompt_for_a_new_id_makes_it_active(session):
    session.add_box(7, 6, BOX_1)
    assert session.active_object == 7
    session.add_box(3, 6, BOX_1)
    session.add_box(7, 5, BOX_1)
    assert session.active_object == 3
    assert session.new_object() == 8


def test_active_object_is_not_part_of_the_history(session, heard):
    session.new_object()
    session.new_object()
    heard.clear()
    session.active_object = 1
    session.active_object = 1
    assert heard == ["active"]
    assert session.undo_text == "new object object 2"
    session.active_object = None
    with pytest.raises(ValueError, match="no object 9"):
        session.active_object = 9


def test_visibility_is_a_fact_but_no_step(session, heard):
    session.new_object()
    heard.clear()
    session.set_visible(1, False)
    session.set_visible(1, False)
    assert heard == [("objects", 1)]
    assert not session.objects[1].is_visible
    assert session.undo_text == "new object object 1"
    session.set_visible(1, True)
    assert session.objects[1].is_visible
    with pytest.raises(ValueError, match="no object 9"):
        session.set_visible(9, True)


def test_colours(session, heard):
    session.new_object()
    heard.clear()
    session.set_color(1, (0, 0.5, 1))
    assert session.objects[1].color == (0.0, 0.5, 1.0)
    assert heard == [("objects", 1)]
    for color in ((0, 1), (0, 0, 2), "red", (0, 0, np.nan), None):
        with pytest.raises(ValueError, match="color is"):
            session.set_color(1, color)


def test_locks_can_be_opened(session):
    everything = np.ones((64, 72), bool)
    session.add_box(1, 6, BOX_1)
    session.commit(1)
    own = session.labels == 1
    session.add_mask(2, 6, everything)
    session.commit(2)
    assert (session.labels[own] == 1).all()
    session.set_locked(1, False)
    assert not session.objects[1].locked
    session.commit(2)
    assert not (session.labels == 1).any()
    session.undo()
    assert (session.labels[own] == 1).all()


def test_committing_again_locks_again(session):
    session.add_box(1, 6, BOX_1)
    session.commit(1)
    session.set_locked(1, False)
    session.add_point(1, (6, 16, 24), positive=False)
    session.commit(1)
    assert session.objects[1].locked


# Prompts


def test_moved_prompts_keep_id_and_order(session, heard):
    ids = [
        session.add_point(1, (6, 22, 24)),
        session.add_box(1, 6, BOX_1),
        session.add_scribble(1, 6, [(20, 20), (24, 28)], width=5),
    ]
    heard.clear()
    assert session.move_prompt(ids[0], zyx=(7.4, 20, 21)) == ids[0]
    session.move_prompt(ids[1], yxyx=(-5, 10, 30, 30))
    session.move_prompt(ids[2], points_yx=[(10, 10)])
    point, box, scribble = session.objects[1].prompts
    assert [p.prompt_id for p in (point, box, scribble)] == ids
    assert (point.index, point.yx) == (7, (20, 21))
    assert box.yxyx == (0, 10, 30, 30)
    assert (scribble.points_yx, scribble.width) == (((10, 10),), 5)
    assert heard == [("prompts", 1)] * 3
    for _ in range(3):
        session.undo()
    assert session.objects[1].prompts[0].yx == (22, 24)
    assert session.objects[1].prompts[1].yxyx == BOX_1


def test_a_point_keeps_its_axis_and_sign_when_moved(session):
    prompt_id = session.add_point(1, (6, 22, 24), positive=False, axis=2)
    session.move_prompt(prompt_id, zyx=(5, 20, 30))
    (point,) = session.objects[1].prompts
    assert (point.axis, point.index, point.yx, point.positive) == (2, 30, (5, 20), False)


def test_moving_nowhere_is_no_step(session, heard):
    prompt_id = session.add_box(1, 6, BOX_1)
    heard.clear()
    session.move_prompt(prompt_id, yxyx=BOX_1)
    assert heard == []


def test_impossible_moves_are_refused(session):
    point = session.add_point(1, (6, 22, 24))
    box = session.add_box(1, 6, BOX_1)
    mask = session.add_mask(1, 7, np.ones((64, 72), bool))
    calls = [
        (lambda: session.move_prompt(point, zyx=(99, 0, 0)), "outside the volume"),
        (
            lambda: session.move_prompt(point, yxyx=BOX_1),
            "a point is moved by zyx=..., not by yxyx",
        ),
        (lambda: session.move_prompt(box, yxyx=(3, 3, 3, 9)), "empty"),
        (lambda: session.move_prompt(box), "a box is moved by yxyx=..., not by -"),
        (lambda: session.move_prompt(mask, mask=None), "a mask cannot be moved"),
        (lambda: session.move_prompt(99, zyx=(0, 0, 0)), "no prompt 99"),
    ]
    for call, message in calls:
        with pytest.raises(ValueError, match=message):
            call()
    assert session.undo_text == "add mask to object 1"


def test_an_object_without_prompts_has_no_result(session):
    box = session.add_box(1, 6, BOX_1)
    session.propagate(1)
    session.remove_prompt(box)
    assert session.result(1) is None
    session.undo()
    assert session.result(1).mask.any()


# Window and model


def test_window_is_a_step(session, heard):
    session.set_window("full")
    assert session.window == Window(100, 900)
    session.set_window((0, 2000))
    session.set_window((0.0, 2000.0))
    assert heard == ["window"] * 2
    session.undo()
    assert session.window == Window(100, 900)
    with pytest.raises(ValueError, match="unknown"):
        session.set_window("ct-hair")


def test_the_model_sees_the_new_window(session):
    session.add_box(1, 6, BOX_1)
    assert session.predict(1, 6).mask.any()
    session.set_window((0, 10_000))
    assert not session.predict(1, 6).mask.any()
    session.undo()
    assert session.predict(1, 6).mask.any()


def test_another_window_leaves_results_to_be_committed(session):
    session.add_box(1, 6, BOX_1)
    result = session.propagate(1)
    session.set_window((0, 10_000))
    assert session.is_current(1)
    session.commit(1)
    assert np.array_equal(session.labels > 0, result.mask)


def test_another_model(session, heard):
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    heard.clear()
    other = ThresholdPredictor(score=0.6, fingerprint="other")
    session.set_model(other)
    session.set_model(other)
    assert heard == [("results", 1)]
    assert session.model is other
    assert session.predict(1, 6).score == pytest.approx(0.6)
    assert session.undo_text == "propagate object 1"
    assert len(session.objects[1].prompts) == 1


# Imports


@pytest.fixture
def labels(truth):
    labels = truth.astype(np.int64)
    labels[labels == 2] = 40
    return labels


def test_imported_labels_become_objects(session, labels, heard):
    assert session.import_labels(labels) == [1, 2]
    assert [(o.name, o.label_id, o.locked) for o in session.objects.values()] == [
        ("imported 1", 1, True),
        ("imported 2", 40, True),
    ]
    assert np.array_equal(session.labels, labels)
    assert [e for e in heard if e[0] == "labels"] == [("labels", 1)]
    assert session.undo_text == "import labels"
    session.undo()
    assert session.objects == {}
    assert not session.labels.any()


def test_imports_keep_what_is_there(session, labels, truth):
    session.add_mask(5, 6, disc((64, 72), (22, 24), 3))
    session.commit(5)
    ids = session.import_labels(labels)
    assert ids == [6, 7]
    assert session.objects[6].label_id == 41  # 1 is taken
    assert session.objects[7].label_id == 40
    assert (session.labels[6][disc((64, 72), (22, 24), 3)] == 1).all()
    assert np.array_equal(session.labels == 40, truth == 2)
    assert np.array_equal((session.labels == 1) | (session.labels == 41), truth == 1)


def test_large_labels_fit(session, truth):
    session.import_labels(np.where(truth == 1, 70_000, 0))
    assert session.labels.dtype == np.uint32
    assert session.labels.max() == 70_000


@pytest.mark.parametrize("axis", [0, 2])
def test_imported_keyframes(session, labels, truth, axis, model):
    ids = session.import_labels(labels, axis=axis, as_keyframes=True)
    assert ids == [1, 2]
    assert [o.name for o in session.objects.values()] == ["imported 1", "imported 2"]
    assert not session.labels.any()
    prompts = session.objects[1].prompts
    assert {p.axis for p in prompts} == {axis}
    here = np.flatnonzero(np.moveaxis(truth == 1, axis, 0).any((1, 2)))
    assert [p.index for p in prompts] == here.tolist()
    for index in here:
        expected = np.moveaxis(truth == 1, axis, 0)[index]
        assert np.array_equal(session.predict(1, index, axis).mask, expected)
    assert model.decoded == 0
    session.undo()
    assert session.objects == {}


def test_keyframes_of_one_object(session, labels, truth):
    session.add_box(4, 6, BOX_1)
    assert session.import_labels(labels, as_keyframes=True, object_id=4) == [4]
    assert np.array_equal(session.predict(4, 6).mask, truth[6] > 0)
    assert session.add_point(4, (6, 5, 5)) == 14
    assert session.objects[4].name == "object 4"


def test_bool_and_flat_labels():
    session = Session(stack_of(two_tubes()[5]), ThresholdPredictor())
    assert session.import_labels(two_tubes()[5] > 0) == [1]
    assert set(np.unique(session.labels)) == {0, 1}


def test_labels_that_cannot_be_imported(session, labels):
    calls = [
        (lambda: session.import_labels(labels[:-1]), ValueError, "the image has"),
        (lambda: session.import_labels(labels * 0), ValueError, "nothing but background"),
        (lambda: session.import_labels(labels - 1), ValueError, "reach from -1"),
        (lambda: session.import_labels(labels << 40), ValueError, "32 bits"),
        (lambda: session.import_labels(labels * 0.5), TypeError, "whole numbers"),
        (lambda: session.import_labels(labels, 3, True), ValueError, "axis is 3"),
        (lambda: session.import_labels(labels, 0, True, 0), ValueError, "object id is 0"),
    ]
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()
    assert session.objects == {}
    assert not session.can_undo
