"""The picture inside the confidence strip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from stacksam.widgets.hint import QUIET

HEIGHT = 66
TICKS = 9  # px below the curves for keyframes
EMPTY = "Confidence along the stack appears here after propagating."


class StripPlot(QWidget):
    """Confidence (line), area (filled), keyframes (triangles) and the current slice (bar).

    Attributes
    ----------
    slice_chosen : psygnal signal (int)
        The user clicked there, or moved there with the arrow keys.
    """

    slice_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.confidence, self.area = np.zeros(0), np.zeros(0)
        self.keyframes: tuple[int, ...] = ()
        self.current: int | None = None
        self.color: QColor | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Confidence along the stack")

    @property
    def n_slices(self) -> int:
        """Length of the axis."""
        return len(self.confidence)

    def set_values(
        self, confidence: np.ndarray, area: np.ndarray, keyframes: Sequence[int]
    ) -> None:
        """Take over what is to be drawn; see `ConfidenceStrip.set_values`."""
        self.confidence = np.nan_to_num(np.asarray(confidence, float))
        self.area = np.nan_to_num(np.asarray(area, float))
        self.keyframes = tuple(int(k) for k in keyframes)
        self.setCursor(
            Qt.CursorShape.PointingHandCursor if self.n_slices else Qt.CursorShape.ArrowCursor
        )
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT)

    def index_at(self, x: float) -> int | None:
        """The slice under a horizontal position."""
        if not self.n_slices:
            return None
        plot = self._plot
        return int(np.clip((x - plot.left()) / plot.width(), 0, 0.999999) * self.n_slices)

    def x_of(self, index: float) -> float:
        """Horizontal middle of a slice."""
        plot = self._plot
        return plot.left() + (index + 0.5) / max(self.n_slices, 1) * plot.width()

    def describe(self, index: int) -> str:
        """What a tool tip says about a slice."""
        if index in self.keyframes:
            return f"Slice {index}: marked by you"
        if self.area[index] <= 0:
            return f"Slice {index}: not found"
        return f"Slice {index}: {self.confidence[index]:.0%} sure"

    @property
    def _plot(self) -> QRectF:
        return QRectF(self.rect()).adjusted(3, 3, -3, -TICKS)

    def paintEvent(self, event: object) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        self._draw_frame(painter, text)
        if not self.n_slices:
            painter.setOpacity(QUIET)
            flags = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
            painter.drawText(self.rect().adjusted(6, 2, -6, -TICKS), flags, EMPTY)
            return
        self._draw_area(painter, text)
        self._draw_confidence(painter, self.color or text)
        self._draw_marks(painter, text)

    def _draw_frame(self, painter: QPainter, text: QColor) -> None:
        plot = self._plot
        painter.setOpacity(0.25)
        painter.setPen(QPen(text, 1))
        painter.drawRect(plot)
        if self.n_slices:
            painter.setPen(QPen(text, 1, Qt.PenStyle.DotLine))
            middle = plot.center().y()
            painter.drawLine(QPointF(plot.left(), middle), QPointF(plot.right(), middle))
        painter.setOpacity(1.0)
        painter.setPen(text)

    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, least confidence and largest area of each column; at most one per pixel."""
        n = self.n_slices
        starts = np.unique(np.linspace(0, n, min(n, int(self._plot.width())) + 1).astype(int)[:-1])
        found = self.area > 0
        least = np.minimum.reduceat(np.where(found, self.confidence, np.inf), starts)
        area = np.maximum.reduceat(self.area, starts)
        ends = np.append(starts[1:], n)
        return (starts + ends - 1) / 2, least, area

    def _draw_area(self, painter: QPainter, text: QColor) -> None:
        plot = self._plot
        at, _, area = self._columns()
        heights = area / max(area.max(), 1.0) * plot.height()
        half = plot.width() / len(at) / 2
        points = [QPointF(plot.left(), plot.bottom())]
        for index, height in zip(at, heights, strict=True):
            x, y = self.x_of(index), plot.bottom() - height
            points += [QPointF(x - half, y), QPointF(x + half, y)]
        points.append(QPointF(plot.right(), plot.bottom()))
        painter.save()
        painter.setOpacity(0.2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(text)
        painter.drawPolygon(QPolygonF(points))
        painter.restore()

    def _draw_confidence(self, painter: QPainter, color: QColor) -> None:
        """One line per run of slices on which the object was found, on a shade of the text."""
        shade = self.palette().color(QPalette.ColorRole.WindowText)
        shade.setAlphaF(0.45)
        for pen in (QPen(shade, 3.5), QPen(color, 2)):
            painter.setPen(pen)
            for line in self._lines():
                painter.drawPolyline(line)
                if len(line) == 1:
                    painter.drawPoint(line[0])

    def _lines(self) -> list[QPolygonF]:
        plot = self._plot
        at, least, _ = self._columns()
        lines: list[QPolygonF] = []
        run: list[QPointF] = []
        for index, value in zip([*at, 0.0], [*least, np.inf], strict=True):
            if np.isfinite(value):
                y = plot.bottom() - min(max(value, 0.0), 1.0) * plot.height()
                run.append(QPointF(self.x_of(index), y))
            elif run:
                lines.append(QPolygonF(run))
                run = []
        return lines

    def _draw_marks(self, painter: QPainter, text: QColor) -> None:
        plot = self._plot
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(text)
        for index in self.keyframes:
            x, y = self.x_of(index), plot.bottom() + 1
            tip = [QPointF(x, y), QPointF(x - 4, y + 6), QPointF(x + 4, y + 6)]
            painter.drawPolygon(QPolygonF(tip))
        if self.current is not None and 0 <= self.current < self.n_slices:
            x = self.x_of(self.current)
            painter.setPen(QPen(text, 1.5))
            painter.drawLine(QPointF(x, plot.top() - 2), QPointF(x, plot.bottom() + 1))
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(text, 1))
            painter.drawRect(plot)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._go(self.index_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        index = self.index_at(event.position().x())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(index)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip:
            index = self.index_at(event.pos().x())
            if index is not None:
                text = f"{self.describe(index)}, {self.area[index]:.0f} pixels"
                QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_PageDown: -10,
            Qt.Key.Key_PageUp: 10,
            Qt.Key.Key_Home: -self.n_slices,
            Qt.Key.Key_End: self.n_slices,
        }
        step = steps.get(Qt.Key(event.key()))
        if step is None or not self.n_slices:
            super().keyPressEvent(event)
            return
        self._go(int(np.clip((self.current or 0) + step, 0, self.n_slices - 1)))

    def _go(self, index: int | None) -> None:
        if index is not None and index != self.current:
            self.current = index
            self.update()
            self.slice_chosen.emit(index)
