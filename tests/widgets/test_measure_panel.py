"""The measurement table."""

import pytest

from widget_support import QtWidgets, click, record, show, widgets

ROWS = [
    {"label": 1, "name": "liver", "volume_mm3": 1530000.25, "mean": None},
    {"label": 2, "name": "Milz", "volume_mm3": 0.5, "mean": 3.0},
]


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.MeasurePanel())
    panel.set_session(session)
    return panel


def texts(panel):
    table = panel.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def test_measuring_needs_committed_objects(panel, qtbot, marked):
    assert not panel.measure_button.isEnabled()
    assert "Commit objects first" in panel.hint.text()
    marked.commit(1)
    asked = record(panel.measure_asked)
    click(qtbot, panel.measure_button)
    assert asked == [()]


def test_a_table_is_shown_and_can_be_saved(panel, qtbot, marked, monkeypatch):
    marked.commit(1)
    assert not panel.save_button.isEnabled()
    panel.set_table(ROWS)
    header = [panel.table.horizontalHeaderItem(k).text() for k in range(4)]
    assert header == ["label", "name", "volume mm³", "mean"]
    assert texts(panel) == [["1", "liver", "1530000", ""], ["2", "Milz", "0.5", "3"]]
    asked = record(panel.save_asked)
    answers = iter([("", ""), ("a b.csv", "")])
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName", lambda *args: next(answers))
    click(qtbot, panel.save_button)
    click(qtbot, panel.save_button)
    assert asked == ["a b.csv"]


def test_another_session_has_no_table_yet(panel):
    panel.set_table(ROWS)
    panel.set_session(panel.session)
    assert panel.table.isVisible()
    panel.set_session(None)
    assert not panel.table.isVisible()
    assert not panel.save_button.isEnabled()
