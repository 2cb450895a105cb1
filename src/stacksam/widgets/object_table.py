"""A session's objects as rows of a Qt table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from stacksam.widgets.amounts import size_text

if TYPE_CHECKING:
    from stacksam.session import Session
    from stacksam.session.state import ObjectInfo


class Column(IntEnum):
    """Columns from left to right."""

    SHOWN = 0
    LOCKED = 1
    COLOR = 2
    NAME = 3
    SLICES = 4
    SIZE = 5


HEADERS = {
    Column.SHOWN: "",
    Column.LOCKED: "",
    Column.COLOR: "Id",
    Column.NAME: "Name",
    Column.SLICES: "Slices",
    Column.SIZE: "Volume",
}
NUMBERS = (Column.SLICES, Column.SIZE)
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
COLOR_TIP = "The object's colour; double-click to change it"
SIZE_TIP = "Known once the object is propagated or measured"
PLAIN = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
FLAGS: dict[int, Qt.ItemFlag] = {
    Column.SHOWN: PLAIN | Qt.ItemFlag.ItemIsUserCheckable,
    Column.LOCKED: PLAIN | Qt.ItemFlag.ItemIsUserCheckable,
    Column.NAME: PLAIN | Qt.ItemFlag.ItemIsEditable,
}
Edit = Callable[[Callable[[], object]], bool]


class ObjectTable(QAbstractTableModel):
    """Rows are objects in the order in which they were begun; edits go to the session at once.

    Parameters
    ----------
    edit : callable
        Runs an edit and reports what the session refuses; `Panel.attempt`.
    """

    def __init__(self, edit: Edit) -> None:
        super().__init__()
        self._edit = edit
        self._session: Session | None = None
        self._rows: list[ObjectInfo] = []
        self._sizes: dict[int, tuple[int, str]] = {}  # slices and volume

    def set_session(self, session: Session | None) -> None:
        """Show another session."""
        self._session = session
        self._sizes = {}
        self.refresh()

    def set_sizes(self, sizes: Mapping[int, tuple[int, str]]) -> None:
        """Take over what was measured, {object id: (number of slices, text of the volume)}."""
        self._sizes |= sizes
        self._changed([0, len(self._rows) - 1])

    def refresh(self) -> None:
        """Show the session's objects; rows that stay keep their place and selection."""
        rows = [] if self._session is None else list(self._session.objects.values())
        before = self._rows
        if _ids(rows) != _ids(before):
            if _ids(rows[:-1]) == _ids(before):
                self.beginInsertRows(QModelIndex(), len(before), len(before))
                self._rows = rows
                self.endInsertRows()
            else:
                self.beginResetModel()
                self._rows = rows
                self.endResetModel()
                return
        self._rows = rows
        self._changed([k for k, (a, b) in enumerate(zip(before, rows, strict=False)) if a != b])

    def count(self, object_ids: Iterable[int]) -> None:
        """Count anew the slices and voxels on which these objects were found."""
        session = self._session
        for object_id in object_ids:
            is_known = session is not None and object_id in session.objects
            found = session.result(object_id) if session is not None and is_known else None
            self._sizes.pop(object_id, None)
            if session is not None and found is not None and found.slices:
                volume = size_text(int(found.areas.sum()), session.volume.spacing_zyx)
                self._sizes[object_id] = (len(found.slices), volume)
            self._changed([self.row_of(object_id)])

    def row_of(self, object_id: int | None) -> int:
        """The row of an object, -1 if there is none."""
        return next((k for k, r in enumerate(self._rows) if r.object_id == object_id), -1)

    def info(self, row: int) -> ObjectInfo:
        """The object of a row."""
        return self._rows[row]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[Column(section)]
        if role == Qt.ItemDataRole.TextAlignmentRole and section in NUMBERS:
            return RIGHT
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        return FLAGS.get(index.column(), PLAIN)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        info, column = self._rows[index.row()], Column(index.column())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self._text(info, column)
        if role == Qt.ItemDataRole.CheckStateRole and column in (Column.SHOWN, Column.LOCKED):
            is_on = info.is_visible if column == Column.SHOWN else info.is_locked
            return Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.DecorationRole and column == Column.COLOR:
            return QColor.fromRgbF(*info.color)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in NUMBERS:
            return RIGHT
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._tip(info, column)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        session = self._session
        if session is None or not index.isValid():
            return False
        object_id, column = self._rows[index.row()].object_id, index.column()
        is_done = False
        if role == Qt.ItemDataRole.EditRole and column == Column.NAME:
            name = str(value).strip()
            is_done = bool(name) and self._edit(lambda: session.rename(object_id, name))
        elif role == Qt.ItemDataRole.CheckStateRole:
            is_on = Qt.CheckState(value) == Qt.CheckState.Checked
            set_fact = session.set_visible if column == Column.SHOWN else session.set_locked
            is_done = self._edit(lambda: set_fact(object_id, is_on))
        if is_done:
            self.refresh()
        return is_done

    def _text(self, info: ObjectInfo, column: Column) -> str:
        n_slices, volume = self._sizes.get(info.object_id, (0, ""))
        if column == Column.SLICES:
            return str(n_slices) if n_slices else ""
        texts = {
            Column.COLOR: str(info.object_id),
            Column.NAME: info.name,
            Column.SIZE: volume,
        }
        return texts.get(column, "")

    def _tip(self, info: ObjectInfo, column: Column) -> str:
        shown = "Shown; click to hide" if info.is_visible else "Hidden; click to show"
        locked = "Locked: other objects cannot overwrite it" if info.is_locked else "Not locked"
        committed = f", committed as label {info.label_id}" if info.label_id else ""
        return {
            Column.SHOWN: shown,
            Column.LOCKED: locked,
            Column.COLOR: COLOR_TIP,
            Column.NAME: f"{info.name}{committed}",
        }.get(column, self._text(info, column) or SIZE_TIP)

    def _changed(self, rows: Sequence[int]) -> None:
        """Have all from the first to the last of these rows drawn anew."""
        if rows and 0 <= rows[0] <= rows[-1] < len(self._rows):
            last = self.index(rows[-1], len(Column) - 1)
            self.dataChanged.emit(self.index(rows[0], 0), last)


def _ids(rows: Sequence[ObjectInfo]) -> list[int]:
    return [row.object_id for row in rows]
