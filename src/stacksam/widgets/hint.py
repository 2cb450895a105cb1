"""A line of quiet text: what to do next, or what is shown."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

QUIET = 0.7  # opacity


class Hint(QLabel):
    """Plain text that wraps and stands back behind the controls."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def show_text(self, text: str) -> None:
        """Show a text; without one the line takes no place."""
        self.setText(text)
        self.setVisible(bool(text))

    def paintEvent(self, event: object) -> None:
        painter = QPainter(self)
        painter.setOpacity(QUIET)
        painter.setPen(self.palette().color(self.foregroundRole()))
        flags = int(self.alignment()) | int(Qt.TextFlag.TextWordWrap)
        painter.drawText(self.contentsRect(), flags, self.text())
