"""Modes of the mouse."""

import pytest

from widget_support import Qt, click, record, show, widgets


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.PromptPanel())
    panel.set_session(session)
    return panel


@pytest.mark.parametrize("mode", widgets.MODES)
def test_a_click_chooses_a_mode_and_the_hint_explains_it(panel, qtbot, mode):
    panel.set_mode("pan" if mode != "pan" else "box")
    chosen, before = record(panel.mode_chosen), panel.hint.text()
    click(qtbot, panel.buttons[mode])
    assert chosen == [mode]
    assert panel.mode == mode
    assert panel.hint.text() != before
    assert [b.isChecked() for b in panel.buttons.values()].count(True) == 1


def test_keys_choose_too(panel, qtbot):
    chosen = record(panel.mode_chosen)
    panel.buttons["box"].setFocus()
    qtbot.keyClick(panel.buttons["box"], Qt.Key.Key_Space)
    assert chosen == ["box"]


def test_the_program_sets_a_mode_in_silence(panel):
    chosen = record(panel.mode_chosen)
    panel.set_mode("lasso")
    assert panel.mode == "lasso"
    assert chosen == []
    with pytest.raises(ValueError, match="mode is 'eraser'; choose one of point"):
        panel.set_mode("eraser")


def test_only_scribbles_can_exclude(panel, qtbot):
    toggled = record(panel.negative_toggled)
    panel.set_mode("box")
    assert not panel.negative_button.isEnabled()
    panel.set_mode("scribble")
    assert not panel.is_negative
    click(qtbot, panel.negative_button)
    assert panel.is_negative
    assert toggled == [True]
    panel.set_mode("point+")
    assert not panel.is_negative


def test_every_button_has_a_name_and_a_tip(panel):
    names = {button.accessibleName() for button in panel.buttons.values()}
    assert len(names) == len(widgets.MODES)
    assert all(button.toolTip() for button in panel.buttons.values())


def test_a_finished_object_is_explained(panel, marked):
    marked.commit(1)
    panel.set_mode("box")
    assert "finished" in panel.hint.text()
    marked.set_locked(1, False)
    assert "finished" not in panel.hint.text()


def test_without_session_no_mode_can_be_chosen(panel, qtbot):
    panel.set_session(None)
    chosen = record(panel.mode_chosen)
    click(qtbot, panel.buttons["box"])
    assert chosen == []
    assert panel.hint.text() == "Choose an image, then mark an object in it."
