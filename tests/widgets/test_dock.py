"""All panels in one dock, at 320 px."""

import pytest

from widget_support import Qt, QtCore, QtGui, QtWidgets, click, record, show, widgets
from window_support import wait_for

PANELS = {
    "image": "ImagePanel",
    "model": "ModelPanel",
    "window_panel": "WindowPanel",
    "objects": "ObjectPanel",
    "prompts": "PromptPanel",
    "candidates": "CandidatePanel",
    "cleanup": "CleanUpPanel",
    "propagation": "PropagationPanel",
    "strip": "ConfidenceStrip",
    "commit": "CommitPanel",
    "measure": "MeasurePanel",
    "recovery": "RecoveryBar",
    "footer": "Footer",
}


@pytest.fixture
def dock(qtbot):
    return show(qtbot, widgets.SegmentDock(), height=900)


def open_all(dock):
    for group in dock.findChildren(widgets.Group):
        group.set_open(True)
    dock.recovery.offer([{"text": "liver.nii.gz, 12 steps", "key": "a"}])
    QtWidgets.QApplication.processEvents()


def test_every_panel_gets_the_session(dock, session):
    dock.set_session(session)
    for attribute, name in PANELS.items():
        panel = getattr(dock, attribute)
        assert type(panel) is getattr(widgets, name)
        assert panel.session is session
    dock.set_session(None)
    assert all(getattr(dock, attribute).session is None for attribute in PANELS)


def test_320_pixels_are_enough(dock, marked):
    dock.set_session(marked)
    dock.image.set_layers([("a", "a very long name of an image layer, channel 3")])
    dock.image.set_axes(4, 100)
    open_all(dock)
    assert dock.width() == 320
    assert dock.area.horizontalScrollBar().maximum() == 0


def test_no_text_of_a_button_is_cut(dock, marked):
    dock.set_session(marked)
    open_all(dock)
    for button in dock.findChildren(QtWidgets.QPushButton):
        if button.isVisible():
            assert button.width() >= button.fontMetrics().horizontalAdvance(button.text())


def test_rarely_used_groups_are_closed(dock):
    closed = {name for name, group in dock.groups.items() if not group.is_open}
    assert closed == {"model", "window", "cleanup", "measure"}


def test_groups_open_and_close_by_mouse_and_key(dock, qtbot):
    group = dock.groups["model"]
    toggled = record(group.toggled)
    assert not dock.model.isVisible()
    click(qtbot, group.header)
    assert dock.model.isVisible()
    qtbot.keyClick(group.header, Qt.Key.Key_Space)
    assert not dock.model.isVisible()
    assert toggled == [True, False]


def test_closed_groups_say_what_is_inside(dock, session):
    dock.model.set_models([{"name": "compact", "is_ready": True}], "compact")
    dock.set_session(session)
    assert dock.groups["model"].header.summary == "compact"
    assert dock.groups["window"].header.summary == "Automatic, 100 to 900"
    session.new_object("liver")
    assert dock.groups["cleanup"].header.summary == "off"


def test_a_problem_in_a_panel_is_shown(dock, qtbot, session):
    dock.set_session(session)
    dock.window_panel.low_spin.setValue(1000)
    assert dock.message_line.is_error
    assert "give low before high" in dock.message_line.text
    click(qtbot, dock.message_line.close_button)
    assert not dock.message_line.isVisible()


def test_messages(dock):
    assert not dock.message_line.isVisible()
    dock.show_message("Committed liver as label 1.")
    assert dock.message_line.isVisible()
    assert not dock.message_line.is_error
    dock.show_message("The disk is full; free some space.", is_error=True)
    assert dock.message_line.is_error
    assert dock.message_line.text == "The disk is full; free some space."
    dock.show_message("")
    assert not dock.message_line.isVisible()


def wheel(widget):
    place = QtCore.QPointF(widget.rect().center())
    event = QtGui.QWheelEvent(
        place,
        widget.mapToGlobal(place),
        QtCore.QPoint(0, -120),
        QtCore.QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QtWidgets.QApplication.sendEvent(widget, event)


def test_scrolling_past_a_setting_leaves_it_alone(dock, qtbot, session):
    dock.set_session(session)
    dock.groups["window"].set_open(True)
    combo = dock.window_panel.preset_combo
    dock.prompts.buttons["box"].setFocus()
    wheel(combo)
    assert combo.currentText() == "Automatic"
    dock.activateWindow()
    combo.setFocus()
    wait_for(qtbot, combo.hasFocus)
    wheel(combo)
    assert combo.currentText() != "Automatic"


def test_tab_reaches_every_part(dock, qtbot, marked):
    dock.set_session(marked)
    open_all(dock)
    reached, widget = set(), dock
    for _ in range(400):
        widget = widget.nextInFocusChain()
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible():
            reached.add(widget)
    buttons = dock.findChildren(QtWidgets.QAbstractButton)
    assert {b for b in buttons if b.isVisible() and b.isEnabled()} <= reached


def test_everything_that_can_be_pressed_says_what_it_does(dock):
    for button in dock.findChildren(QtWidgets.QPushButton):
        assert button.toolTip(), button.text()
        assert button.accessibleName(), button.toolTip()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_follows_napari_themes(dock, marked, theme):
    napari_qt = pytest.importorskip("napari.qt")
    dock.setStyleSheet(napari_qt.get_stylesheet(theme))
    dock.set_session(marked)
    open_all(dock)
    assert dock.area.horizontalScrollBar().maximum() == 0
    button = dock.propagation.run_button
    image = button.grab().toImage()
    lightness = [
        image.pixelColor(x, y).lightness()
        for x in range(4, image.width() - 4)
        for y in range(4, image.height() - 4)
    ]
    ground = sorted(lightness)[len(lightness) // 2]
    contrast = max(lightness) - ground if theme == "dark" else ground - min(lightness)
    assert contrast > 80  # text and glyph can be read


def test_closing_the_dock_frees_the_session(qtbot, session):
    dock = widgets.SegmentDock()
    dock.set_session(session)
    dock.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(dock, QtCore.QEvent.Type.DeferredDelete.value)
    session.add_box(1, 5, (11, 13, 34, 36))
    session.propagate(1)
    session.commit(1)
    session.undo()
    assert session.can_redo
