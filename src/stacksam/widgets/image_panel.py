"""Which image is worked on, and which of its channels and time points."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from stacksam.widgets.amounts import spacing_text
from stacksam.widgets.combos import fill_combo
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel

NO_IMAGE = "Open an image first: drop a file into the window, or File > Open Sample > StackSAM."


class ImagePanel(Panel):
    """Choose an image layer.

    Attributes
    ----------
    layer_chosen : psygnal signal (key)
        The user chose a layer; `key` is the one given to `set_layers`.
    channel_chosen, time_chosen : psygnal signals (int)
    """

    layer_chosen = Signal(object)
    channel_chosen = Signal(int)
    time_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layer_combo = QComboBox()
        self.layer_combo.setToolTip("The image layer whose objects are marked")
        self.layer_combo.setAccessibleName("Image")
        self.layer_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.layer_combo.setMinimumContentsLength(8)
        self.channel_combo = QComboBox()
        self.channel_combo.setToolTip("The channel that the model sees")
        self.time_spin = QSpinBox()
        self.time_spin.setToolTip("The time point that is segmented")
        self.time_spin.setKeyboardTracking(False)
        self.channel_label, self.time_label = QLabel("Channel"), QLabel("Time point")
        self.hint = Hint(NO_IMAGE)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(self.channel_label, self.channel_combo)
        form.addRow(self.time_label, self.time_spin)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.layer_combo)
        layout.addLayout(form)
        layout.addWidget(self.hint)
        self.layer_combo.activated.connect(self._on_layer_activated)
        self.channel_combo.activated.connect(self.channel_chosen.emit)
        self.time_spin.valueChanged.connect(self.time_chosen.emit)
        self.set_layers([])
        self.set_axes(None, None)

    @property
    def layer_key(self) -> Hashable | None:
        """Key of the chosen layer."""
        return self.layer_combo.currentData()

    def set_layers(
        self, layers: Sequence[tuple[Hashable, str]], current: Hashable | None = None
    ) -> None:
        """Offer these layers; emits nothing.

        Parameters
        ----------
        layers : sequence of (key, text)
        current : hashable, optional
            By default what is chosen stays chosen, if it is still there.
        """
        fill_combo(self.layer_combo, layers, current)
        self.layer_combo.setEnabled(bool(layers))
        self.refresh()

    def set_axes(
        self, channels: int | None, times: int | None, channel: int = 0, time: int = 0
    ) -> None:
        """Say how many channels and time points there are (None or 1: nothing to choose)."""
        n_channels, n_times = channels or 1, times or 1
        names = [(index, f"Channel {index}") for index in range(n_channels)]
        fill_combo(self.channel_combo, names, channel)
        self.time_spin.blockSignals(True)
        self.time_spin.setRange(0, n_times - 1)
        self.time_spin.setValue(time)
        self.time_spin.setSuffix(f" of 0 to {n_times - 1}")
        self.time_spin.blockSignals(False)
        for widget in (self.channel_label, self.channel_combo):
            widget.setVisible(n_channels > 1)
        for widget in (self.time_label, self.time_spin):
            widget.setVisible(n_times > 1)

    def refresh(self) -> None:
        """Show size and spacing of the session's volume."""
        if self.layer_combo.count() == 0:
            self.hint.show_text(NO_IMAGE)
        elif self.session is None:
            self.hint.show_text("Choose an image to begin.")
        else:
            self.hint.show_text(_describe(self.session.volume.shape, self._spacing))
        self.summary_changed.emit(self.layer_combo.currentText())

    @property
    def _spacing(self) -> tuple[float, float, float] | None:
        return None if self.session is None else self.session.volume.spacing_zyx

    def _on_layer_activated(self, _: int) -> None:
        self.layer_chosen.emit(self.layer_key)


def _describe(shape: tuple[int, int, int], spacing: tuple[float, float, float] | None) -> str:
    slices, height, width = shape
    voxels = f"{slices} slices" if slices > 1 else "one slice"
    size = f"{voxels} of {height} × {width}"
    if spacing is None:
        return f"{size} px, spacing unknown"
    return f"{size}, {spacing_text(spacing)}"
