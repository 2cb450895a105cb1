"""How the mouse marks an object."""

from __future__ import annotations

from typing import ClassVar

from psygnal import Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QVBoxLayout, QWidget

from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel

MODES = ("point+", "point-", "box", "scribble", "lasso", "paint", "pan")
TEXTS = {
    "point+": "Point",
    "point-": "Point",
    "box": "Box",
    "scribble": "Scribble",
    "lasso": "Lasso",
    "paint": "Paint",
    "pan": "Pan",
}
NAMES = {"point+": "Positive point", "point-": "Negative point"}  # for screen readers
HINTS = {
    "point+": "Click on the object, then on missing parts.",
    "point-": "Click on what does not belong to the object.",
    "box": "Drag a box around the object.",
    "scribble": "Draw a stroke along the object.",
    "lasso": "Draw around the object: this slice stays as drawn.",
    "paint": "Paint the object: this slice stays as painted.",
    "pan": "Drag to move the view, turn the wheel to zoom.",
}
FIRST = "Choose Point or Box, then mark an object in the image."
NEGATIVE_SCRIBBLE = "Draw a stroke over what does not belong to the object."
LOCKED = "This object is finished: the next mark begins a new one. “Edit again” reopens it."
ABSENT = "The object is not on this slice: propagation ends before it"
COLUMNS = 4


class PromptPanel(Panel):
    """Choose what the mouse does in the image.

    Attributes
    ----------
    mode_chosen : psygnal signal (str)
        One of `MODES`.
    negative_toggled : psygnal signal (bool)
        Whether scribbles mark what does not belong to the object.
    absent_asked : psygnal signal
        The active object is not on the slice in view.
    """

    follows: ClassVar[tuple[str, ...]] = ("active_changed", "objects_changed", "history_changed")
    mode_chosen = Signal(str)
    negative_toggled = Signal(bool)
    absent_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {mode: GlyphButton(mode, TEXTS[mode], HINTS[mode]) for mode in MODES}
        self.negative_button = GlyphButton("point-", "Exclude", NEGATIVE_SCRIBBLE)
        self.negative_button.setCheckable(True)
        self.absent_button = GlyphButton("absent", "Not on this slice", ABSENT)
        self.hint = Hint()
        self._choice = QButtonGroup(self)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        for number, (mode, button) in enumerate(self.buttons.items()):
            button.setCheckable(True)
            button.setAccessibleName(NAMES.get(mode, TEXTS[mode]))
            self._choice.addButton(button)
            grid.addWidget(button, number // COLUMNS, number % COLUMNS)
            button.clicked.connect(lambda _=False, mode=mode: self._on_clicked(mode))
        grid.addWidget(self.negative_button, len(MODES) // COLUMNS, len(MODES) % COLUMNS)
        grid.addWidget(self.absent_button, len(MODES) // COLUMNS + 1, 0, 1, COLUMNS)
        for column in range(COLUMNS):
            grid.setColumnStretch(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(grid)
        layout.addWidget(self.hint)
        self.negative_button.toggled.connect(self._on_negative)
        self.absent_button.clicked.connect(lambda: self.absent_asked.emit())
        self.set_mode("pan")

    @property
    def mode(self) -> str:
        """One of `MODES`."""
        return next(mode for mode, button in self.buttons.items() if button.isChecked())

    @property
    def is_negative(self) -> bool:
        """Whether a scribble drawn now marks what does not belong to the object."""
        return self.mode == "scribble" and self.negative_button.isChecked()

    def set_mode(self, mode: str) -> None:
        """Show that this mode is on; emits nothing.

        Raises
        ------
        ValueError
            If there is no such mode.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; choose one of {', '.join(MODES)}")
        self.buttons[mode].setChecked(True)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be used and say what a click does now."""
        session, mode = self.session, self.mode
        for button in self.buttons.values():
            button.setEnabled(session is not None)
        self.negative_button.setEnabled(session is not None and mode == "scribble")
        active = self.active
        can_end = active is not None and not active.is_locked and bool(active.prompts)
        self.absent_button.setEnabled(can_end)
        if session is None:
            self.hint.setText("Choose an image, then mark an object in it.")
        elif mode == "pan" and not session.objects:
            self.hint.setText(FIRST)
        elif active is not None and active.is_locked and mode != "pan":
            self.hint.setText(LOCKED)
        else:
            self.hint.setText(NEGATIVE_SCRIBBLE if self.is_negative else HINTS[mode])
        self.summary_changed.emit("" if session is None else NAMES.get(mode, TEXTS[mode]))

    def _on_clicked(self, mode: str) -> None:
        self.refresh()
        self.mode_chosen.emit(mode)

    def _on_negative(self, is_negative: bool) -> None:
        self.refresh()
        self.negative_toggled.emit(is_negative)
