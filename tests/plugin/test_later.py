"""Calls to come in the event loop."""

import pytest
from qtpy.QtCore import QTimer

from stacksam.plugin.later import Later, Soon, is_all_done


@pytest.fixture
def calls(qapp):
    return []


def test_soon_comes_before_a_timer_of_no_time(calls, qtbot):
    later, soon = Later(lambda: calls.append("later")), Soon(lambda: calls.append("soon"))
    later.start()
    soon.start()
    assert calls == []
    assert not is_all_done()
    qtbot.waitUntil(lambda: len(calls) == 2)
    assert calls == ["soon", "later"]
    assert is_all_done()


def test_soon_calls_once_however_often_it_was_asked(calls, qtbot):
    soon = Soon(lambda: calls.append("soon"))
    soon.start()
    soon.start()
    soon.stop()
    soon.start()
    QTimer.singleShot(20, lambda: calls.append("end"))
    qtbot.waitUntil(lambda: "end" in calls)
    assert calls == ["soon", "end"]


def test_what_was_stopped_is_not_called(calls, qtbot):
    soon = Soon(lambda: calls.append("soon"))
    soon.start()
    soon.stop()
    assert is_all_done()
    QTimer.singleShot(20, lambda: calls.append("end"))
    qtbot.waitUntil(lambda: "end" in calls)
    assert calls == ["end"]


def test_it_can_be_asked_again_from_within(calls, qtbot):
    def again():
        calls.append("soon")
        if len(calls) < 3:
            soon.start()

    soon = Soon(again)
    soon.start()
    qtbot.waitUntil(lambda: len(calls) == 3)
    assert is_all_done()
