"""Every kind of step can be taken back and done again."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings

from models import ThresholdPredictor, disc, stack_of
from session_support import BOX_1, BOX_2, TRUTH, act, assert_same, state_of, steps
from stacksam.core.cleanup import CleanUp
from stacksam.core.windows import Window
from stacksam.session import Session
from stacksam.session.history import BYTES_PER_PROMPT, History, Step
from stacksam.session.labels import LabelsChange
from stacksam.session.state import State


@settings(max_examples=25, deadline=None)
@given(steps)
def test_any_work_can_be_taken_back_and_done_again(steps):
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 4, BOX_2)
    session.undo()
    session.redo()
    for step in steps:
        if step[0] in ("undo", "redo"):
            getattr(session, step[0])()
            continue
        before = state_of(session)
        try:
            act(session, step)
        except ValueError:
            assert_same(session, before)  # refused, so nothing has happened
    end, empty = state_of(session), state_of(Session(stack_of(TRUTH), ThresholdPredictor()))
    passed = [end]
    while session.undo():
        passed.append(state_of(session))
    assert_same(session, empty)
    for state in passed[-2::-1]:
        assert session.redo()
        assert_same(session, state)
    assert_same(session, end)


@settings(max_examples=15, deadline=None)
@given(steps)
def test_no_work_touches_masks_that_the_user_gave(steps):
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    given = {4: disc((64, 72), (20, 20), 7), 8: disc((64, 72), (25, 27), 5)}
    for z, mask in given.items():
        session.add_mask(9, z, mask)
    for step in steps:
        before = session.objects
        if step[0] in ("undo", "redo"):
            getattr(session, step[0])()
        else:
            with suppress(ValueError):
                act(session, step)
        if 9 not in session.objects:
            return
        if session.objects[9].prompts != before[9].prompts:
            return  # taken back, moved or cleared by the step itself
        result = session.result(9)
        for z, mask in given.items() if result is not None else ():
            assert np.array_equal(result.mask[z], mask)


def test_steps_have_names_for_a_menu():
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    assert (session.can_undo, session.can_redo) == (False, False)
    assert (session.undo_text, session.redo_text) == ("", "")
    session.new_object("liver")
    done = ["new object liver"]
    todo = [
        (lambda: session.add_box(1, 6, BOX_1), "add box to liver"),
        (lambda: session.move_prompt(1, yxyx=(*BOX_1[:2], 30, 30)), "move box of liver"),
        (lambda: session.propagate([1]), "propagate liver"),
        (lambda: session.add_box(2, 4, BOX_2), "add box to object 2"),
        (lambda: session.propagate([1, 2]), "propagate 2 objects"),
        (lambda: session.set_clean_up(1, CleanUp(min_size=2)), "clean up liver"),
        (lambda: session.commit(1), "commit liver"),
        (lambda: session.set_locked(1, False), "unlock liver"),
        (lambda: session.rename(1, "spleen"), "rename liver"),
        (lambda: session.set_window((0, 5)), "window"),
        (lambda: session.remove_object(1), "delete spleen"),
    ]
    for call, text in todo:
        call()
        done.append(text)
        assert session.undo_text == text
    while session.can_undo:
        assert session.undo_text == done.pop()
        session.undo()
        assert session.can_redo
    assert session.redo_text == "new object liver"


def test_history_is_heard_of():
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    heard = []
    session.history_changed.connect(lambda: heard.append(session.can_undo))
    session.add_box(1, 6, BOX_1)
    session.undo()
    session.undo()
    session.redo()
    session.rename(1, "object 1")
    assert heard == [True, False, True]


def change_of(size):
    ones = np.ones(size, np.uint32)
    return LabelsChange(np.arange(size) * 2, np.ones(size, np.int64), 0 * ones, ones)


def step_of(size):
    state = State(Window(0, 1))
    return Step(f"{size}", state, state, change_of(size))


def test_oldest_steps_are_forgotten_beyond_the_budget():
    history = History(budget=3 * step_of(10).nbytes)
    for size in (10, 10, 10):
        history.add(step_of(size))
    assert len(history.done) == 3
    history.add(step_of(20))
    assert [step.text for step in history.done] == ["10", "20"]
    history.add(step_of(500))  # the newest stays, however large
    assert [step.text for step in history.done] == ["500"]
    history.undo()
    history.add(step_of(10))
    assert history.used == step_of(10).nbytes
    assert history.undo() is not None
    assert history.undo() is None


def test_undo_ends_where_the_history_was_forgotten():
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    session._history.budget = 9000
    for index in (3, 5, 7):
        session.add_box(1, index, BOX_1)
        session.propagate(1)
        session.commit(1)
    count = 0
    while session.undo():
        count += 1
    assert 1 <= count < 9
    while session.redo():
        count -= 1
    assert count == 0


@pytest.mark.parametrize("n_clicks", [60])
def test_clicks_cost_little_memory(n_clicks):
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    session.commit(1)
    before = session._history.used
    for number in range(n_clicks):
        session.add_point(1, (6, 20 + number % 5, 24))
    assert 0 < session._history.used - before < n_clicks * 2000
    assert len(session._history.done) == 3 + n_clicks


def test_a_step_counts_its_mask_and_the_lists_that_it_holds():
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    for number in range(100):
        session.add_point(1, (6, 20, 10 + number % 30))
    early, late = (session._history.done[i].nbytes for i in (10, 90))
    assert late - early == 80 * BYTES_PER_PROMPT
    session.add_mask(1, 6, np.random.default_rng(0).random(TRUTH.shape[1:]) > 0.5)
    packed = session.objects[1].prompts[-1].packed
    assert session._history.done[-1].nbytes > late + len(packed) > 500
    session.undo()
    assert session._history.undone[-1].nbytes > len(packed)
