"""Facts beside the history: what is shown, under which name, and how fast it is looked up."""

import pytest

from models import ThresholdPredictor, stack_of
from session_support import BOX_1, TRUTH, crash
from stacksam.session import Session


def restored(folder):
    return Session.restore(folder, stack_of(TRUTH), ThresholdPredictor())


@pytest.mark.parametrize("is_journalled", [True, False])
def test_what_is_hidden_stays_hidden(session, tmp_path, is_journalled):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 6, BOX_1)
    if is_journalled:
        session.start_journal(tmp_path / "s")
    session.set_visible(1, False)
    session.set_visible(2, False)
    session.set_visible(1, True)
    if is_journalled:
        crash(session)
    else:
        session.save(tmp_path / "s")
    again = restored(tmp_path / "s")
    assert [o.is_visible for o in again.objects.values()] == [True, False]
    assert again.objects == session.objects


@pytest.mark.parametrize("is_journalled", [True, False])
def test_the_windows_name_is_kept(session, tmp_path, is_journalled):
    assert session.window_name == "auto"
    if is_journalled:
        session.start_journal(tmp_path / "s")
    session.set_window("ct-liver")
    session.set_window((0, 5))
    assert session.window_name == ""
    session.undo()
    if is_journalled:
        crash(session)
    else:
        session.save(tmp_path / "s")
    again = restored(tmp_path / "s")
    assert (again.window_name, again.window) == ("ct-liver", session.window)
    again.undo()
    assert again.window_name == "auto"
    again.redo()
    again.redo()
    assert again.window_name == ""


def test_a_windows_name_alone_is_a_step(session):
    heard = []
    session.window_changed.connect(lambda: heard.append(session.window_name))
    session.set_window((session.window.low, session.window.high))
    session.set_window("auto")
    session.set_window("auto")
    assert heard == ["", "auto"]


def test_objects_are_gathered_once_and_follow_every_change(session, monkeypatch):
    session.add_box(1, 6, BOX_1)
    first = session.objects
    assert session.objects[1] is first[1]
    session.objects.clear()  # a copy
    assert session.objects == first
    session.add_box(2, 6, BOX_1)
    assert list(session.objects) == [1, 2]
    session.rename(1, "liver")
    assert (session.objects[1].name, first[1].name) == ("liver", "object 1")
    session.set_visible(2, False)
    assert not session.objects[2].is_visible
    session.undo()
    assert session.objects[1].name == "object 1"
    assert not session.objects[2].is_visible
    session.remove_object(2)
    assert list(session.objects) == [1]
