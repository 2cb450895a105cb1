"""What all panels do: follow one session, and no longer than they live."""

import pytest

from widget_support import QtCore, record, widgets


class Counter(widgets.Panel):
    follows = ("prompts_changed", "active_changed")

    def __init__(self):
        super().__init__()
        self.count = 0

    def refresh(self):
        self.count += 1


@pytest.fixture
def panel(qtbot):
    panel = Counter()
    qtbot.addWidget(panel)
    return panel


def test_it_follows_the_named_signals(panel, session):
    panel.set_session(session)
    before = panel.count
    session.add_box(1, 5, (11, 13, 34, 36))  # prompts and the active object change
    assert panel.count == before + 2
    session.rename(1, "tube")
    assert panel.count == before + 2


def test_it_leaves_the_session_it_had(panel, session):
    panel.set_session(session)
    panel.set_session(None)
    before = panel.count
    session.add_box(1, 5, (11, 13, 34, 36))
    assert panel.count == before
    assert panel.session is None


def test_active_is_the_object_as_it_is_now(panel, session):
    assert panel.active is None
    panel.set_session(session)
    assert panel.active is None
    session.new_object("liver")
    assert panel.active.name == "liver"
    session.remove_object(panel.active.object_id)
    assert panel.active is None


def test_what_the_session_refuses_becomes_one_sentence(panel, session):
    problems = record(panel.problem)
    assert not panel.attempt(lambda: session.rename(7, "x"))
    assert problems == ["There is no object 7; add a prompt for it first."]
    assert panel.attempt(session.new_object)


def test_a_session_outlives_a_deleted_panel(qtbot, session):
    panel = Counter()
    panel.set_session(session)
    before = panel.count
    panel.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(panel, QtCore.QEvent.Type.DeferredDelete.value)
    session.add_box(1, 5, (11, 13, 34, 36))
    assert panel.count == before
