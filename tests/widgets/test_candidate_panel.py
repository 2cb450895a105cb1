"""Thumbnails of what a click may mean."""

import numpy as np
import pytest

from widget_support import Qt, QtGui, click, record, show, widgets

IMAGE = np.full((40, 40), 0.5)


def square(size):
    mask = np.zeros((40, 40), bool)
    mask[20 - size : 20 + size, 20 - size : 20 + size] = True
    return mask


THREE = [(square(15), 0.9), (square(9), 0.75), (square(3), 0.5)]


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.CandidatePanel(), height=100)
    session.new_object()
    panel.set_session(session)
    return panel


def test_masks_and_scores_are_shown(panel):
    panel.set_candidates(IMAGE, THREE, shown=1)
    assert [t.text() for t in panel.thumbnails] == ["0.90", "0.75", "0.50"]
    assert (panel.count, panel.shown) == (3, 1)


def test_a_click_chooses(panel, qtbot):
    panel.set_candidates(IMAGE, THREE)
    chosen = record(panel.chosen)
    click(qtbot, panel.thumbnails[2])
    assert chosen == [2]
    assert panel.shown == 2
    panel.thumbnails[0].setFocus()
    qtbot.keyClick(panel.thumbnails[0], Qt.Key.Key_Space)
    assert chosen == [2, 0]


def test_a_click_on_the_shown_one_leaves_it_shown(panel, qtbot):
    panel.set_candidates(IMAGE, THREE)
    click(qtbot, panel.thumbnails[0])
    assert panel.shown == 0


def test_cycling_goes_round(panel):
    panel.set_candidates(IMAGE, THREE)
    chosen = record(panel.chosen)
    for _ in range(3):
        panel.cycle()
    panel.cycle(-1)
    assert chosen == [1, 2, 0, 2]


@pytest.mark.parametrize("count", [0, 1])
def test_there_is_nothing_to_cycle_through(panel, count):
    panel.set_candidates(IMAGE, THREE[:count], shown=None)
    chosen = record(panel.chosen)
    panel.cycle()
    assert chosen == []
    assert [t.isEnabled() for t in panel.thumbnails] == [k < count for k in range(3)]


def test_the_outline_has_the_objects_colour(panel, session):
    session.set_color(1, (1.0, 0.0, 0.0))
    panel.set_candidates(IMAGE, THREE)
    image = panel.thumbnails[0].grab().toImage()
    pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    assert sum(p.red() > 200 and p.green() < 60 for p in pixels) > 40
    session.set_color(1, (0.0, 0.0, 1.0))
    assert panel.thumbnails[0].color == QtGui.QColor(Qt.GlobalColor.blue)


def test_a_mask_that_fills_the_crop_or_nothing_can_be_drawn(panel):
    panel.set_candidates(IMAGE, [(np.ones((40, 40), bool), 1.0), (np.zeros((40, 40), bool), 0.0)])
    assert not panel.grab().isNull()
    assert panel.count == 2


def test_clear_and_no_session_show_none(panel):
    panel.set_candidates(IMAGE, THREE)
    panel.clear()
    assert (panel.count, panel.shown) == (0, None)
    panel.set_candidates(IMAGE, THREE)
    panel.set_session(None)
    assert panel.count == 0
