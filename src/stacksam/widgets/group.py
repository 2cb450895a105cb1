"""A part of the dock that can be folded away."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QFont, QFontMetrics, QPainter, QPalette
from qtpy.QtWidgets import QAbstractButton, QSizePolicy, QVBoxLayout, QWidget

from stacksam.widgets.glyphs import draw_glyph
from stacksam.widgets.hint import QUIET


class GroupHeader(QAbstractButton):
    """The line that opens and closes a group: arrow, title, and while closed what is inside."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText(title)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.summary = ""

    def sizeHint(self) -> QSize:
        return QSize(100, self.fontMetrics().height() + 8)

    def paintEvent(self, event: object) -> None:
        painter = QPainter(self)
        color = self.palette().color(QPalette.ColorRole.WindowText)
        height = self.height()
        arrow = QRectF(0, (height - 12) / 2, 12, 12)
        draw_glyph(painter, "open" if self.isChecked() else "closed", arrow, color)
        bold = QFont(self.font())
        bold.setBold(True)
        painter.setPen(color)
        painter.setFont(bold)
        width = self.width() - 18
        title = QFontMetrics(bold).horizontalAdvance(self.text())
        flags = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        painter.drawText(QRectF(18, 0, width, height), flags, self.text())
        painter.setFont(self.font())
        room = 0 if self.isChecked() else width - title - 10
        short = self.fontMetrics().elidedText(self.summary, Qt.TextElideMode.ElideRight, room)
        painter.setOpacity(QUIET)
        painter.drawText(QRectF(18 + title + 10, 0, room, height), flags, short)
        if self.hasFocus() or self.underMouse():
            painter.setOpacity(1.0 if self.hasFocus() else 0.4)
            painter.drawLine(0, height - 1, self.width(), height - 1)


class Group(QWidget):
    """A title over a widget that can be hidden.

    Parameters
    ----------
    title : str
    content : QWidget
    is_open : bool

    Attributes
    ----------
    toggled : psygnal signal (bool)
        The user, or the program, opened or closed it.
    """

    toggled = Signal(bool)

    def __init__(
        self, title: str, content: QWidget, is_open: bool = True, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.header = GroupHeader(title)
        self.content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.header)
        layout.addWidget(content)
        content.setContentsMargins(4, 0, 0, 2)
        self.header.toggled.connect(self._on_toggled)
        self.header.setChecked(is_open)
        content.setVisible(is_open)

    @property
    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self.header.isChecked()

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self.header.setChecked(is_open)

    def set_summary(self, text: str) -> None:
        """Say in a few words what is inside, beside the title."""
        self.header.summary = text
        self.header.setAccessibleDescription(text)
        self.header.update()

    def _on_toggled(self, is_open: bool) -> None:
        self.content.setVisible(is_open)
        self.toggled.emit(is_open)
