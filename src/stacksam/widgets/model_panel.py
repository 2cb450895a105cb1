"""Which model segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from stacksam.widgets.combos import fill_combo
from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel


class ModelPanel(Panel):
    """Choose a model; those that have to be fetched say their size and licence first.

    Attributes
    ----------
    model_chosen : psygnal signal (str)
        The name of a model to use; it may have to be downloaded.
    file_chosen : psygnal signal (str)
        The path of a checkpoint file to use.
    cancel_asked : psygnal signal
        Stop the download; what has arrived is kept.
    """

    model_chosen = Signal(str)
    file_chosen = Signal(str)
    cancel_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models: dict[str, dict[str, Any]] = {}
        self._current, self._busy = "", ""
        self.combo = QComboBox()
        self.combo.setAccessibleName("Model")
        self.combo.setToolTip("The model that finds objects; the built-in one needs no network")
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(8)
        self.hint = Hint()
        self.get_button = GlyphButton("load", "Download and use", "Fetch this model once")
        self.file_button = GlyphButton("plus", "From file", "Use a checkpoint file from your disk")
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Download")
        self.cancel_button = GlyphButton("cross", "Cancel", "Stop; the rest can be fetched later")
        self._download = QWidget()
        download = QHBoxLayout(self._download)
        download.setContentsMargins(0, 0, 0, 0)
        download.addWidget(self.progress_bar, 1)
        download.addWidget(self.cancel_button)
        buttons = QHBoxLayout()
        buttons.addWidget(self.get_button, 1)
        buttons.addWidget(self.file_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.combo)
        layout.addWidget(self.hint)
        layout.addWidget(self._download)
        layout.addLayout(buttons)
        self.cancel_button.clicked.connect(lambda: self.cancel_asked.emit())
        self._download.hide()
        self.combo.activated.connect(self._on_activated)
        self.get_button.clicked.connect(lambda: self.model_chosen.emit(self.chosen))
        self.file_button.clicked.connect(self._on_file)
        self.refresh()

    @property
    def chosen(self) -> str:
        """Name of the model that the combo box shows; it may not be in use yet."""
        return self.combo.currentData() or ""

    def set_models(self, models: Sequence[Mapping[str, Any]], current: str) -> None:
        """Offer these models; emits nothing.

        Parameters
        ----------
        models : sequence of mappings
            With ``name``, ``text``, ``size`` (text such as "375 MB"), ``licence`` and ``is_ready``
            (whether it lies on this computer).
        current : str
            Name of the model in use.
        """
        self._models = {m["name"]: dict(m) for m in models}
        self._current = current
        fill_combo(self.combo, [(m["name"], _title(m)) for m in models], current)
        self.refresh()

    def show_busy(self, text: str | None) -> None:
        """Say that a model is being loaded or downloaded; None: no longer."""
        self._busy = text or ""
        self._download.hide()
        self.refresh()

    def show_progress(self, done: int, total: int) -> None:
        """Show a download of which `done` of `total` bytes are here (0: not known)."""
        self._download.show()
        self.progress_bar.setRange(0, 1000 if total else 0)
        self.progress_bar.setValue(round(1000 * done / total) if total else 0)
        self.progress_bar.setFormat(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else "")

    def refresh(self) -> None:
        """Show what is known about the chosen model."""
        entry = self._models.get(self.chosen)
        is_ready = entry is None or bool(entry.get("is_ready"))
        self.combo.setEnabled(bool(self._models) and not self._busy)
        self.file_button.setEnabled(not self._busy)
        self.get_button.setVisible(not is_ready)
        self.get_button.setEnabled(not self._busy)
        self.hint.show_text(self._busy or _about(entry))
        self.summary_changed.emit(self._busy or self._current)

    def _on_activated(self, _: int) -> None:
        self.refresh()
        if self._models[self.chosen].get("is_ready") and self.chosen != self._current:
            self.model_chosen.emit(self.chosen)

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Checkpoint file", "", "Checkpoints (*.safetensors *.pth *.pt *.bin);;All (*)"
        )
        if path:
            self.file_chosen.emit(path)


def _title(model: Mapping[str, Any]) -> str:
    return str(model["name"]) if model.get("is_ready") else f"{model['name']} (download)"


def _about(model: Mapping[str, Any] | None) -> str:
    if model is None:
        return ""
    facts = [str(model[k]) for k in ("text", "size", "licence") if model.get(k)]
    return ", ".join(facts)
