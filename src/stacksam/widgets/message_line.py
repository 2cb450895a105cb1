"""One line that says what happened last."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from stacksam.widgets.glyph_button import GlyphButton


class MessageLine(QWidget):
    """A message until the next one, or until it is closed; takes no place without one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setWordWrap(True)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.close_button = GlyphButton("cross", "", "Close this message")
        row = QHBoxLayout()
        row.setContentsMargins(0, 2, 0, 2)
        row.addWidget(self.label, 1)
        row.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.addLayout(row)
        self.close_button.clicked.connect(lambda: self.show_message(""))
        self._is_error = False
        self.setVisible(False)

    @property
    def text(self) -> str:
        """What is shown."""
        return self.label.text()

    @property
    def is_error(self) -> bool:
        """Whether the message says that something went wrong."""
        return self._is_error

    def show_message(self, text: str, is_error: bool = False) -> None:
        """Show a message; an error is set in bold."""
        self._is_error = is_error and bool(text)
        font = self.label.font()
        font.setBold(self._is_error)
        self.label.setFont(font)
        self.label.setText(text)
        self.setVisible(bool(text))
