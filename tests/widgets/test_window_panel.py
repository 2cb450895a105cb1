"""The intensity window."""

import numpy as np
import pytest

from stacksam.core.windows import PRESETS, Window
from widget_support import Qt, click, record, show, widgets


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.WindowPanel())
    panel.set_session(session)
    return panel


def test_a_new_session_begins_with_the_automatic_window(panel):
    assert panel.preset_combo.currentText() == "Automatic"
    assert (panel.low_spin.value(), panel.high_spin.value()) == (100, 900)


def test_a_preset_goes_to_the_session_and_is_told(panel, qtbot, session):
    chosen = record(panel.window_chosen)
    panel.preset_combo.setCurrentIndex(panel.preset_combo.findData("ct-soft-tissue") - 1)
    qtbot.keyClick(panel.preset_combo, Qt.Key.Key_Down)
    assert session.window == PRESETS["ct-soft-tissue"]
    assert chosen == ["ct-soft-tissue"]
    assert (panel.low_spin.value(), panel.high_spin.value()) == (-160, 240)


def test_limits_can_be_typed(panel, qtbot, session):
    chosen = record(panel.window_chosen)
    panel.low_spin.selectAll()
    qtbot.keyClicks(panel.low_spin, "-50")
    qtbot.keyClick(panel.low_spin, Qt.Key.Key_Return)
    assert session.window == Window(-50, 900)
    assert chosen == [(-50, 900)]
    assert panel.preset_combo.currentText() == "Custom"


def test_limits_in_the_wrong_order_are_refused_and_put_back(panel, session):
    problems = record(panel.problem)
    panel.low_spin.setValue(1000)
    assert session.window == Window(100, 900)
    assert panel.low_spin.value() == 100
    assert problems == ["Window low is 1000.0 and high is 900.0; give low before high."]


def test_it_shows_what_others_set(panel, session):
    session.set_window("ct-lung")
    assert panel.preset_combo.currentText() == "CT lung"
    session.set_window((3, 4))
    assert panel.preset_combo.currentText() == "Custom"
    session.undo()
    assert panel.preset_combo.currentText() == "CT lung"
    session.undo()
    assert panel.preset_combo.currentText() == "Automatic"


def test_following_the_layer_leaves_nothing_else_to_set(panel, qtbot):
    toggled = record(panel.follow_layer_toggled)
    panel.follow_check.setFocus()
    qtbot.keyClick(panel.follow_check, Qt.Key.Key_Space)
    assert toggled == [True]
    assert panel.follow_layer
    assert not panel.preset_combo.isEnabled()
    panel.set_follow_layer(False)
    assert toggled == [True]
    assert panel.preset_combo.isEnabled()


def test_it_shows_what_the_model_sees(panel, qtbot):
    assert panel.preview.is_empty
    panel.set_preview(np.full((8, 8), 0.5))
    middle = panel.preview.grab().toImage().pixelColor(48, 48)
    assert abs(middle.lightnessF() - 0.5) < 0.02
    panel.set_preview(None)
    assert panel.preview.is_empty


def test_without_session_nothing_can_be_set(panel, qtbot):
    panel.set_session(None)
    for widget in (panel.follow_check, panel.preset_combo, panel.low_spin, panel.high_spin):
        assert not widget.isEnabled()
    chosen = record(panel.window_chosen)
    click(qtbot, panel.preset_combo)
    assert chosen == []


def test_a_colour_image_has_no_contrast_limits_to_follow(panel):
    from models import ThresholdPredictor
    from stacksam.core.volume import Volume
    from stacksam.session import Session

    image = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)
    panel.set_follow_layer(True)
    panel.set_session(Session(Volume(image, rgb=True), ThresholdPredictor()))
    assert not panel.follow_check.isEnabled()
    assert panel.preset_combo.isEnabled()
