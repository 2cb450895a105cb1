"""Asking for a propagation, watching it, stopping it."""

import pytest

from widget_support import Qt, click, record, show, widgets

Request = widgets.PropagationRequest


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.PropagationPanel())
    panel.set_session(session)
    panel.set_range_limits(12)
    return panel


def mark(session, object_id=1, index=5):
    session.add_box(object_id, index, (11, 13, 34, 36))


def test_nothing_can_be_started_before_the_object_is_marked(panel, session):
    for button in (panel.run_button, panel.up_button, panel.down_button, panel.fill_button):
        assert not button.isEnabled()
    assert panel.hint.text() == "Mark the object on one slice first."
    session.new_object()
    session.add_point(1, (5, 3, 3), positive=False)
    assert not panel.run_button.isEnabled()  # a negative point does not say where it is
    session.add_point(1, (5, 22, 24))
    assert panel.run_button.isEnabled()


def test_one_press_asks_with_sensible_defaults(panel, qtbot, session):
    mark(session)
    asked = record(panel.propagate_asked)
    click(qtbot, panel.run_button)
    assert asked == [Request("both", None, None, False, 0.5)]


def test_one_slice_up_or_down(panel, qtbot, session):
    mark(session)
    asked = record(panel.propagate_asked)
    click(qtbot, panel.up_button)
    click(qtbot, panel.down_button)
    assert asked == [Request("up", 1), Request("down", 1)]


def test_direction_range_and_sensitivity(panel, qtbot, session):
    mark(session)
    asked = record(panel.propagate_asked)
    qtbot.keyClick(panel.direction_combo, Qt.Key.Key_Down)
    panel.more.set_open(True)
    qtbot.keyClick(panel.range_check, Qt.Key.Key_Space)
    panel.first_spin.setValue(2)
    panel.last_spin.setValue(9)
    panel.sensitivity_slider.setValue(panel.sensitivity_slider.maximum())
    qtbot.keyClick(panel.run_button, Qt.Key.Key_Space)
    assert asked == [Request("up", None, (2, 10), False, 1.0)]


def test_keeping_inside_boxes_needs_a_box(panel, qtbot, session):
    session.add_point(1, (5, 22, 24))
    panel.more.set_open(True)
    assert not panel.inside_check.isEnabled()
    assert "Draw a box" in panel.inside_check.toolTip()
    mark(session)
    assert panel.inside_check.isEnabled()
    asked = record(panel.propagate_asked)
    qtbot.keyClick(panel.inside_check, Qt.Key.Key_Space)
    click(qtbot, panel.run_button)
    click(qtbot, panel.up_button)
    assert asked == [Request(inside_boxes=True), Request("up", 1, inside_boxes=True)]
    session.active_object = session.new_object()
    session.add_point(2, (5, 22, 24))
    assert not panel.inside_check.isEnabled()
    assert not panel.request().inside_boxes
    panel.all_check.setChecked(True)
    assert panel.inside_check.isEnabled()


def test_three_sides_and_smoothing(panel, qtbot, session):
    mark(session)
    asked = record(panel.propagate_asked)
    panel.more.set_open(True)
    qtbot.keyClick(panel.consensus_check, Qt.Key.Key_Space)
    qtbot.keyClick(panel.smooth_check, Qt.Key.Key_Space)
    click(qtbot, panel.run_button)
    assert asked == [Request("both", consensus=True, smooth=1.0)]


def test_range_ends_keep_their_order(panel):
    panel.last_spin.setValue(4)
    panel.first_spin.setValue(8)
    assert panel.first_spin.value() == 4
    panel.last_spin.setValue(2)
    assert panel.last_spin.value() == 4


def test_another_axis_has_another_range(panel):
    panel.range_check.setChecked(True)
    panel.first_spin.setValue(3)
    panel.set_range_limits(12)  # the same axis: the range stays
    assert panel.range_check.isChecked()
    panel.set_range_limits(64)
    assert not panel.range_check.isChecked()
    assert (panel.first_spin.value(), panel.last_spin.value()) == (0, 63)


def test_all_objects_needs_one_that_is_marked_and_unlocked(panel, qtbot, session):
    mark(session)
    session.commit(1)
    session.new_object()
    panel.all_check.setChecked(True)
    assert not panel.run_button.isEnabled()
    session.set_locked(1, False)
    assert panel.run_button.isEnabled()
    assert not panel.up_button.isEnabled()  # single steps are for the active object
    asked = record(panel.propagate_asked)
    click(qtbot, panel.run_button)
    assert asked[0].all_objects


def test_a_run_shows_progress_and_can_be_stopped(panel, qtbot, session):
    mark(session)
    cancelled = record(panel.cancel_asked)
    assert not panel.cancel_button.isVisible()
    panel.set_progress(3, 12)
    assert panel.is_running
    assert (panel.progress_bar.value(), panel.progress_bar.maximum()) == (3, 12)
    assert panel.progress_bar.text() == "3 of 12 slices"
    assert not panel.run_button.isEnabled()
    click(qtbot, panel.cancel_button)
    assert cancelled == [()]
    assert not panel.cancel_button.isEnabled()
    panel.set_progress(4, 12)
    assert panel.progress_bar.text() == "Stopping ..."
    panel.finished()
    assert not panel.is_running
    assert panel.run_button.isEnabled()


def test_a_run_without_length_shows_that_it_runs(panel):
    panel.set_progress(0, 0)
    assert panel.is_running
    assert panel.progress_bar.maximum() > 0


def test_filling_needs_two_marked_slices_along_one_axis(panel, qtbot, session):
    mark(session, index=3)
    session.add_box(1, 30, (2, 13, 9, 36), axis=1)
    assert not panel.fill_button.isEnabled()
    mark(session, index=8)
    assert panel.fill_button.isEnabled()
    asked = record(panel.fill_asked)
    panel.more.set_open(True)
    click(qtbot, panel.fill_button)
    assert asked == [()]


def test_it_says_when_marks_have_changed_since(panel, session):
    mark(session)
    session.propagate(1)
    assert "Follows" in panel.hint.text()
    session.add_point(1, (7, 22, 24))
    assert panel.hint.text() == "Marks have changed: propagate again."
    session.undo()
    assert "Follows" in panel.hint.text()


def test_without_session_nothing_can_be_used(panel):
    panel.set_session(None)
    for widget in (
        panel.run_button,
        panel.direction_combo,
        panel.all_check,
        panel.range_check,
        panel.sensitivity_slider,
    ):
        assert not widget.isEnabled()
