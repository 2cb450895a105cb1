"""Commit, undo, redo, export, import."""

import pytest

from widget_support import QtWidgets, click, record, show, widgets


@pytest.fixture
def panel(qtbot, session):
    panel = show(qtbot, widgets.CommitPanel())
    panel.set_session(session)
    return panel


def test_nothing_can_be_committed_before_an_object_is_marked(panel, session):
    assert not panel.commit_button.isEnabled()
    session.new_object()
    assert not panel.commit_button.isEnabled()
    session.add_box(1, 5, (11, 13, 34, 36))
    assert panel.commit_button.isEnabled()


def test_commit_is_a_wish_that_says_whether_others_give_way(panel, qtbot, marked):
    asked = record(panel.commit_asked)
    click(qtbot, panel.commit_button)
    panel.overwrite_check.setChecked(True)
    click(qtbot, panel.commit_button)
    assert asked == [False, True]
    assert marked.objects[1].label_id is None


def test_undo_and_redo_say_what_they_do_and_do_it(panel, qtbot, session):
    assert not panel.undo_button.isEnabled()
    assert panel.undo_button.toolTip() == "Nothing to undo"
    session.new_object("liver")
    assert panel.undo_button.toolTip() == f"Undo: {session.undo_text}"
    click(qtbot, panel.undo_button)
    assert session.objects == {}
    assert not panel.undo_button.isEnabled()
    assert panel.redo_button.toolTip() == f"Redo: {session.redo_text}"
    click(qtbot, panel.redo_button)
    assert session.objects[1].name == "liver"
    assert not panel.redo_button.isEnabled()


def test_export_asks_for_a_file_once_there_are_labels(panel, qtbot, marked, monkeypatch):
    asked = record(panel.export_asked)
    assert not panel.export_button.isEnabled()
    marked.commit(1)
    assert panel.export_button.isEnabled()
    answers = iter([("", ""), ("Ordner mit Ümlaut/labels.nrrd", "")])
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName", lambda *args: next(answers))
    click(qtbot, panel.export_button)
    assert asked == []
    click(qtbot, panel.export_button)
    assert asked == ["Ordner mit Ümlaut/labels.nrrd"]


def test_labels_layers_can_be_imported(panel, qtbot, session):
    panel.imports.set_open(True)
    asked = record(panel.import_asked)
    assert not panel.objects_button.isEnabled()
    assert panel.import_hint.isVisible()
    panel.set_label_layers([("a", "nuclei"), ("b", "cells")])
    assert not panel.import_hint.isVisible()
    assert panel.import_key == "a"
    click(qtbot, panel.objects_button)
    assert not panel.keyframes_button.isEnabled()  # there is no object that could take them
    session.new_object()
    click(qtbot, panel.keyframes_button)
    assert asked == [False, True]
    panel.set_label_layers([])
    assert panel.import_key is None
    assert not panel.objects_button.isEnabled()


def test_without_session_nothing_can_be_used(panel, marked):
    marked.commit(1)
    panel.set_label_layers([("a", "nuclei")])
    panel.set_session(None)
    for button in panel.findChildren(QtWidgets.QPushButton):
        assert not button.isEnabled()
    panel.undo()
    panel.redo()
    assert marked.objects[1].label_id == 1
