"""From the marked slices through the stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QSlider,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from stacksam.widgets.glyph_button import GlyphButton
from stacksam.widgets.group import Group
from stacksam.widgets.hint import Hint
from stacksam.widgets.panel import SPACING, Panel

if TYPE_CHECKING:
    from stacksam.session.state import ObjectInfo

Direction = Literal["both", "up", "down"]
DIRECTIONS: tuple[tuple[Direction, str], ...] = (
    ("both", "Both ways"),
    ("up", "To later slices"),
    ("down", "To earlier slices"),
)
MARK_FIRST = "Mark the object on one slice first."
READY = "Follows the object from slice to slice."
OUTDATED = "Marks have changed: propagate again."
INSIDE = (
    "Nothing outside of the object's boxes is kept, on any slice. Draw one where the object is "
    "largest; several count together."
)
NO_BOX = "Draw a box around the object first."
FINISHED = "This object is finished. Mark the next one, or press Edit again."
CHOOSE_OBJECT = "Choose an object in the list first."
SENSITIVITY_STEPS = 20
DEFAULT_SENSITIVITY = 0.5
SMOOTH = 1.0
"""Pixels; enough to even single slices that jump."""


@dataclass(frozen=True)
class PropagationRequest:
    """What the user wants to be propagated.

    Attributes
    ----------
    direction : {"both", "up", "down"}
        ``up`` is towards higher slice indices.
    steps : int or None
        At most so many slices from where the user is; None: as far as the object goes.
    z_range : (start, stop) or None
        Half-open limits along the axis of the view.
    all_objects : bool
        All unlocked objects that have marks, in one run.
    sensitivity : float in [0, 1]
        0 stops early, 1 follows even faint continuations.
    consensus : bool
        Keep what is found from at least two of the three sides.
    smooth : float
        Smoothing in 3D, in pixels; 0 is off.
    inside_boxes : bool
        Keep each object inside the boxes drawn for it, on every slice.
    """

    direction: Direction = "both"
    steps: int | None = None
    z_range: tuple[int, int] | None = None
    all_objects: bool = False
    sensitivity: float = DEFAULT_SENSITIVITY
    consensus: bool = False
    smooth: float = 0.0
    inside_boxes: bool = False


class PropagationPanel(Panel):
    """Start, limit, watch and stop a propagation.

    Attributes
    ----------
    propagate_asked : psygnal signal (PropagationRequest)
    cancel_asked, fill_asked : psygnal signals
    """

    follows: ClassVar[tuple[str, ...]] = ("active_changed", "history_changed")
    propagate_asked = Signal(object)
    cancel_asked = Signal()
    fill_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_running, self._is_stopping = False, False
        self._make_buttons()
        self._make_options()
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress")
        self.hint = Hint()
        self._lay_out()
        self._connect()
        self.set_range_limits(1)
        self.finished()

    def _make_buttons(self) -> None:
        self.down_button = GlyphButton("down", "1 slice", "Carry on to the slice before this one")
        self.run_button = GlyphButton("both", "Propagate", "Find the object on all other slices")
        self.up_button = GlyphButton("up", "1 slice", "Carry on to the slice after this one")
        self.cancel_button = GlyphButton("cross", "Cancel", "Stop; slices found so far are kept")
        self.fill_button = GlyphButton(
            "interpolate",
            "Fill between marked slices",
            "Blend the shapes of marked slices into those between them, without the model",
        )

    def _make_options(self) -> None:
        self.direction_combo = QComboBox()
        self.direction_combo.setAccessibleName("Direction")
        self.direction_combo.setToolTip("Which way the object is followed from the marked slices")
        for key, text in DIRECTIONS:
            self.direction_combo.addItem(text, key)
        self.all_check = QCheckBox("All objects")
        self.all_check.setToolTip("All unlocked objects that are marked, in one run")
        self.range_check = QCheckBox("Only these slices")
        self.range_check.setToolTip("Limit the run to these slices, both included")
        self.first_spin, self.last_spin = QSpinBox(), QSpinBox()
        self.first_spin.setAccessibleName("First slice")
        self.last_spin.setAccessibleName("Last slice")
        self.inside_check = QCheckBox("Keep inside the drawn boxes")
        self.inside_check.setToolTip(INSIDE)
        self.sensitivity_slider = QSlider(Qt.Orientation.Horizontal)
        self.sensitivity_slider.setRange(0, SENSITIVITY_STEPS)
        self.sensitivity_slider.setValue(round(DEFAULT_SENSITIVITY * SENSITIVITY_STEPS))
        self.sensitivity_slider.setAccessibleName("Sensitivity")
        self.sensitivity_slider.setToolTip(
            "Left: stop as soon as the object is uncertain. Right: follow it as far as possible."
        )

        self.consensus_check = QCheckBox("Check from three sides")
        self.consensus_check.setToolTip(
            "Keep only what is also found along the other two axes; takes three times as long"
        )
        self.smooth_check = QCheckBox("Smooth in 3D")
        self.smooth_check.setToolTip(
            "Even out jumps between slices; marked slices stay as they are"
        )

    def _lay_out(self) -> None:
        start = QHBoxLayout()
        start.addWidget(self.down_button)
        start.addWidget(self.run_button, 1)
        start.addWidget(self.up_button)
        self.pages = QStackedWidget()  # options before a run, progress during it
        self.pages.addWidget(_row(self.direction_combo, self.all_check))
        self.pages.addWidget(_row(self.progress_bar, self.cancel_button))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addLayout(start)
        layout.addWidget(self.pages)
        layout.addWidget(self.hint)
        self.more = Group("Limits and gaps", self._options_widget(), is_open=False)
        layout.addWidget(self.more)

    def _options_widget(self) -> QWidget:
        widget = QWidget()
        grid = QGridLayout(widget)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(SPACING)
        limits = QHBoxLayout()
        limits.addWidget(self.first_spin, 1)
        limits.addWidget(QLabel("to"))
        limits.addWidget(self.last_spin, 1)
        ends = QHBoxLayout()
        ends.addWidget(QLabel("Stop early"))
        ends.addWidget(self.sensitivity_slider, 1)
        ends.addWidget(QLabel("go far"))
        grid.addLayout(ends, 0, 0)
        grid.addWidget(self.range_check, 1, 0)
        grid.addLayout(limits, 2, 0)
        grid.addWidget(self.inside_check, 3, 0)
        grid.addWidget(self.consensus_check, 4, 0)
        grid.addWidget(self.smooth_check, 5, 0)
        grid.addWidget(self.fill_button, 6, 0)
        return widget

    def _connect(self) -> None:
        self.run_button.clicked.connect(lambda: self.propagate_asked.emit(self.request()))
        self.up_button.clicked.connect(lambda: self.step("up"))
        self.down_button.clicked.connect(lambda: self.step("down"))
        self.cancel_button.clicked.connect(self._on_cancel)
        self.fill_button.clicked.connect(lambda: self.fill_asked.emit())
        self.all_check.toggled.connect(self.refresh)
        self.range_check.toggled.connect(self.refresh)
        self.first_spin.valueChanged.connect(self.last_spin.setMinimum)
        self.last_spin.valueChanged.connect(self.first_spin.setMaximum)

    @property
    def is_running(self) -> bool:
        """Whether a run is shown."""
        return self._is_running

    def request(self) -> PropagationRequest:
        """What the controls say."""
        z_range = None
        if self.range_check.isChecked():
            z_range = (self.first_spin.value(), self.last_spin.value() + 1)
        return PropagationRequest(
            direction=self.direction_combo.currentData(),
            z_range=z_range,
            all_objects=self.all_check.isChecked(),
            sensitivity=self.sensitivity_slider.value() / SENSITIVITY_STEPS,
            consensus=self.consensus_check.isChecked(),
            smooth=SMOOTH if self.smooth_check.isChecked() else 0.0,
            inside_boxes=self.inside_check.isEnabled() and self.inside_check.isChecked(),
        )

    def step(self, direction: Direction) -> None:
        """Ask for the active object on the next slice up or down."""
        wanted = self.request()
        self.propagate_asked.emit(
            PropagationRequest(
                direction,
                1,
                sensitivity=wanted.sensitivity,
                inside_boxes=wanted.inside_boxes,
            )
        )

    def set_range_limits(self, n_slices: int) -> None:
        """Say how many slices the axis of the view has."""
        if n_slices == self.last_spin.maximum() + 1 and n_slices > 1:
            return
        for spin in (self.first_spin, self.last_spin):
            spin.setRange(0, max(n_slices - 1, 0))
        self.first_spin.setValue(0)
        self.last_spin.setValue(n_slices - 1)
        self.range_check.setChecked(False)
        self.refresh()

    def set_progress(self, done: int, total: int) -> None:
        """Show a run: `done` of at most `total` slices."""
        was_running, self._is_running = self._is_running, True
        self.progress_bar.setRange(0, max(total, 1))
        self.progress_bar.setValue(done)
        if not self._is_stopping:
            self.progress_bar.setFormat(f"{done} of {total} slices")
        if not was_running:
            self.refresh()

    def finished(self) -> None:
        """The run is over, complete or not."""
        self._is_running = self._is_stopping = False
        self.progress_bar.setRange(0, 1)
        self.progress_bar.setValue(0)
        self.progress_bar.setFormat("")
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be used and say what is missing."""
        session = self.session
        objects = {} if session is None else session.objects
        active = None if session is None else objects.get(session.active_object or 0)
        can_step = active is not None and not active.is_locked and _is_marked(active)
        can_run = can_step
        if self.all_check.isChecked():
            can_run = any(_is_marked(o) for o in objects.values() if not o.is_locked)
        for button in (self.up_button, self.down_button):
            button.setEnabled(can_step and not self._is_running)
        self.run_button.setEnabled(can_run and not self._is_running)
        self.pages.setCurrentIndex(int(self._is_running))
        self.cancel_button.setEnabled(self._is_running and not self._is_stopping)
        can_fill = active is not None and _can_fill(active)
        self.fill_button.setEnabled(can_fill and not self._is_running)
        has_session = session is not None
        choices = (self.direction_combo, self.all_check, self.range_check, self.sensitivity_slider)
        for widget in (*choices, self.consensus_check, self.smooth_check):
            widget.setEnabled(has_session)
        chosen = objects.values() if self.all_check.isChecked() else [active]
        has_box = any(_has_box(o) for o in chosen if o is not None and not o.is_locked)
        self.inside_check.setEnabled(has_box)
        self.inside_check.setToolTip(INSIDE if has_box else NO_BOX)
        for spin in (self.first_spin, self.last_spin):
            spin.setEnabled(has_session and self.range_check.isChecked())
        self.hint.setText(self._advice(active, can_run, bool(objects)))
        self.summary_changed.emit("running" if self._is_running else "")

    def _advice(self, active: ObjectInfo | None, can_run: bool, has_objects: bool) -> str:
        session = self.session
        if not can_run:
            if active is not None and active.is_locked:
                return FINISHED
            return CHOOSE_OBJECT if active is None and has_objects else MARK_FIRST
        if session is None or active is None or session.is_current(active.object_id):
            return READY
        return READY if session.result(active.object_id) is None else OUTDATED

    def _on_cancel(self) -> None:
        self._is_stopping = True
        self.progress_bar.setFormat("Stopping ...")
        self.refresh()
        self.cancel_asked.emit()


def _is_marked(info: ObjectInfo) -> bool:
    """Whether an object has a prompt that says where it is."""
    from stacksam.propagation import says_where  # with torch, which a session has loaded

    return any(says_where(p) for p in info.prompts)


def _has_box(info: ObjectInfo) -> bool:
    return any(p.kind == "box" for p in info.prompts)


def _can_fill(info: ObjectInfo) -> bool:
    """Whether two slices across one axis are marked."""
    axes = [axis for axis, _ in {(p.axis, p.index) for p in info.prompts}]
    return len(axes) > len(set(axes))


def _row(wide: QWidget, narrow: QWidget) -> QWidget:
    """Two widgets beside each other; the first takes what is left."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(wide, 1)
    layout.addWidget(narrow)
    return row
