"""The whole task in a real window, with real mouse and key events."""

import json
import threading

import numpy as np
import pytest

from models import ThresholdPredictor, overlap, two_tubes
from window_support import why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")
from qtpy.QtCore import Qt

import stacksam
from hand import press
from stacksam.widgets.amounts import volume_text
from stacksam.widgets.object_table import Column

TUBES = two_tubes()
BOXES = {1: (11, 13, 33, 35), 2: (34, 42, 54, 62)}  # around both tubes, from pixel to pixel
NO, CTRL, SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


def draw_box(one, number, index=6, object_id=1):
    """Drag a box around a tube on a slice, and wait for the object's mask."""
    desk = one.bench.desk
    desk.go_to(index)
    press(one.dock.prompts.buttons["box"])
    y0, x0, y1, x1 = BOXES[number]
    one.hand.drag(one.image, [(index, y0, x0), (index, y1, x1)])
    one.wait(lambda: shown(one, object_id, index).any())


def shown(one, number, index=None):
    """What the preview shows of an object."""
    preview = one.bench.desk.preview
    if preview.layer is None:
        return np.zeros(1, bool)
    preview_of = np.asarray(preview.layer.data) == number
    return preview_of if index is None else preview_of[index]


def propagate(one):
    press(one.dock.propagation.run_button)
    one.wait(lambda: not one.bench.desk.run.is_running)
    one.bench.desk.live.finish_drawing()


def test_two_objects_from_boxes_to_a_file(open_bench, tmp_path):
    one = open_bench()
    desk = one.bench.desk
    draw_box(one, 1)
    np.testing.assert_array_equal(shown(one, 1, 6), TUBES[6] == 1)
    assert not shown(one, 1, 5).any()
    propagate(one)
    np.testing.assert_array_equal(shown(one, 1), TUBES == 1)
    assert "7 slices" in one.dock.message_line.text

    press(one.dock.commit.commit_button)
    labels = one.viewer.layers["stack labels"]
    np.testing.assert_array_equal(labels.data == 1, TUBES == 1)
    desk.live.finish_drawing()
    assert not shown(one, 1).any()  # not drawn twice

    draw_box(one, 2, object_id=2)  # the next prompt begins a new object, beside the first
    propagate(one)
    np.testing.assert_array_equal(shown(one, 2), TUBES == 2)
    press(one.dock.commit.commit_button)
    np.testing.assert_array_equal(labels.data, TUBES)
    assert one.viewer.layers.selection.active.name == "StackSAM shapes"  # still ready to draw

    one.hand.key(Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(labels.data, np.where(TUBES == 1, 1, 0))
    desk.live.finish_drawing()
    np.testing.assert_array_equal(shown(one, 2), TUBES == 2)
    one.hand.key(Qt.Key.Key_Z, CTRL | SHIFT)
    np.testing.assert_array_equal(labels.data, TUBES)

    one.bench.commands.export(str(tmp_path / "labels.nii.gz"))
    one.wait(lambda: "Wrote labels.nii.gz." in one.dock.message_line.text)
    np.testing.assert_array_equal(stacksam.read(tmp_path / "labels.nii.gz").data, TUBES)
    assert not (tmp_path / "labels_names.json").exists()  # nobody has given names

    one.bench.session.rename(2, "Gefäß")
    one.bench.commands.export(str(tmp_path / "labels.nii.gz"))
    one.wait(lambda: "labels_names.json" in one.dock.message_line.text)
    written = (tmp_path / "labels_names.json").read_text(encoding="utf-8")
    assert json.loads(written) == {"1": "object 1", "2": "Gefäß"}
    assert "name: Gefäß" in labels.get_status((6, 44, 52), world=False)["value"]


def test_the_window_gives_what_a_headless_session_gives(open_bench, tmp_path, quick_model):
    one = open_bench(scale=(2.0, 0.5, 0.5), units=("mm",) * 3)
    draw_box(one, 1)
    propagate(one)
    one.bench.desk.go_to(8)
    one.hand.key(Qt.Key.Key_Q)
    one.hand.click(one.image, (8, 44, 52))
    one.settle()
    press(one.dock.commit.commit_button)  # a result that is outdated is renewed before
    one.wait(lambda: bool(one.bench.session.labels.any()))
    one.bench.session.save(tmp_path / "saved")
    volume = one.bench.session.volume
    again = stacksam.Session.restore(tmp_path / "saved", volume, ThresholdPredictor())
    labels = one.viewer.layers["stack labels"].data
    np.testing.assert_array_equal(again.labels, labels)
    fresh = stacksam.Session(volume, ThresholdPredictor(), window=again.window)
    for prompt in again.objects[1].prompts:
        if prompt.kind == "box":
            fresh.add_box(1, prompt.index, prompt.yxyx, axis=prompt.axis)
        else:
            fresh.add_point(1, prompt.zyx, prompt.positive, axis=prompt.axis)
    fresh.propagate(1)
    fresh.commit(1)
    np.testing.assert_array_equal(fresh.labels, labels)


def test_three_sides_and_smoothing_are_shown_as_they_are_kept(open_bench):
    one = open_bench()
    draw_box(one, 1)
    one.dock.propagation.consensus_check.setChecked(True)
    one.dock.propagation.smooth_check.setChecked(True)
    propagate(one)
    kept = one.bench.session.result(1).mask
    assert kept.any()
    np.testing.assert_array_equal(np.asarray(one.bench.desk.preview.layer.data) == 1, kept)
    fresh = stacksam.Session(one.bench.session.volume, ThresholdPredictor())
    (box,) = one.bench.session.objects[1].prompts
    fresh.add_box(1, box.index, box.yxyx)
    result = fresh.propagate(1, consensus=True, smooth=1.0)
    np.testing.assert_array_equal(kept, result.mask)


def test_the_list_tells_slices_and_volume_from_the_propagation_on(open_bench):
    one = open_bench(scale=(2.0, 0.5, 0.5), units=("mm",) * 3)
    table = one.dock.objects.table

    def row():
        return [table.index(0, column).data() for column in (Column.SLICES, Column.SIZE)]

    draw_box(one, 1)
    assert row() == ["", ""]
    propagate(one)
    known = ["7", volume_text(0.5 * np.count_nonzero(TUBES == 1))]
    one.wait(lambda: row() == known)
    press(one.dock.commit.commit_button)
    one.settle()
    assert row() == known


def test_objects_are_kept_inside_their_box(open_bench):
    one = open_bench()
    draw_box(one, 1)
    one.bench.session.move_prompt(1, yxyx=(12, 14, 32, 26))  # half of the tube
    panel = one.dock.propagation
    panel.more.set_open(True)
    panel.range_check.setChecked(True)
    panel.first_spin.setValue(4)
    press(panel.inside_check)
    propagate(one)
    kept = one.bench.session.result(1).mask
    expected = TUBES == 1
    expected[:4] = expected[:, :, 26:] = False
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(shown(one, 1), kept)
    press(one.dock.commit.commit_button)
    np.testing.assert_array_equal(one.viewer.layers["stack labels"].data == 1, kept)


def test_cancel_keeps_what_is_there(open_bench, monkeypatch, quick_model):
    one = open_bench()
    desk = one.bench.desk
    draw_box(one, 2)
    go, decode = threading.Event(), quick_model.decode
    started = len(quick_model.seen)

    def slow(embedding, prompts):
        if len(quick_model.seen) - started >= 3:
            go.wait(30)
        return decode(embedding, prompts)

    monkeypatch.setattr(quick_model, "decode", slow)
    press(one.dock.propagation.run_button)
    one.wait(lambda: np.count_nonzero(shown(one, 1).any(axis=(1, 2))) >= 3)  # slices stream in
    assert one.dock.propagation.is_running
    press(one.dock.propagation.cancel_button)
    go.set()
    one.wait(lambda: not desk.run.is_running)
    desk.live.finish_drawing()
    n_slices = np.count_nonzero(shown(one, 1).any(axis=(1, 2)))
    assert 3 <= n_slices < 12
    assert len(desk.session.result(1).slices) == n_slices
    assert not desk.session.result(1).complete
    assert one.dock.propagation.run_button.isEnabled()


def test_points_are_added_moved_deleted_and_undone(open_bench):
    one = open_bench()
    desk, session = one.bench.desk, one.bench.session
    desk.go_to(6)
    one.hand.key(Qt.Key.Key_Q)
    one.hand.click(one.image, (6, 22, 24))
    one.wait(lambda: shown(one, 1, 6).any())
    assert overlap(shown(one, 1, 6), TUBES[6] == 1) > 0.95
    points = one.viewer.layers["StackSAM points"]
    assert one.viewer.layers.selection.active == points

    one.hand.key(Qt.Key.Key_W)
    one.hand.click(one.image, (6, 17, 24))
    one.settle()
    green, red = points.face_color
    assert green[1] > green[0]
    assert red[0] > red[1]
    assert [p.positive for p in session.objects[1].prompts] == [True, False]
    assert not shown(one, 1, 6)[17, 24]

    points.mode = "select"  # drag the red one away
    one.hand.drag(points, [points.data[1], (6, 40, 24)])
    one.settle()
    assert session.objects[1].prompts[1].yx == pytest.approx((40, 24), abs=0.5)
    assert shown(one, 1, 6)[17, 24]

    one.hand.key(Qt.Key.Key_Delete)  # it is still selected
    one.settle()
    assert [p.positive for p in session.objects[1].prompts] == [True]

    for n_points in (2, 2, 1, 0):
        one.hand.key(Qt.Key.Key_Z, CTRL)
        assert len(points.data) == n_points
    one.settle()
    assert not shown(one, 1).any()


def test_a_click_beside_the_image_is_an_error_in_words(open_bench):
    one = open_bench()
    one.bench.desk.points.start(positive=True)
    one.bench.desk.points.layer.add((6, 500, 3))
    one.wait(lambda: "outside" in one.dock.message_line.text)
    assert len(one.bench.desk.points.layer.data) == 0
    assert not one.bench.session.objects


def test_painting_makes_a_keyframe_and_undo_takes_it_back(open_bench):
    one = open_bench()
    desk, session = one.bench.desk, one.bench.session
    draw_box(one, 1)
    propagate(one)
    desk.go_to(4)
    before = shown(one, 1).copy()
    one.hand.key(Qt.Key.Key_E, SHIFT)
    preview = desk.preview.layer
    assert (preview.mode, preview.selected_label) == ("paint", 1)
    preview.brush_size = 4
    one.hand.drag(one.image, [(4, 50, 10), (4, 50, 20)])
    one.settle()
    assert preview.data[4, 50, 15] == 1
    prompt = session.objects[1].prompts[-1]
    assert (prompt.kind, prompt.index) == ("mask", 4)
    np.testing.assert_array_equal(prompt.to_array(), preview.data[4] == 1)
    np.testing.assert_array_equal(prompt.to_array() & before[4], before[4])

    one.hand.key(Qt.Key.Key_Z, CTRL)  # napari's own key for labels, while the brush is in use
    one.settle()
    np.testing.assert_array_equal(shown(one, 1), before)
    assert [p.kind for p in session.objects[1].prompts] == ["box"]

    preview.mode = "erase"
    one.hand.drag(one.image, [(4, 22, 20), (4, 22, 28)])
    one.settle()
    erased = session.objects[1].prompts[-1]
    assert not erased.to_array()[22, 24]
    assert erased.to_array().sum() < before[4].sum()
    preview.undo()  # from a script or the menu: a change like any other
    one.wait(lambda: session.objects[1].prompts[-1].to_array()[22, 24])


def test_scribble_and_lasso(open_bench):
    one = open_bench()
    desk, session = one.bench.desk, one.bench.session
    desk.go_to(6)
    one.hand.key(Qt.Key.Key_S, SHIFT)
    one.hand.drag(one.image, [(6, 20, 20), (6, 22, 24), (6, 24, 28)])
    one.wait(lambda: shown(one, 1, 6).any())
    assert session.objects[1].prompts[0].kind == "scribble"
    assert overlap(shown(one, 1, 6), TUBES[6] == 1) > 0.95

    one.hand.key(Qt.Key.Key_N)  # new object
    one.hand.key(Qt.Key.Key_O, SHIFT)
    around = [(6, 40, 45), (6, 40, 60), (6, 50, 60), (6, 50, 45), (6, 41, 45)]
    one.hand.drag(one.image, around)
    one.wait(lambda: shown(one, 2, 6).any())
    assert [p.kind for p in session.objects[2].prompts] == ["mask"]
    lasso = shown(one, 2, 6)
    assert lasso[45, 52]
    assert not lasso[38, 52]
    assert 100 < lasso.sum() < 200
    assert len(desk.shapes.layer.data) == 0  # the outline goes, the mask stays


def test_another_candidate_by_key(open_bench):
    one = open_bench()
    session = one.bench.session
    one.bench.desk.go_to(6)
    one.hand.key(Qt.Key.Key_Q)
    one.hand.click(one.image, (6, 22, 24))
    one.wait(lambda: one.dock.candidates.count == 3)
    first = shown(one, 1, 6).copy()
    for number in (1, 2):
        one.hand.key(Qt.Key.Key_K)
        one.settle()
        assert session.objects[1].prompts[-1].kind == "mask"
        assert one.dock.candidates.shown == number
    assert not np.array_equal(shown(one, 1, 6), first)
    for _ in range(2):
        one.hand.key(Qt.Key.Key_Z, CTRL)
    one.settle()
    np.testing.assert_array_equal(shown(one, 1, 6), first)


def test_the_strip_leads_to_the_least_certain_slice(open_bench):
    one = open_bench()
    draw_box(one, 1)
    propagate(one)
    strip = one.dock.strip
    assert strip.plot.n_slices == len(TUBES)
    assert strip.plot.keyframes == (6,)
    np.testing.assert_array_equal(np.asarray(strip.plot.area) > 0, (TUBES == 1).any(axis=(1, 2)))
    one.hand.key(Qt.Key.Key_U)
    assert one.bench.desk.view.index == strip.least_certain()


def test_one_slice_at_a_time(open_bench):
    one = open_bench()
    draw_box(one, 2)
    one.hand.key(Qt.Key.Key_Period)
    one.wait(lambda: one.bench.desk.view.index == 7)
    one.hand.key(Qt.Key.Key_Period)
    one.wait(lambda: one.bench.desk.view.index == 8)
    assert sorted(one.bench.session.result(1).slices) == [6, 7, 8]


def test_edit_again_and_commit_again(open_bench):
    one = open_bench()
    draw_box(one, 1)
    propagate(one)
    press(one.dock.commit.commit_button)
    one.bench.session.active_object = 1
    press(one.dock.objects.edit_button)
    one.bench.desk.live.finish_drawing()
    np.testing.assert_array_equal(shown(one, 1), TUBES == 1)
    one.bench.desk.go_to(6)  # the panel went to the slice on which it is largest
    one.hand.key(Qt.Key.Key_E, SHIFT)
    one.hand.drag(one.image, [(6, 55, 5), (6, 55, 8)])
    one.settle()
    press(one.dock.commit.commit_button)
    one.wait(lambda: one.bench.session.objects[1].is_locked)
    assert one.viewer.layers["stack labels"].data[6, 55, 6] == 1


def test_an_object_that_is_not_on_a_slice_ends_before_it(open_bench):
    one = open_bench()
    session = one.bench.session
    draw_box(one, 2)
    propagate(one)
    assert shown(one, 1, 9).any()
    one.bench.desk.go_to(9)
    press(one.dock.prompts.absent_button)
    one.settle()
    assert session.objects[1].prompts[-1].is_absent
    assert not shown(one, 1, 9).any()
    assert "changed" in one.dock.propagation.hint.text()
    propagate(one)
    assert max(session.result(1).slices) == 8
    one.hand.key(Qt.Key.Key_Z, CTRL)
    one.hand.key(Qt.Key.Key_Z, CTRL)
    one.settle()
    one.bench.desk.live.finish_drawing()
    assert shown(one, 1, 9).any()


def test_all_marked_objects_are_committed_at_once(open_bench):
    one = open_bench()
    session = one.bench.session
    draw_box(one, 1)
    one.hand.key(Qt.Key.Key_N)
    draw_box(one, 2, object_id=2)
    one.hand.key(Qt.Key.Key_N)  # nothing is marked in the third
    one.dock.propagation.all_check.setChecked(True)
    propagate(one)
    one.bench.desk.go_to(4)
    session.active_object = 2
    one.hand.key(Qt.Key.Key_Q)
    one.hand.click(one.image, (4, 44, 52))  # outdates the second, which is renewed before
    one.settle()
    assert not session.is_current(2)
    press(one.dock.commit.all_button)
    one.wait(lambda: "Committed 2 objects" in one.dock.message_line.text)
    assert [o.is_locked for o in session.objects.values()] == [True, True, False]
    labels = one.viewer.layers["stack labels"].data
    np.testing.assert_array_equal(labels, TUBES)
    assert not one.dock.commit.all_button.isEnabled()
