"""One box in, a stack of labels out: the controls, and a worker that keeps the window alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import create_worker

if TYPE_CHECKING:
    from stacksam.session import Session

OBJECT_ID = 1


class _Reporter(QObject):
    """Carries progress from the worker; it outlives the widget, so a late report hurts nobody."""

    progressed = Signal(int, int)


class SegmentWidget(QWidget):
    """Choose an image and a window, draw a box, segment the stack, cancel.

    Signals
    -------
    draw_requested, run_requested
        The user pressed the button.
    finished(object)
        A propagation's result, complete or cancelled.
    failed(object)
        The exception that ended the run.
    """

    draw_requested = Signal()
    run_requested = Signal()
    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, windows: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cancel = threading.Event()
        self.image_box = QComboBox()
        self.window_box = QComboBox()
        self.window_box.addItems(list(windows))
        self.window_box.setToolTip("Which intensities the model sees, for the whole stack")
        self.draw_button = QPushButton("1. Draw box")
        self.draw_button.setToolTip("Drag one box around the object on the slice you see")
        self.run_button = QPushButton("2. Segment stack")
        self.cancel_button = QPushButton("Cancel")
        self.progress_bar = QProgressBar()
        self.status = QLabel()
        self.status.setWordWrap(True)
        self._lay_out()
        self.draw_button.clicked.connect(self.draw_requested)
        self.run_button.clicked.connect(self.run_requested)
        self.cancel_button.clicked.connect(self.cancel)
        self.destroyed.connect(self._cancel.set)
        self._set_running(False)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Image", self.image_box)
        form.addRow("Window", self.window_box)
        last_row = QHBoxLayout()
        last_row.addWidget(self.progress_bar)
        last_row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.draw_button)
        layout.addWidget(self.run_button)
        layout.addLayout(last_row)
        layout.addWidget(self.status)
        layout.addStretch()

    @property
    def is_running(self) -> bool:
        """Whether a worker is at work."""
        return self.cancel_button.isEnabled()

    def set_images(self, names: Sequence[str]) -> None:
        """Offer these images; the chosen one stays chosen where it is still there."""
        chosen = self.image_box.currentText()
        self.image_box.clear()
        self.image_box.addItems(list(names))
        if chosen in names:
            self.image_box.setCurrentText(chosen)
        self._set_running(self.is_running)

    def start(
        self,
        make_session: Callable[[], Session],
        *,
        axis: int,
        index: int,
        box_yxyx: tuple[int, int, int, int],
    ) -> None:
        """Segment the object in the box through the stack, in a worker that owns its Session.

        Parameters
        ----------
        make_session : callable
            Called in the worker, as loading a model takes a moment.
        axis, index, box_yxyx
            The box as `Session.add_box` takes it.
        """
        self._cancel.clear()
        self._set_running(True)
        self.progress_bar.setRange(0, 0)  # busy until the first report
        self.status.setText("Segmenting ...")
        reporter = _Reporter()
        reporter.progressed.connect(self._on_progress)
        cancel = self._cancel

        def segment() -> Any:
            session = make_session()
            session.add_box(OBJECT_ID, index, box_yxyx, axis=axis)
            return session.propagate(
                OBJECT_ID,
                axis=axis,
                progress=lambda done, total, *_: reporter.progressed.emit(done, total),
                cancel=cancel,
            )

        create_worker(
            segment,
            _start_thread=True,
            _connect={"returned": self._on_returned, "errored": self._on_errored},
        )

    def cancel(self) -> None:
        """Ask the worker to stop after the slice it is on; what it has is kept."""
        self._cancel.set()
        self.status.setText("Stopping after this slice ...")

    def _on_progress(self, done: int, total: int) -> None:
        if self.is_running:
            self.progress_bar.setRange(0, max(total, 1))
            self.progress_bar.setValue(done)

    def _on_returned(self, result: Any) -> None:
        self._set_running(False)
        self.finished.emit(result)

    def _on_errored(self, error: Exception) -> None:
        self._set_running(False)
        self.status.setText("Nothing was changed.")
        self.failed.emit(error)

    def _set_running(self, is_running: bool) -> None:
        has_image = self.image_box.count() > 0
        self.cancel_button.setEnabled(is_running)
        self.run_button.setEnabled(has_image and not is_running)
        self.draw_button.setEnabled(has_image and not is_running)
        if not is_running:
            self.progress_bar.setRange(0, 1)
            self.progress_bar.reset()
        if not has_image:
            self.status.setText("Open an image first.")
