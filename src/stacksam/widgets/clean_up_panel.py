"""What is done with each mask of an object: smooth it, fill its holes, drop small pieces."""

from __future__ import annotations

from typing import ClassVar

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from stacksam.core.cleanup import CleanUp
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel

ABOUT = "Applies to this object's computed slices; what you painted stays as it is."
CHOOSE_OBJECT = "Choose an object in the list first."


class CleanUpPanel(Panel):
    """Settings of the active object; each change is a step that undo takes back."""

    follows: ClassVar[tuple[str, ...]] = ("active_changed", "objects_changed")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.holes_check = QCheckBox("Fill holes")
        self.holes_check.setToolTip("Fill background that the object encloses")
        self.largest_check = QCheckBox("Largest piece only")
        self.largest_check.setToolTip("Drop all pieces but the largest one")
        self.smooth_spin = _spin(0, 20, 0.5, " px")
        self.smooth_spin.setToolTip("Smooth the outline over this distance; 0 is off")
        self.size_spin = _spin(0, 1e9, 1, "")
        self.size_spin.setToolTip("Drop pieces that are smaller; 0 drops none")
        self.unit_combo = QComboBox()
        self.unit_combo.setAccessibleName("Unit of the smallest size")
        self.unit_combo.setToolTip("Pixels, or mm² on a slice and mm³ in the stack")
        self.unit_combo.addItem("px", "px")
        self.unit_combo.addItem("mm³", "mm")
        self.hint = Hint()
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.holes_check, 0, 0)
        grid.addWidget(self.largest_check, 0, 1, 1, 2)
        grid.addWidget(QLabel("Smooth"), 1, 0)
        grid.addWidget(self.smooth_spin, 1, 1)
        grid.addWidget(QLabel("Min. size"), 2, 0)
        grid.addWidget(self.size_spin, 2, 1)
        grid.addWidget(self.unit_combo, 2, 2)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(SPACING)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(grid)
        layout.addWidget(self.hint)
        for check in (self.holes_check, self.largest_check):
            check.toggled.connect(self._on_changed)
        for spin in (self.smooth_spin, self.size_spin):
            spin.valueChanged.connect(self._on_changed)
        self.unit_combo.currentIndexChanged.connect(self._on_changed)
        self.refresh()

    @property
    def settings(self) -> CleanUp:
        """What the controls say."""
        return CleanUp(
            fill_holes=self.holes_check.isChecked(),
            keep_largest=self.largest_check.isChecked(),
            min_size=self.size_spin.value(),
            min_size_unit=self.unit_combo.currentData(),
            smooth=self.smooth_spin.value(),
        )

    def refresh(self) -> None:
        """Show the active object's settings."""
        session, active = self.session, self.active
        is_usable = active is not None
        has_spacing = session is not None and session.volume.spacing_zyx is not None
        controls = (
            self.holes_check,
            self.largest_check,
            self.smooth_spin,
            self.size_spin,
            self.unit_combo,
        )
        for widget in controls:
            widget.setEnabled(is_usable)
        self.unit_combo.setEnabled(is_usable and has_spacing)
        self.hint.setText(ABOUT if is_usable else CHOOSE_OBJECT)
        settings = (active.clean_up if active is not None else None) or CleanUp()
        self._show(settings, has_spacing)
        self.summary_changed.emit(_describe(settings) if is_usable else "")

    def _show(self, settings: CleanUp, has_spacing: bool) -> None:
        with (
            QSignalBlocker(self.holes_check),
            QSignalBlocker(self.largest_check),
            QSignalBlocker(self.smooth_spin),
            QSignalBlocker(self.size_spin),
            QSignalBlocker(self.unit_combo),
        ):
            self.holes_check.setChecked(settings.fill_holes)
            self.largest_check.setChecked(settings.keep_largest)
            self.smooth_spin.setValue(settings.smooth)
            self.size_spin.setValue(settings.min_size)
            if not has_spacing:
                self.unit_combo.setCurrentIndex(self.unit_combo.findData("px"))
            elif settings.min_size:
                self.unit_combo.setCurrentIndex(self.unit_combo.findData(settings.min_size_unit))

    def _on_changed(self) -> None:
        session, active = self.session, self.active
        if session is None or active is None:
            return
        settings = self.settings
        wanted = None if settings.is_off else settings
        if not self.attempt(lambda: session.set_clean_up(active.object_id, wanted)):
            self.refresh()


def _spin(low: float, high: float, step: float, suffix: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(low, high)
    spin.setDecimals(1)
    spin.setSingleStep(step)
    spin.setSuffix(suffix)
    spin.setSpecialValueText("off")
    spin.setKeyboardTracking(False)
    return spin


def _describe(settings: CleanUp) -> str:
    unit = "px" if settings.min_size_unit == "px" else "mm"
    parts = [
        "holes" if settings.fill_holes else "",
        "largest piece" if settings.keep_largest else "",
        f"smooth {settings.smooth:g}" if settings.smooth else "",
        f"from {settings.min_size:g} {unit}" if settings.min_size else "",
    ]
    return ", ".join(p for p in parts if p) or "off"
