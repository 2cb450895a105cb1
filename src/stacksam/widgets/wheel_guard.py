"""Keeps the mouse wheel from changing settings while a user scrolls past them."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollBar, QWidget


class WheelGuard(QObject):
    """Lets combo boxes, spin boxes and sliders take the wheel only once they have the focus."""

    def watch(self, parent: QWidget) -> None:
        """Guard all of them inside a widget."""
        for widget in parent.findChildren(QWidget):
            is_setting = isinstance(widget, QComboBox | QAbstractSpinBox | QAbstractSlider)
            if is_setting and not isinstance(widget, QScrollBar):
                widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False
