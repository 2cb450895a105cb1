"""Choosing a model."""

import pytest

from widget_support import Qt, QtWidgets, click, record, show, widgets

MODELS = [
    {"name": "compact", "text": "built in", "size": "13 MB", "licence": "BSD", "is_ready": True},
    {"name": "vit_t", "text": "fast", "size": "40 MB", "licence": "Apache", "is_ready": True},
    {"name": "vit_b", "text": "general", "size": "375 MB", "licence": "Apache", "is_ready": False},
]


@pytest.fixture
def panel(qtbot):
    panel = show(qtbot, widgets.ModelPanel())
    panel.set_models(MODELS, "compact")
    return panel


def choose(panel, qtbot, steps):
    for _ in range(steps):
        qtbot.keyClick(panel.combo, Qt.Key.Key_Down)


def test_a_model_that_is_here_is_used_at_once(panel, qtbot):
    chosen = record(panel.model_chosen)
    choose(panel, qtbot, 1)
    assert chosen == ["vit_t"]
    assert not panel.get_button.isVisible()
    assert panel.hint.text() == "fast, 40 MB, Apache"


def test_a_model_that_has_to_be_fetched_is_asked_for(panel, qtbot):
    choose(panel, qtbot, 2)
    chosen = record(panel.model_chosen)
    assert panel.combo.currentText() == "vit_b (download)"
    assert panel.hint.text() == "general, 375 MB, Apache"
    assert chosen == []
    click(qtbot, panel.get_button)
    assert chosen == ["vit_b"]


def test_while_a_model_loads_no_other_can_be_chosen(panel):
    panel.show_busy("Downloading vit_b: 20 of 375 MB")
    assert not panel.combo.isEnabled()
    assert not panel.file_button.isEnabled()
    assert panel.hint.text() == "Downloading vit_b: 20 of 375 MB"
    panel.show_busy(None)
    assert panel.combo.isEnabled()
    assert panel.hint.text() == "built in, 13 MB, BSD"


def test_a_file_may_be_chosen(panel, qtbot, monkeypatch):
    files = record(panel.file_chosen)
    answers = iter([("", ""), ("Änderung 1.safetensors", "")])
    monkeypatch.setattr(
        QtWidgets.QFileDialog, "getOpenFileName", lambda *args, **kwargs: next(answers)
    )
    click(qtbot, panel.file_button)
    assert files == []
    click(qtbot, panel.file_button)
    assert files == ["Änderung 1.safetensors"]


def test_without_models_nothing_can_be_chosen(qtbot):
    panel = show(qtbot, widgets.ModelPanel())
    assert not panel.combo.isEnabled()
    assert panel.hint.text() == ""
