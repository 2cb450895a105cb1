"""The table of objects: eye, lock, colour, name, slices, volume."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtCore import QEvent, QModelIndex, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QMouseEvent, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from stacksam.widgets.glyphs import draw_glyph
from stacksam.widgets.hint import QUIET
from stacksam.widgets.object_table import Column

EMPTY = "No objects yet: click on one in the image or draw a box around it."
FEWEST_ROWS, MOST_ROWS = 2, 8
GLYPHS = {Column.SHOWN: ("eye", "eye-off"), Column.LOCKED: ("locked", "unlocked")}


class ObjectDelegate(QStyledItemDelegate):
    """Draws toggles and colour chips; a click or the space key switches a toggle."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        column = index.column()
        if column not in (Column.SHOWN, Column.LOCKED, Column.COLOR):
            super().paint(painter, option, index)
            return
        self._paint_ground(painter, option, index)
        if column == Column.COLOR:
            self._paint_chip(painter, option, index)
            return
        is_on = _is_checked(index)
        glyph = GLYPHS[Column(column)][0 if is_on else 1]
        side = min(option.rect.height() - 4, option.rect.width() - 4, 16)
        rect = QRectF(0, 0, side, side)
        rect.moveCenter(QRectF(option.rect).center())
        painter.save()
        painter.setOpacity(1.0 if is_on else 0.35)
        draw_glyph(painter, glyph, rect, option.palette.color(QPalette.ColorRole.Text))
        painter.restore()

    def _paint_ground(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """The empty cell as the style draws it: selected, focused, or neither."""
        ground = QStyleOptionViewItem(option)
        self.initStyleOption(ground, index)
        ground.text, ground.icon = "", QIcon()
        ground.features = QStyleOptionViewItem.ViewItemFeature(0)
        style = option.widget.style()
        control = QStyle.ControlElement.CE_ItemViewItem
        style.drawControl(control, ground, painter, option.widget)

    @staticmethod
    def _paint_chip(painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        color = index.data(Qt.ItemDataRole.DecorationRole)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        chip = QRectF(option.rect).adjusted(2, 3, -2, -3)
        painter.drawRoundedRect(chip, 3, 3)
        painter.setPen(readable_on(color))
        painter.setFont(option.font)
        painter.drawText(chip, int(Qt.AlignmentFlag.AlignCenter), index.data())
        painter.restore()

    def editorEvent(
        self, event: QEvent, model: object, option: QStyleOptionViewItem, index: QModelIndex
    ) -> bool:
        if index.column() not in (Column.SHOWN, Column.LOCKED):
            return super().editorEvent(event, model, option, index)
        is_click = (
            event.type() == QEvent.Type.MouseButtonRelease
            and isinstance(event, QMouseEvent)
            and event.button() == Qt.MouseButton.LeftButton
        )
        is_space = (
            event.type() == QEvent.Type.KeyPress
            and isinstance(event, QKeyEvent)
            and event.key() == Qt.Key.Key_Space
        )
        if is_click or is_space:
            state = Qt.CheckState.Unchecked if _is_checked(index) else Qt.CheckState.Checked
            index.model().setData(index, state, Qt.ItemDataRole.CheckStateRole)
        return event.type() != QEvent.Type.MouseButtonPress


class ObjectView(QTreeView):
    """A flat list that fits 320 px and says what to do when it is empty.

    Attributes
    ----------
    delete_asked : psygnal signal
        The delete key was pressed.
    """

    delete_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setIndentation(0)
        self.setItemDelegate(ObjectDelegate(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setTabKeyNavigation(False)
        self.setAccessibleName("Objects")

    def size_columns(self) -> None:
        """Fix all columns but the name's, which takes what is left."""
        metrics, header = self.fontMetrics(), self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(16)
        header.setSectionsMovable(False)
        widths = {
            Column.SHOWN: 22,
            Column.LOCKED: 22,
            Column.COLOR: metrics.horizontalAdvance("000") + 12,
            Column.SLICES: metrics.horizontalAdvance("Slices") + 12,
            Column.SIZE: metrics.horizontalAdvance("00000 µm³") + 14,
        }
        for column, width in widths.items():
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)

    def sizeHint(self) -> QSize:
        model = self.model()
        rows = 0 if model is None else model.rowCount()
        row = max(self.sizeHintForRow(0), self.fontMetrics().height() + 6)
        shown = min(max(rows, FEWEST_ROWS), MOST_ROWS)
        return QSize(250, self.header().sizeHint().height() + shown * row + 4)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.delete_asked.emit()
            event.accept()
            return
        super().keyPressEvent(event)

    def paintEvent(self, event: object) -> None:
        super().paintEvent(event)
        if self.model() is None or self.model().rowCount():
            return
        painter = QPainter(self.viewport())
        painter.setOpacity(QUIET)
        painter.setPen(self.palette().color(QPalette.ColorRole.Text))
        flags = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        painter.drawText(self.viewport().rect().adjusted(8, 4, -8, -4), flags, EMPTY)


def readable_on(color: QColor) -> QColor:
    """Black or white, whichever can be read on a colour (ITU-R BT.601 luminance)."""
    luminance = 0.299 * color.redF() + 0.587 * color.greenF() + 0.114 * color.blueF()
    return QColor(Qt.GlobalColor.black if luminance > 0.5 else Qt.GlobalColor.white)


def _is_checked(index: QModelIndex) -> bool:
    state = index.data(Qt.ItemDataRole.CheckStateRole)  # Qt bindings differ: enum or number
    return Qt.CheckState(state) == Qt.CheckState.Checked
