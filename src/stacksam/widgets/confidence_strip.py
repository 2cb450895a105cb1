"""How sure the propagation is along the stack, and the way to its weakest slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from psygnal import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import Panel
from stacksam.widgets.strip_plot import StripPlot


class ConfidenceStrip(Panel):
    """A small plot along the slice axis; a click goes to a slice.

    Attributes
    ----------
    slice_chosen : psygnal signal (int)
    """

    follows: ClassVar[tuple[str, ...]] = ("active_changed", "objects_changed")
    slice_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = StripPlot()
        self.hint = Hint()
        self.worst_button = GlyphButton(
            "target", "Least certain", "Go to the slice that most needs a look"
        )
        row = QHBoxLayout()
        row.addWidget(self.hint, 1)
        row.addWidget(self.worst_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.plot)
        layout.addLayout(row)
        self.plot.slice_chosen.connect(self._on_chosen)
        self.worst_button.clicked.connect(self.go_to_least_certain)
        self.refresh()

    def set_values(
        self,
        confidence: np.ndarray,
        area: np.ndarray,
        keyframes: Sequence[int],
        current: int | None = None,
    ) -> None:
        """Show an object's result; emits nothing.

        Parameters
        ----------
        confidence : ndarray of shape (n,), float in [0, 1]
        area : ndarray of shape (n,)
            Pixels of the object on each slice; 0 where it was not found.
        keyframes : sequence of int
            Slices that the user marked.
        current : int, optional
            The slice in view.

        Raises
        ------
        ValueError
            If the two arrays differ in length.
        """
        if np.shape(confidence) != np.shape(area):
            raise ValueError(
                f"confidence has shape {np.shape(confidence)} and area {np.shape(area)}; they "
                "have to be equal"
            )
        self.plot.set_values(confidence, area, keyframes)
        if self.plot.n_slices and self.parentWidget() is not None:
            self.show()  # see CandidatePanel.set_candidates
        self.set_current(current)

    def set_current(self, index: int | None) -> None:
        """Move the marker of the slice in view; emits nothing."""
        self.plot.current = index
        self.plot.update()
        self._describe()

    def clear(self) -> None:
        """Show nothing."""
        self.set_values(np.zeros(0), np.zeros(0), [])

    def least_certain(self) -> int | None:
        """The slice with the lowest confidence among those found but not marked by the user."""
        is_open = self.plot.area > 0
        is_open[[k for k in self.plot.keyframes if 0 <= k < len(is_open)]] = False
        if not is_open.any():
            return None
        return int(np.argmin(np.where(is_open, self.plot.confidence, np.inf)))

    def go_to_least_certain(self) -> None:
        """Ask for the least certain slice, if there is one."""
        index = self.least_certain()
        if index is not None:
            self.set_current(index)
            self.slice_chosen.emit(index)

    def refresh(self) -> None:
        """Take the active object's colour."""
        active = self.active
        if self.session is None and self.plot.n_slices:
            self.clear()
        self.plot.color = None if active is None else QColor.fromRgbF(*active.color)
        self.plot.update()
        self._describe()

    def _describe(self) -> None:
        current = self.plot.current
        is_known = current is not None and 0 <= current < self.plot.n_slices
        self.hint.setText(self.plot.describe(current or 0) if is_known else "")
        self.worst_button.setEnabled(self.least_certain() is not None)

    def _on_chosen(self, index: int) -> None:
        self._describe()
        self.slice_chosen.emit(index)
