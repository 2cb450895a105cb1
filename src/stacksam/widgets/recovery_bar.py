"""Earlier work on the image that is open, offered again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from stacksam.widgets.combos import fill_combo
from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel


class RecoveryBar(Panel):
    """Offers to restore earlier sessions; hidden when there is none.

    Attributes
    ----------
    restore_asked, discard_asked : psygnal signals (key)
        `key` is the one given to `offer`.
    """

    restore_asked = Signal(object)
    discard_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offers: dict[Hashable, str] = {}
        self.title = QLabel("Earlier work on this image")
        self.hint = Hint()
        self.combo = QComboBox()
        self.combo.setAccessibleName("Earlier work")
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(8)
        self.restore_button = GlyphButton("undo", "Restore", "Open it as it was")
        self.discard_button = GlyphButton("trash", "Discard", "Delete this earlier work")
        buttons = QHBoxLayout()
        buttons.addWidget(self.restore_button, 1)
        buttons.addWidget(self.discard_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 6)
        layout.setSpacing(SPACING)
        layout.addWidget(self.title)
        layout.addWidget(self.hint)
        layout.addWidget(self.combo)
        layout.addLayout(buttons)
        self.restore_button.clicked.connect(lambda: self._answer(self.restore_asked))
        self.discard_button.clicked.connect(lambda: self._answer(self.discard_asked))
        self.offer([])

    def offer(self, offers: Sequence[Mapping[str, Any]]) -> None:
        """Offer earlier work, each with a ``text`` to show and a ``key`` to name it by."""
        self._offers = {offer["key"]: str(offer["text"]) for offer in offers}
        fill_combo(self.combo, list(self._offers.items()))
        self.combo.setVisible(len(self._offers) > 1)
        is_one = len(self._offers) == 1
        self.hint.show_text(next(iter(self._offers.values())) if is_one else "")
        self.setVisible(bool(self._offers))

    def _answer(self, signal: Any) -> None:
        key = self.combo.currentData()
        left = [{"key": k, "text": text} for k, text in self._offers.items() if k != key]
        self.offer(left)
        signal.emit(key)
