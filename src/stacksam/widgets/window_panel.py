"""Which intensities the model sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from stacksam.core.windows import PRESETS, Window, WindowSpec
from stacksam.widgets.combos import fill_combo
from stacksam.widgets.panel import SPACING, Panel
from stacksam.widgets.picture import Picture

if TYPE_CHECKING:
    from stacksam.session import Session

NAMES = {
    "auto": "Automatic",
    "full": "Full range",
    "ct-soft-tissue": "CT soft tissue",
    "ct-lung": "CT lung",
    "ct-bone": "CT bone",
    "ct-brain": "CT brain",
    "ct-mediastinum": "CT mediastinum",
    "ct-liver": "CT liver",
    "ct-angio": "CT vessels",
}
CUSTOM = "custom"
PREVIEW_SIZE = 96


class WindowPanel(Panel):
    """One intensity window for the whole stack, with a small picture of what the model sees.

    Attributes
    ----------
    follow_layer_toggled : psygnal signal (bool)
        Whether the window is to follow the layer's contrast limits.
    window_chosen : psygnal signal (str or (low, high))
        The session has this window now.
    """

    follows: ClassVar[tuple[str, ...]] = ("window_changed",)
    follow_layer_toggled = Signal(bool)
    window_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chosen: tuple[str, Window] | None = None
        self.follow_check = QCheckBox("Follow the layer's contrast")
        self.follow_check.setToolTip("The model sees what you see: the layer's contrast limits")
        self.preset_combo = QComboBox()
        self.preset_combo.setAccessibleName("Window")
        self.preset_combo.setToolTip(
            "One intensity window for the whole stack; CT presets are in Hounsfield units"
        )
        self.low_spin, self.high_spin = _limit_spin("darkest"), _limit_spin("brightest")
        self.preview = Picture(PREVIEW_SIZE)
        self.preview.setToolTip("What the model sees on the current slice")
        self._lay_out()
        presets = [(name, NAMES.get(name, name)) for name in ("auto", "full", *PRESETS)]
        fill_combo(self.preset_combo, presets, "auto")
        self.follow_check.toggled.connect(self._on_follow)
        self.preset_combo.activated.connect(lambda _: self.choose(self.preset_combo.currentData()))
        for spin in (self.low_spin, self.high_spin):
            spin.valueChanged.connect(self._on_limits)
        self.refresh()

    def _lay_out(self) -> None:
        limits = QGridLayout()
        limits.setContentsMargins(0, 0, 0, 0)
        limits.addWidget(self.preset_combo, 0, 0, 1, 2)
        limits.addWidget(QLabel("Low"), 1, 0)
        limits.addWidget(self.low_spin, 1, 1)
        limits.addWidget(QLabel("High"), 2, 0)
        limits.addWidget(self.high_spin, 2, 1)
        limits.setColumnStretch(1, 1)
        row = QHBoxLayout()
        row.addLayout(limits, 1)
        row.addWidget(self.preview)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.follow_check)
        layout.addLayout(row)

    @property
    def follow_layer(self) -> bool:
        """Whether the window follows the layer's contrast limits."""
        return self.follow_check.isChecked()

    def set_follow_layer(self, follow: bool) -> None:
        """Check or clear the box; emits nothing."""
        with QSignalBlocker(self.follow_check):
            self.follow_check.setChecked(follow)
        self.refresh()

    def set_preview(self, image: np.ndarray | None) -> None:
        """Show what the model sees: an ndarray (S, S) of float in [0, 1], or nothing."""
        self.preview.set_image(image)

    def choose(self, spec: WindowSpec) -> None:
        """Give the session this window and tell about it."""
        session = self.session
        if session is not None:
            if not self.attempt(lambda: session.set_window(spec)):
                self.refresh()
                return
            self._chosen = (spec, session.window) if isinstance(spec, str) else None
            self.refresh()
        self.window_chosen.emit(spec)

    def set_session(self, session: Session | None) -> None:
        """Show another session's window."""
        self._chosen = None
        if session is not None and not self.follow_layer and not session.can_undo:
            self._chosen = ("auto", session.window)  # what a new session begins with
        super().set_session(session)

    def refresh(self) -> None:
        """Show the session's window."""
        is_there = self.session is not None
        is_colour = is_there and self.session.volume.rgb  # type: ignore[union-attr]
        self.follow_check.setEnabled(is_there and not is_colour)
        follows = self.follow_layer and not is_colour
        is_free = is_there and not follows
        for widget in (self.preset_combo, self.low_spin, self.high_spin):
            widget.setEnabled(is_free)
        if self.session is None:
            self.summary_changed.emit("")
            return
        window = self.session.window
        name = self._name_of(window)
        self._show_name(name)
        self._show_limits(window)
        text = "follows the layer" if follows else NAMES.get(name, name)
        limits = f"{window.low:.6g} to {window.high:.6g}"
        self.summary_changed.emit(limits if name == CUSTOM and is_free else f"{text}, {limits}")

    def _name_of(self, window: Window) -> str:
        """The name under which the window was chosen, or of the preset that it is."""
        if self._chosen is not None and self._chosen[1] == window:
            return self._chosen[0]
        known = [name for name, preset in PRESETS.items() if preset == window]
        return known[0] if known else CUSTOM

    def _show_name(self, name: str) -> None:
        combo = self.preset_combo
        with QSignalBlocker(combo):
            index = combo.findData(CUSTOM)
            if name == CUSTOM and index < 0:
                combo.addItem("Custom", CUSTOM)
            elif name != CUSTOM and index >= 0:
                combo.removeItem(index)
            combo.setCurrentIndex(combo.findData(name))

    def _show_limits(self, window: Window) -> None:
        width = max(window.high - window.low, 1e-6)
        decimals = int(np.clip(2 - np.floor(np.log10(width)), 0, 6))
        for spin, value in ((self.low_spin, window.low), (self.high_spin, window.high)):
            with QSignalBlocker(spin):
                spin.setDecimals(decimals)
                spin.setSingleStep(10.0 ** (np.floor(np.log10(width)) - 1))
                spin.setValue(value)

    def _on_follow(self, follow: bool) -> None:
        self._chosen = None
        self.refresh()
        self.follow_layer_toggled.emit(follow)

    def _on_limits(self) -> None:
        self.choose((self.low_spin.value(), self.high_spin.value()))


def _limit_spin(which: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(-1e12, 1e12)
    spin.setKeyboardTracking(False)
    spin.setToolTip(f"The {which} intensity that the model can tell apart")
    return spin
