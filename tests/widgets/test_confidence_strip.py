"""The plot along the stack: what it shows and where a click goes."""

import numpy as np
import pytest

from widget_support import LEFT, Qt, QtCore, click, record, show, widgets
from window_support import wait_for

CONFIDENCE = np.array([0, 0, 0.8, 0.3, 0.9, 0.1, 0.7, 0, 0, 0], np.float32)
AREA = np.array([0, 0, 50, 60, 80, 60, 20, 0, 0, 0])


@pytest.fixture
def strip(qtbot, session):
    strip = show(qtbot, widgets.ConfidenceStrip(), height=100)
    session.new_object()
    strip.set_session(session)
    return strip


@pytest.fixture
def filled(strip):
    strip.set_values(CONFIDENCE, AREA, [5], current=4)
    return strip


@pytest.mark.parametrize("index", [0, 3, 9])
def test_a_click_goes_to_the_slice_under_it(filled, qtbot, index):
    chosen = record(filled.slice_chosen)
    click(qtbot, filled.plot, filled.plot.x_of(index), 20)
    assert chosen == [index]
    assert filled.plot.current == index


def test_dragging_goes_along(filled, qtbot):
    chosen = record(filled.slice_chosen)
    place = [QtCore.QPoint(round(filled.plot.x_of(k)), 20) for k in range(10)]
    qtbot.mousePress(filled.plot, LEFT, pos=place[1])
    for k in (2, 3):
        qtbot.mouseMove(filled.plot, place[k])
        wait_for(qtbot, lambda k=k: chosen[-1] == k)
    qtbot.mouseRelease(filled.plot, LEFT, pos=place[3])
    assert chosen == [1, 2, 3]


@pytest.mark.parametrize(
    ("key", "index"),
    [("Key_Left", 3), ("Key_Right", 5), ("Key_Home", 0), ("Key_End", 9), ("Key_PageUp", 9)],
)
def test_keys_move_along(filled, qtbot, key, index):
    chosen = record(filled.slice_chosen)
    qtbot.keyClick(filled.plot, getattr(Qt.Key, key))
    assert chosen == [index]


def test_clicks_outside_stay_inside(filled, qtbot):
    chosen = record(filled.slice_chosen)
    click(qtbot, filled.plot, 0, 20)
    click(qtbot, filled.plot, filled.plot.width() - 1, 20)
    assert chosen == [0, 9]


def test_least_certain_is_found_and_not_the_users_own(filled, qtbot):
    assert filled.least_certain() == 3  # 5 is a keyframe, 0 was not found
    chosen = record(filled.slice_chosen)
    click(qtbot, filled.worst_button)
    assert chosen == [3]
    assert filled.hint.text() == "Slice 3: 30% sure"


@pytest.mark.parametrize(
    ("index", "text"),
    [(3, "Slice 3: 30% sure"), (5, "Slice 5: marked by you"), (8, "Slice 8: not found")],
)
def test_the_current_slice_is_described(filled, index, text):
    filled.set_current(index)
    assert filled.hint.text() == text


def test_the_program_moves_the_marker_in_silence(filled):
    chosen = record(filled.slice_chosen)
    filled.set_current(7)
    filled.set_current(None)
    assert chosen == []
    assert filled.hint.text() == ""


def test_nothing_to_show(strip, qtbot):
    chosen = record(strip.slice_chosen)
    assert strip.least_certain() is None
    assert not strip.worst_button.isEnabled()
    click(qtbot, strip.plot)
    qtbot.keyClick(strip.plot, Qt.Key.Key_Right)
    strip.go_to_least_certain()
    assert chosen == []


def test_all_slices_marked_leaves_none_uncertain(strip):
    strip.set_values(CONFIDENCE[2:4], AREA[2:4], [0, 1], 0)
    assert strip.least_certain() is None


def test_different_lengths_are_refused(strip):
    with pytest.raises(ValueError, match=r"confidence has shape \(10,\) and area \(9,\)"):
        strip.set_values(CONFIDENCE, AREA[:9], [])


def test_the_line_has_the_objects_colour(filled, session):
    session.set_color(1, (1.0, 0.0, 0.0))
    image = filled.plot.grab().toImage()
    pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    assert sum(p.red() > 200 and p.green() < 60 for p in pixels) > 30


@pytest.mark.parametrize("n", [1, 2, 5000])
def test_short_and_long_stacks_can_be_drawn(strip, n):
    rng = np.random.default_rng(0)
    strip.set_values(rng.random(n), rng.integers(0, 9, n), [0], 0)
    assert not strip.grab().isNull()
    assert strip.plot.index_at(strip.plot.x_of(n - 1)) == n - 1


def test_a_dip_of_one_slice_in_5000_is_still_drawn(strip):
    confidence = np.full(5000, 0.9)
    confidence[2500] = 0.1
    strip.set_values(confidence, np.ones(5000), [])
    _, least, _ = strip.plot._columns()
    assert least.min() == 0.1
    assert strip.least_certain() == 2500


def test_without_session_it_is_empty(filled):
    filled.set_session(None)
    assert filled.plot.n_slices == 0
