"""What could be undone before a restart can be undone after it."""

import pytest
from hypothesis import HealthCheck, given, settings

from models import ThresholdPredictor, stack_of
from session_support import (
    BOX_1,
    BOX_2,
    TRUTH,
    act,
    assert_same,
    crash,
    state_of,
    steps,
    work,
)
from stacksam.session import Session, past
from stacksam.session.lines import JOURNAL


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Sitzung"


def restored(folder):
    return Session.restore(folder, stack_of(TRUTH), ThresholdPredictor())


def history_of(session):
    done, undone = session._history.done, session._history.undone
    return [step.text for step in done], [step.text for step in undone]


def assert_same_past(first, second):
    """Both undo and redo the same, state by state."""
    assert_same(first, state_of(second))
    assert history_of(first) == history_of(second)
    for travel in ("undo", "redo"):
        while getattr(first, travel)():
            assert getattr(second, travel)()
            assert_same(first, state_of(second))
        assert not getattr(second, travel)()


def try_to(session, todo):
    for step in todo:
        try:
            getattr(session, step[0])() if step[0] in ("undo", "redo") else act(session, step)
        except ValueError:
            continue


@pytest.mark.parametrize("is_journalled", [True, False])
def test_undo_goes_on_after_a_restart(session, folder, is_journalled):
    if is_journalled:
        session.start_journal(folder)
        work(session)
        crash(session)
    else:
        work(session)
        session.undo()
        session.save(folder)
    again = restored(folder)
    assert again.can_undo
    assert again.redo_text == session.redo_text != ""
    assert_same_past(again, session)


def test_undo_goes_on_after_several_restarts(session, folder):
    session.start_journal(folder)
    work(session)
    crash(session)
    second = restored(folder)
    second.start_journal(folder)
    for one in (session, second):
        one.undo()
        one.undo()
        one.add_box(1, 8, BOX_1)
        one.propagate(1)
    crash(second)
    third = restored(folder)
    third.save(folder.parent / "copy")
    assert_same_past(restored(folder.parent / "copy"), session)
    assert_same_past(third, session)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=steps, after=steps)
def test_any_past_survives(before, after, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any") / "session"
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    session.add_box(2, 4, BOX_2)
    try_to(session, before)
    session.start_journal(folder)
    session.add_box(1, 6, BOX_1)
    try_to(session, after)
    crash(session)
    assert_same_past(restored(folder), session)


def test_undoing_the_past_is_journalled(session, folder):
    session.start_journal(folder)
    work(session)
    crash(session)
    second = restored(folder)
    second.start_journal(folder)
    second.undo()
    second.undo()
    crash(second)
    third = restored(folder)
    assert_same(third, state_of(second))
    assert len(third._log) == len(session._log) + 2


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_without_its_file_the_past_begins_anew(session, folder, damage):
    session.add_box(1, 6, BOX_1)
    session.start_journal(folder)
    session.add_box(2, 4, BOX_2)
    crash(session)
    (path,) = folder.glob("history-*.jsonl")
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(whole[:-5])
    else:
        path.write_bytes(whole.replace(b"box", b"bix", 1))
    again = restored(folder)
    assert_same(again, state_of(session))
    assert not again.can_undo
    assert again.notes == ()


def test_a_past_that_leads_elsewhere_is_not_believed(session, folder):
    session.add_box(1, 6, BOX_1)
    session.save(folder.parent / "other")
    session.add_box(2, 4, BOX_2)
    session.save(folder)
    (own,) = folder.glob("history-*.jsonl")
    (other,) = (folder.parent / "other").glob("history-*.jsonl")
    own.write_bytes(other.read_bytes())
    assert not restored(folder).can_undo


def test_only_the_newest_steps_are_written(session, folder, monkeypatch):
    for z in (4, 5, 6, 7):
        session.add_box(1, z, BOX_1)
        session.propagate(1)
    largest = max(step.nbytes for step in session._history.done)
    monkeypatch.setattr(past, "STORED_BYTES", 2 * largest)
    session.save(folder)
    again = restored(folder)
    texts = history_of(session)[0]
    assert 0 < len(history_of(again)[0]) < len(texts)
    assert texts[-len(history_of(again)[0]) :] == history_of(again)[0]
    while again.undo():
        assert session.undo()
        assert_same(again, state_of(session))


def test_there_is_one_history_in_a_folder(session, folder):
    for z in (4, 5, 6):
        session.add_box(1, z, BOX_1)
        session.save(folder)
    assert len(list(folder.glob("history-*"))) == 1
    assert (folder / JOURNAL).exists()
