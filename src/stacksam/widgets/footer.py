"""The last line of the dock."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from stacksam.widgets.cheat_sheet import CheatSheet
from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import Panel

RESEARCH_ONLY = "Research use only, not a medical device"


class Footer(Panel):
    """What this is for, the keys, and facts for a bug report.

    Attributes
    ----------
    diagnostics_asked : psygnal signal
        Versions and device are to be copied to the clipboard.
    """

    diagnostics_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys: list[tuple[str, str]] = []
        self.keys_button = GlyphButton("keys", "Keys", "Show all keyboard shortcuts")
        self.diagnostics_button = GlyphButton(
            "copy", "Copy diagnostics", "Versions and device for a bug report: no data, no paths"
        )
        self.notice = Hint(RESEARCH_ONLY)
        self.notice.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        row = QHBoxLayout()
        row.addWidget(self.keys_button, 1)
        row.addWidget(self.diagnostics_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.notice)
        self.keys_button.clicked.connect(self.show_keys)
        self.diagnostics_button.clicked.connect(lambda: self.diagnostics_asked.emit())
        self.set_keys([])

    def set_keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """Take over what the cheat sheet shows: (key, text)."""
        self._keys = list(keys)
        self.keys_button.setEnabled(bool(self._keys))

    def show_keys(self) -> CheatSheet:
        """Open the cheat sheet beside the window."""
        sheet = CheatSheet(self._keys, self)
        sheet.show()
        return sheet
