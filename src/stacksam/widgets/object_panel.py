"""The list of objects, and what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal
from qtpy.QtCore import QModelIndex, QPoint, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.object_table import Column, ObjectTable
from stacksam.widgets.object_view import ObjectView
from stacksam.widgets.panel import SPACING, Panel, while_alive

if TYPE_CHECKING:
    from stacksam.session import Session
    from stacksam.session.state import ObjectInfo


class ObjectPanel(Panel):
    """Begin, choose, rename, colour, hide, lock and delete objects.

    Attributes
    ----------
    edit_asked : psygnal signal (int)
        A committed object is to be worked on again; it is unlocked and active already.
    go_to_asked : psygnal signal (int)
        The view is to show this object.
    """

    follows: ClassVar[tuple[str, ...]] = ("objects_changed", "active_changed", "history_changed")
    edit_asked = Signal(int)
    go_to_asked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = ObjectTable(self.attempt)
        self.view = ObjectView()
        self.view.setModel(self.table)
        self.view.size_columns()
        self.new_button = GlyphButton("plus", "New object", "Begin another object")
        self.edit_button = GlyphButton("pencil", "Edit again", "Unlock it and work on it again")
        self.go_button = GlyphButton("target", "", "Go to the object")
        self.delete_button = GlyphButton("trash", "", "Delete the object (undo brings it back)")
        buttons = QHBoxLayout()
        buttons.addWidget(self.new_button, 1)
        buttons.addWidget(self.edit_button, 1)
        buttons.addWidget(self.go_button)
        buttons.addWidget(self.delete_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.view)
        layout.addLayout(buttons)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._waiting_slices: set[int] = set()
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        self.new_button.clicked.connect(self.add)
        self.edit_button.clicked.connect(self.edit_again)
        self.go_button.clicked.connect(self._on_go)
        self.delete_button.clicked.connect(self.delete)
        self.view.delete_asked.connect(self.delete)
        self.view.doubleClicked.connect(self._on_double_click)
        self.view.selectionModel().currentRowChanged.connect(self._on_current_row)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._on_menu)

    def set_session(self, session: Session | None) -> None:
        """Show another session's objects."""
        if self.session is not None:
            self.session.results_changed.disconnect(self._on_results_changed, missing_ok=True)
        self._waiting_slices = set() if session is None else set(session.objects)
        self._session = session
        self.table.set_session(session)
        super().set_session(session)
        if session is not None:
            session.results_changed.connect(self._on_results_changed)

    def set_sizes(self, sizes: Mapping[int, tuple[int, str]]) -> None:
        """Show what was measured, {object id: (number of slices, "12.3 cm³")}."""
        self.table.set_sizes(sizes)

    def refresh(self) -> None:
        """Show the session's objects now; signals ask for it once per turn of the event loop."""
        self._timer.stop()
        self.table.count(self._waiting_slices)
        self._waiting_slices.clear()
        n_rows = self.table.rowCount()
        self.table.refresh()
        if self.table.rowCount() != n_rows:
            self.view.updateGeometry()
            self.view.viewport().update()
        self._show_active()
        self._show_buttons()

    def add(self) -> None:
        """Begin a new object, which becomes the active one."""
        session = self.session
        if session is not None:
            self.attempt(session.new_object)

    def delete(self) -> None:
        """Delete the active object; the one below it becomes active."""
        session, active = self.session, self.active
        if session is None or active is None:
            return
        row = self.table.row_of(active.object_id)
        if self.attempt(lambda: session.remove_object(active.object_id)):
            self.refresh()
            if self.table.rowCount():
                row = min(max(row, 0), self.table.rowCount() - 1)
                session.active_object = self.table.info(row).object_id

    def edit_again(self) -> None:
        """Unlock the active object, so that prompts can change it."""
        session, active = self.session, self.active
        if session is None or active is None:
            return
        if self.attempt(lambda: session.set_locked(active.object_id, False)):
            self.edit_asked.emit(active.object_id)

    def choose_color(self, object_id: int, color: QColor) -> None:
        """Give an object a colour."""
        session = self.session
        if session is not None and color.isValid():
            rgb = (color.redF(), color.greenF(), color.blueF())
            self.attempt(lambda: session.set_color(object_id, rgb))

    def show_only(self, object_id: int | None) -> None:
        """Hide all objects but one; None shows all."""
        session = self.session
        if session is not None:
            for other, info in session.objects.items():
                is_visible = object_id in (None, other)
                if info.is_visible != is_visible:
                    session.set_visible(other, is_visible)

    def _show_active(self) -> None:
        row = self.table.row_of(None if self.session is None else self.session.active_object)
        selection = self.view.selectionModel()
        if row < 0:
            selection.clear()
        elif selection.currentIndex().row() != row or not selection.hasSelection():
            selection.setCurrentIndex(
                self.table.index(row, max(selection.currentIndex().column(), 0)),
                selection.SelectionFlag.ClearAndSelect | selection.SelectionFlag.Rows,
            )

    def _show_buttons(self) -> None:
        row = self.table.row_of(None if self.session is None else self.session.active_object)
        info = None if row < 0 else self.table.info(row)
        self.new_button.setEnabled(self.session is not None)
        self.delete_button.setEnabled(info is not None)
        self.go_button.setEnabled(info is not None and _has_place(info))
        self.edit_button.setEnabled(info is not None and info.is_locked)
        count = self.table.rowCount()
        self.summary_changed.emit(f"{count}: {info.name}" if info else str(count or ""))

    def _on_current_row(self, current: QModelIndex, _: QModelIndex) -> None:
        if self.session is not None and current.isValid():
            object_id = self.table.info(current.row()).object_id
            if object_id != self.session.active_object:
                self.session.active_object = object_id

    def _on_go(self) -> None:
        active = self.active
        if active is not None and _has_place(active):
            self.go_to_asked.emit(active.object_id)

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() == Column.COLOR:
            self._ask_color(index.row())
        elif index.column() in (Column.SLICES, Column.SIZE):
            self._on_go()

    def _ask_color(self, row: int) -> None:
        info = self.table.info(row)
        before = QColor.fromRgbF(*info.color)
        color = QColorDialog.getColor(before, self, f"Colour of {info.name}")
        self.choose_color(info.object_id, color)

    def _on_menu(self, place: QPoint) -> None:
        index = self.view.indexAt(place)
        if index.isValid():
            self.menu(index.row()).popup(self.view.viewport().mapToGlobal(place))

    def menu(self, row: int) -> QMenu:
        """What a right click on a row offers."""
        info = self.table.info(row)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        name = self.table.index(row, Column.NAME)
        menu.addAction("Rename", lambda: self.view.edit(name))
        menu.addAction("Colour ...", lambda: self._ask_color(row))
        go = menu.addAction("Go to it", self._on_go)
        go.setEnabled(_has_place(info))
        menu.addAction("Edit again", self.edit_again).setEnabled(info.is_locked)
        menu.addSeparator()
        menu.addAction("Show only this", lambda: self.show_only(info.object_id))
        menu.addAction("Show all", lambda: self.show_only(None))
        menu.addSeparator()
        menu.addAction("Delete", self.delete)
        return menu

    @while_alive
    def _on_results_changed(self, object_id: int) -> None:
        self._waiting_slices.add(object_id)
        self._timer.start(0)

    @while_alive
    def _on_session_changed(self) -> None:
        self._timer.start(0)


def _has_place(info: ObjectInfo) -> bool:
    """Whether it is known where an object is."""
    return bool(info.prompts or info.label_id)
