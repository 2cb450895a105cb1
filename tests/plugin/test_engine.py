"""The worker thread: what comes first, what is dropped, how it ends."""

import threading

import pytest

from window_support import wait_for, why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)

from stacksam.plugin.engine import BACKGROUND, INTERACTION, PROPAGATION, Engine, leave_a_core


@pytest.fixture
def engine(qapp):
    engine = Engine()
    yield engine
    assert engine.close()


@pytest.fixture
def wait(qtbot):
    return lambda condition: wait_for(qtbot, condition)


def gated(gate, steps):
    """Wait for the gate, then go through the steps."""
    gate.wait(30)
    yield from steps


def test_results_arrive_in_the_gui_thread(engine, wait):
    seen = []
    engine.submit(
        threading.current_thread, on_step=lambda t: seen.append((t, threading.current_thread()))
    )
    wait(lambda: bool(seen))
    ((worker, told),) = seen
    assert told is threading.main_thread()
    assert worker is not told


def test_a_click_is_answered_in_the_middle_of_a_propagation(engine, wait):
    seen, gate, began = [], threading.Event(), threading.Event()

    def slices():
        yield 0
        began.set()
        gate.wait(30)
        yield 1
        yield 2

    engine.submit(slices(), priority=PROPAGATION, on_step=seen.append)
    wait(began.is_set)
    engine.submit(lambda: "click", priority=INTERACTION, on_step=seen.append)
    gate.set()
    wait(lambda: len(seen) == 4)
    assert seen == [0, 1, "click", 2]


def test_earlier_requests_of_a_key_come_too_late(engine, wait):
    seen, gate = [], threading.Event()
    engine.submit(gated(gate, ["first"]), key="slice 3", on_step=seen.append)
    engine.submit(lambda: "second", key="slice 3", on_step=seen.append)
    engine.submit(lambda: "other", key="slice 4", on_step=seen.append)
    engine.submit(lambda: "third", key="slice 3", on_step=seen.append)
    gate.set()
    wait(lambda: not engine.is_busy() and len(seen) >= 2)
    assert seen == ["other", "third"]


def test_cancelled_work_is_closed_and_unheard(engine, wait):
    seen, gate, closed, began = [], threading.Event(), threading.Event(), threading.Event()

    def work():
        try:
            began.set()
            gate.wait(30)
            yield "heard"
            yield "too much"
        finally:
            closed.set()

    engine.submit(work(), key="work", on_step=seen.append)
    assert began.wait(30)
    engine.cancel("work")
    gate.set()
    wait(closed.is_set)
    assert not seen
    assert not engine.is_busy(BACKGROUND)


def test_background_work_waits_for_the_mouse_and_for_quiet(engine, wait, qtbot):
    seen = []
    engine.hold_background(True)
    engine.submit(lambda: "prefetch", priority=BACKGROUND, on_step=seen.append)
    qtbot.wait(400)
    assert not seen
    engine.hold_background(False)
    engine.submit(lambda: "click", on_step=seen.append)
    wait(lambda: len(seen) == 2)
    assert seen == ["click", "prefetch"]


def test_an_error_goes_to_the_task_or_else_to_the_engine(qapp, wait):
    own, general = [], []
    engine = Engine(general.append)

    def broken():
        raise ValueError("no")

    engine.submit(broken, on_error=own.append)
    engine.submit(broken)
    wait(lambda: bool(own and general))
    assert engine.close()
    assert [type(e) for e in (*own, *general)] == [ValueError, ValueError]


def test_closing_stops_the_thread_and_its_work(qapp):
    began, closed = threading.Event(), threading.Event()

    def endless():
        try:
            while True:
                began.set()
                yield
        finally:
            closed.set()

    engine = Engine()
    engine.submit(endless())
    assert began.wait(30)
    assert engine.close()
    assert closed.is_set()
    assert "stacksam-engine" not in {t.name for t in threading.enumerate() if t.is_alive()}


def test_one_core_is_left_to_the_window():
    import torch

    before = torch.get_num_threads()
    try:
        assert 1 <= leave_a_core() < max(2, torch.multiprocessing.cpu_count())
    finally:
        torch.set_num_threads(before)
