"""What the dock says about the Qt binding that it finds."""

import sys

import pytest

from window_support import why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")

import qtpy

from stacksam.plugin.dock_widget import known_trouble


@pytest.mark.parametrize(
    ("binding", "version", "python", "is_trouble"),
    [
        ("PySide6", "6.12.0", (3, 11), True),
        ("PySide6", "6.12.0", (3, 12), False),
        ("PySide6", "6.11.2", (3, 11), False),
        ("PyQt6", None, (3, 11), False),
    ],
)
def test_a_binding_that_ends_python_is_told(monkeypatch, binding, version, python, is_trouble):
    monkeypatch.setattr(qtpy, "API_NAME", binding)
    monkeypatch.setattr(qtpy, "PYSIDE_VERSION", version)
    monkeypatch.setattr(sys, "version_info", python)
    text = known_trouble()
    assert bool(text) == is_trouble
    if is_trouble:
        assert 'pip install "PySide6<6.12"' in text
