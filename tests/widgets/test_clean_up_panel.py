"""Clean-up of the active object."""

import pytest

from stacksam.core.cleanup import CleanUp
from widget_support import Qt, show, widgets


@pytest.fixture
def panel(qtbot, marked):
    panel = show(qtbot, widgets.CleanUpPanel())
    panel.set_session(marked)
    return panel


def test_settings_go_to_the_active_object(panel, qtbot, marked):
    marked.new_object()
    marked.active_object = 1
    qtbot.keyClick(panel.holes_check, Qt.Key.Key_Space)
    panel.smooth_spin.setValue(1.5)
    assert marked.objects[1].clean_up == CleanUp(fill_holes=True, smooth=1.5)
    assert marked.objects[2].clean_up is None


def test_each_change_is_a_step(panel, qtbot, marked):
    qtbot.keyClick(panel.holes_check, Qt.Key.Key_Space)
    qtbot.keyClick(panel.largest_check, Qt.Key.Key_Space)
    marked.undo()
    assert panel.holes_check.isChecked()
    assert not panel.largest_check.isChecked()
    marked.undo()
    assert not panel.holes_check.isChecked()
    assert marked.objects[1].clean_up is None


def test_all_off_is_no_clean_up(panel, marked):
    panel.size_spin.setValue(30)
    assert marked.objects[1].clean_up == CleanUp(min_size=30)
    panel.size_spin.setValue(0)
    assert marked.objects[1].clean_up is None


def test_it_shows_the_active_objects_settings(panel, marked):
    marked.set_clean_up(1, CleanUp(keep_largest=True, min_size=12, min_size_unit="mm"))
    assert panel.settings == CleanUp(keep_largest=True, min_size=12, min_size_unit="mm")
    marked.new_object()
    assert panel.settings.is_off


def test_a_unit_alone_changes_nothing(panel, marked):
    marked_before = marked.undo_text
    panel.unit_combo.setCurrentIndex(1)
    assert marked.undo_text == marked_before


def test_millimetres_need_a_spacing(panel, qtbot):
    from models import ThresholdPredictor, stack_of, two_tubes
    from stacksam.session import Session

    assert panel.unit_combo.isEnabled()
    session = Session(stack_of(two_tubes()), ThresholdPredictor())
    session.new_object()
    panel.unit_combo.setCurrentIndex(1)
    panel.set_session(session)
    assert not panel.unit_combo.isEnabled()
    panel.size_spin.setValue(5)
    assert session.objects[1].clean_up == CleanUp(min_size=5, min_size_unit="px")


@pytest.mark.parametrize("has_session", [True, False])
def test_without_an_active_object_nothing_can_be_set(panel, marked, has_session):
    marked.active_object = None
    panel.set_session(marked if has_session else None)
    assert not panel.holes_check.isEnabled()
    assert not panel.size_spin.isEnabled()
    assert panel.hint.text() == "Choose an object in the list first."
