"""A push button with a glyph that follows the theme's text colour."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QPainter, QPalette
from qtpy.QtWidgets import QPushButton, QSizePolicy, QStyle, QStyleOptionButton, QWidget

from stacksam.widgets.glyphs import draw_glyph

MARGIN, GAP = 5, 4
FADED = 0.4  # opacity of what cannot be used


class GlyphButton(QPushButton):
    """A button with a glyph and, if there is one, a text beside it.

    Parameters
    ----------
    glyph : str
        A key of `stacksam.widgets.glyphs.GLYPHS`.
    text : str
    tip : str
        What it does, in the user's words.
    """

    def __init__(
        self, glyph: str, text: str = "", tip: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._glyph = glyph
        self.setToolTip(tip)
        self.setAccessibleName(text or tip)
        self.setAutoDefault(False)
        if not text:
            self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    @property
    def glyph(self) -> str:
        """Name of the drawing."""
        return self._glyph

    def set_glyph(self, glyph: str) -> None:
        """Show another drawing."""
        self._glyph = glyph
        self.update()

    @property
    def _glyph_size(self) -> int:
        return round(self.fontMetrics().height() * 0.95)

    def sizeHint(self) -> QSize:
        text = self.fontMetrics().horizontalAdvance(self.text())
        gap = GAP if self.text() else 0
        height = self.fontMetrics().height() + 2 * MARGIN
        return QSize(max(text + gap + self._glyph_size + 2 * MARGIN, height), height)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: object) -> None:
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = ""
        painter = QPainter(self)
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        if self.hasFocus() and option.state & QStyle.StateFlag.State_KeyboardFocusChange:
            self._draw_focus(painter)
        painter.setOpacity(1.0 if self.isEnabled() else FADED)
        color = self.palette().color(QPalette.ColorRole.ButtonText)
        size, text = self._glyph_size, self.text()
        width = size + (GAP + self.fontMetrics().horizontalAdvance(text) if text else 0)
        x, height = (self.width() - width) / 2, self.height()
        draw_glyph(painter, self._glyph, QRectF(x, (height - size) / 2, size, size), color)
        if text:
            place = QRectF(x + size + GAP, 0, self.width(), height)
            painter.setPen(color)
            painter.drawText(place, int(Qt.AlignmentFlag.AlignVCenter), text)

    def _draw_focus(self, painter: QPainter) -> None:
        painter.setPen(self.palette().color(QPalette.ColorRole.ButtonText))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -2, -2), 2, 2)
