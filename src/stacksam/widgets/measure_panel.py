"""Numbers of the committed objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from stacksam.widgets.amounts import readable_column
from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel

COMMIT_FIRST = "Commit objects first; then they can be measured."
MEASURE = "Volumes, areas and intensities of the committed objects."
MOST_ROWS = 6
CUBIC, MILLILITRES = "volume_mm3", "volume_ml"


class MeasurePanel(Panel):
    """Measure, look, save.

    Attributes
    ----------
    measure_asked : psygnal signal
    save_asked : psygnal signal (str)
        Path of the table to write.
    """

    follows: ClassVar[tuple[str, ...]] = ("labels_changed",)
    measure_asked = Signal()
    save_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measure_button = GlyphButton("ruler", "Measure", MEASURE)
        self.save_button = GlyphButton("save", "Save table ...", "Write the table to a CSV file")
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setAccessibleName("Measurements")
        self.table.verticalHeader().setVisible(False)
        self.hint = Hint(COMMIT_FIRST)
        buttons = QHBoxLayout()
        buttons.addWidget(self.measure_button, 1)
        buttons.addWidget(self.save_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(buttons)
        layout.addWidget(self.hint)
        layout.addWidget(self.table)
        self.measure_button.clicked.connect(lambda: self.measure_asked.emit())
        self.save_button.clicked.connect(self._on_save)
        self.set_table([])

    def set_table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show a table.

        Parameters
        ----------
        rows : sequence of mappings
            One per object; the first one's keys name the columns. None is shown as empty, tiny
            lengths, areas and volumes in mm as µm.
        """
        columns = list(rows[0]) if rows else []
        if readable_column(CUBIC, [row.get(CUBIC) for row in rows])[1] > 1:
            columns.remove(MILLILITRES)  # nobody reads millilitres of a cell
        self.table.setRowCount(len(rows))
        self.table.setColumnCount(len(columns))
        shown_as = [readable_column(c, [row.get(c) for row in rows]) for c in columns]
        self.table.setHorizontalHeaderLabels([title for title, _ in shown_as])
        for number, row in enumerate(rows):
            for place, column in enumerate(columns):
                self.table.setItem(number, place, _item(row.get(column), shown_as[place][1]))
        self.table.resizeColumnsToContents()
        self.table.resizeRowsToContents()
        shown = sum(self.table.rowHeight(k) for k in range(min(len(rows), MOST_ROWS)))
        header = self.table.horizontalHeader().sizeHint().height()
        bar = self.table.horizontalScrollBar().sizeHint().height()
        self.table.setFixedHeight(header + shown + bar + 4)
        self.refresh()

    def set_session(self, session: object) -> None:
        """Show another session; the table of the former one goes."""
        if session is not self.session:
            self.set_table([])
        super().set_session(session)  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Enable what can be used."""
        session = self.session
        is_committed = session is not None and any(
            o.label_id is not None for o in session.objects.values()
        )
        has_table = self.table.rowCount() > 0
        self.measure_button.setEnabled(is_committed)
        self.save_button.setEnabled(has_table)
        self.table.setVisible(has_table)
        self.hint.show_text("" if has_table else MEASURE if is_committed else COMMIT_FIRST)
        count = self.table.rowCount()
        self.summary_changed.emit(f"{count} objects" if count > 1 else "1 object" if count else "")

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", "measurements.csv", "CSV (*.csv);;All (*)"
        )
        if path:
            self.save_asked.emit(path)


def _item(value: Any, factor: float) -> QTableWidgetItem:
    if value is None:
        return QTableWidgetItem("")
    value = value * factor if isinstance(value, float) else value
    item = QTableWidgetItem(_number(value) if isinstance(value, float) else str(value))
    if isinstance(value, int | float):
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


def _number(value: float) -> str:
    """Four digits or more, without an exponent where the number is of an ordinary size."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"
