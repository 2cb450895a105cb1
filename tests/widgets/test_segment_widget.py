"""The controls and the worker, with a Session that is a mock."""

import threading
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from window_support import PATIENCE, why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)


@pytest.fixture
def widget(qtbot):
    from stacksam.widgets.segment_widget import SegmentWidget

    widget = SegmentWidget(windows=["auto", "full"])
    qtbot.addWidget(widget)
    return widget


def session_that(propagate):
    return Mock(spec=["add_box", "propagate"], propagate=Mock(side_effect=propagate))


def start(widget, session):
    widget.start(lambda: session, axis=1, index=4, box_yxyx=(1, 2, 3, 5))


def test_without_image_nothing_can_be_pressed(widget):
    assert not widget.run_button.isEnabled()
    assert not widget.draw_button.isEnabled()
    assert widget.status.text() == "Open an image first."


def test_chosen_image_survives_a_new_layer(widget):
    widget.set_images(["ct", "mr"])
    widget.image_box.setCurrentText("mr")
    widget.set_images(["pet", "ct", "mr"])
    assert widget.image_box.currentText() == "mr"
    assert widget.run_button.isEnabled()


def test_result_arrives_and_progress_is_shown(widget, qtbot):
    shown = []
    widget.progress_bar.valueChanged.connect(shown.append)
    result = SimpleNamespace(complete=True)

    def propagate(object_id, axis, progress, cancel):
        progress(1, 3)
        progress(3, 3)
        return result

    session, results = session_that(propagate), []
    widget.set_images(["ct"])
    widget.finished.connect(results.append)
    start(widget, session)
    assert widget.is_running
    assert not widget.run_button.isEnabled()
    qtbot.waitUntil(lambda: bool(results), timeout=PATIENCE)
    assert results == [result]
    session.add_box.assert_called_once_with(1, 4, (1, 2, 3, 5), axis=1)
    assert session.propagate.call_args.kwargs["axis"] == 1
    assert {1, 3} <= set(shown)
    assert not widget.is_running
    assert widget.run_button.isEnabled()


def test_session_lives_in_the_worker(widget, qtbot):
    threads, results = [], []

    def make_session():
        threads.append(threading.current_thread())
        return session_that(lambda *args, **kwargs: None)

    widget.finished.connect(results.append)
    widget.start(make_session, axis=0, index=0, box_yxyx=(0, 0, 1, 1))
    qtbot.waitUntil(lambda: bool(results), timeout=PATIENCE)
    assert threads != [threading.main_thread()]


def test_cancel_reaches_the_session(widget, qtbot):
    def propagate(object_id, axis, progress, cancel):
        assert cancel.wait(10)
        return SimpleNamespace(complete=False)

    results = []
    widget.finished.connect(results.append)
    start(widget, session_that(propagate))
    widget.cancel_button.click()
    qtbot.waitUntil(lambda: bool(results), timeout=PATIENCE)
    assert not results[0].complete


def test_a_second_run_is_not_cancelled_by_the_first(widget, qtbot):
    results = []
    widget.finished.connect(results.append)
    widget.cancel()
    start(widget, session_that(lambda *args, cancel, **kwargs: cancel.is_set()))
    qtbot.waitUntil(lambda: bool(results), timeout=PATIENCE)
    assert results == [False]


@pytest.mark.parametrize("error", [ValueError("the box is empty"), RuntimeError("a slip")])
def test_error_is_handed_on_and_the_widget_is_ready_again(widget, qtbot, error):
    errors = []
    widget.set_images(["ct"])
    widget.failed.connect(errors.append)

    def propagate(*args, **kwargs):
        raise error

    with qtbot.capture_exceptions():
        start(widget, session_that(propagate))
        qtbot.waitUntil(lambda: bool(errors), timeout=PATIENCE)
    assert errors == [error]
    assert widget.run_button.isEnabled()


def test_closing_the_widget_stops_the_worker(qtbot):
    from stacksam.widgets.segment_widget import SegmentWidget

    began, stopped = threading.Event(), threading.Event()

    def propagate(object_id, axis, progress, cancel):
        began.set()
        if cancel.wait(10):
            stopped.set()
        progress(1, 2)

    widget = SegmentWidget(windows=["auto"])
    start(widget, session_that(propagate))
    qtbot.waitUntil(began.is_set, timeout=PATIENCE)
    widget.deleteLater()
    qtbot.waitUntil(stopped.is_set, timeout=PATIENCE)
