"""What happens in the window while the engine is still computing."""

import threading

import numpy as np
import pytest

from models import overlap, two_tubes
from window_support import why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")
from qtpy.QtCore import Qt

from hand import press

TUBES = two_tubes()
BOX_2 = (34, 42, 55, 63)  # around tube 2, which is on all slices


class Brake:
    """Lets the model answer so many times more and then hold until it is released."""

    def __init__(self, model, monkeypatch):
        self.left, self.is_holding = None, threading.Event()
        self._go, self._decode = threading.Event(), model.decode
        monkeypatch.setattr(model, "decode", self)

    def after(self, answers):
        self.left = answers

    def release(self):
        self.left = None
        self._go.set()

    def __call__(self, embedding, prompts):
        if self.left is not None:
            if self.left == 0:
                self.is_holding.set()
                self._go.wait(600)
            else:
                self.left -= 1
        return self._decode(embedding, prompts)


@pytest.fixture
def brake(quick_model, monkeypatch):
    brake = Brake(quick_model, monkeypatch)
    yield brake
    brake.release()


def start_run(one, brake, answers=3):
    """Propagate tube 2 from slice 6 and return in the middle of it."""
    one.bench.session.add_box(1, 6, BOX_2)
    one.settle()
    one.bench.desk.go_to(6)
    brake.after(answers)
    press(one.dock.propagation.run_button)
    one.wait(brake.is_holding.is_set)
    assert one.bench.desk.run.is_running


def finish_run(one, brake):
    brake.release()
    one.wait(lambda: not one.bench.desk.run.is_running)
    one.settle()


def shown(one):
    return np.asarray(one.bench.desk.preview.layer.data)


def test_a_layer_is_removed(open_bench, brake):
    one = open_bench()
    start_run(one, brake)
    one.viewer.layers.remove("StackSAM preview")
    one.hand.look()
    finish_run(one, brake)
    np.testing.assert_array_equal(one.bench.session.result(1).mask, TUBES == 2)


def test_layers_are_renamed_and_moved(open_bench, brake):
    one = open_bench()
    start_run(one, brake)
    layers = one.viewer.layers
    layers["StackSAM preview"].name = "my masks"
    one.image.name = "my image"
    layers.reverse()
    one.hand.look()
    finish_run(one, brake)
    np.testing.assert_array_equal(np.asarray(layers["my masks"].data) == 1, TUBES == 2)


def test_the_image_is_removed(open_bench, brake):
    one = open_bench()
    session = one.bench.session
    start_run(one, brake)
    one.viewer.layers.remove("stack")
    one.wait(lambda: one.bench.session is None)
    brake.release()
    one.wait(lambda: not one.bench.engine.is_busy())
    one.wait(lambda: not len(one.viewer.layers))
    kept = session.result(1)  # what was found until then
    assert kept is not None
    assert not kept.complete
    assert 0 < len(kept.slices) < len(TUBES)
    assert not (kept.mask & (TUBES != 2)).any()


def test_another_slice_and_another_axis_are_looked_at(open_bench, brake):
    one = open_bench()
    start_run(one, brake)
    one.bench.desk.go_to(2)
    one.hand.look()
    one.viewer.dims.order = (1, 0, 2)
    one.bench.desk.go_to(44)
    one.hand.look()
    assert one.bench.desk.view.axis == 1
    finish_run(one, brake)
    result = one.bench.session.result(1)
    assert result.axis == 0  # of the view in which it was started
    np.testing.assert_array_equal(result.mask, TUBES == 2)
    np.testing.assert_array_equal(shown(one) == 1, TUBES == 2)


def test_cancel_keeps_what_was_found_before(open_bench, brake):
    one = open_bench()
    start_run(one, brake)
    press(one.dock.propagation.cancel_button)
    finish_run(one, brake)
    result = one.bench.session.result(1)
    assert not result.complete
    assert 0 < len(result.slices) < len(TUBES)
    assert "Cancelled" in one.dock.message_line.text


def test_a_click_is_answered_before_the_run_goes_on(open_bench, brake):
    one = open_bench()
    start_run(one, brake)
    session, was_running = one.bench.session, []
    accept = session.accept
    session.accept = lambda *found: (
        was_running.append(one.bench.desk.run.is_running) or accept(*found)
    )
    one.hand.key(Qt.Key.Key_N)
    one.hand.key(Qt.Key.Key_Q)
    one.hand.click(one.image, (6, 22, 24))
    one.wait(lambda: len(session.objects[2].prompts) == 1)
    finish_run(one, brake)
    assert was_running == [True]
    assert overlap(shown(one)[6] == 2, TUBES[6] == 1) > 0.95
    np.testing.assert_array_equal(shown(one)[6] == 1, TUBES[6] == 2)
    assert session.result(1).complete


def test_the_answer_to_a_click_that_was_followed_by_another_is_dropped(open_bench, brake):
    one = open_bench()
    session, desk = one.bench.session, one.bench.desk
    accepted = []
    accept = session.accept
    session.accept = lambda job, found: accepted.append(job.prompts) or accept(job, found)
    desk.go_to(6)
    one.hand.key(Qt.Key.Key_Q)
    brake.after(0)
    one.hand.click(one.image, (6, 22, 24))
    one.wait(brake.is_holding.is_set)  # the first click is being computed
    one.hand.click(one.image, (6, 44, 52))
    one.wait(lambda: len(session.objects[1].prompts) == 2)
    brake.release()
    one.settle()
    assert [len(prompts) for prompts in accepted] == [2]
    assert shown(one)[6, 22, 24] == shown(one)[6, 44, 52] == 1
