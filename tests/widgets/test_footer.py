"""The notice, the cheat sheet, diagnostics."""

import pytest

from widget_support import QtWidgets, click, record, show, widgets


@pytest.fixture
def footer(qtbot):
    return show(qtbot, widgets.Footer())


def test_it_is_said_that_this_is_for_research(footer):
    assert footer.notice.text() == "Research use only, not a medical device"
    assert footer.notice.isVisible()


def test_diagnostics_are_a_wish(footer, qtbot):
    asked = record(footer.diagnostics_asked)
    click(qtbot, footer.diagnostics_button)
    assert asked == [()]


def test_keys_open_the_cheat_sheet(footer, qtbot):
    assert not footer.keys_button.isEnabled()
    footer.set_keys([("P", "Point"), ("Shift+P", "Propagate")])
    click(qtbot, footer.keys_button)
    sheet = footer.findChild(widgets.CheatSheet)
    texts = [label.text() for label in sheet.findChildren(QtWidgets.QLabel)]
    assert texts == ["P", "Point", "Shift+P", "Propagate"]
    sheet.close()
