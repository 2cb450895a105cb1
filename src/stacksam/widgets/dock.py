"""The dock widget: all panels from top to bottom in the order of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from stacksam.widgets.candidate_panel import CandidatePanel
from stacksam.widgets.clean_up_panel import CleanUpPanel
from stacksam.widgets.commit_panel import CommitPanel
from stacksam.widgets.confidence_strip import ConfidenceStrip
from stacksam.widgets.footer import Footer
from stacksam.widgets.group import Group
from stacksam.widgets.image_panel import ImagePanel
from stacksam.widgets.measure_panel import MeasurePanel
from stacksam.widgets.message_line import MessageLine
from stacksam.widgets.model_panel import ModelPanel
from stacksam.widgets.object_panel import ObjectPanel
from stacksam.widgets.panel import Panel
from stacksam.widgets.prompt_panel import PromptPanel
from stacksam.widgets.propagation_panel import PropagationPanel
from stacksam.widgets.recovery_bar import RecoveryBar
from stacksam.widgets.wheel_guard import WheelGuard
from stacksam.widgets.window_panel import WindowPanel

if TYPE_CHECKING:
    from stacksam.session import Session

LEAST_WIDTH, USUAL_WIDTH, USUAL_HEIGHT = 300, 320, 760


class SegmentDock(QWidget):
    """Everything a user needs from an image to labels, at 320 px width.

    Attributes
    ----------
    image, model, window_panel, objects, prompts, candidates, cleanup, propagation, strip,
    commit, measure, recovery, footer : Panel
    groups : dict of str to Group
        The parts that can be folded.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image, self.model, self.window_panel = ImagePanel(), ModelPanel(), WindowPanel()
        self.objects, self.prompts, self.candidates = ObjectPanel(), PromptPanel(), CandidatePanel()
        self.cleanup, self.propagation = CleanUpPanel(), PropagationPanel()
        self.strip, self.commit = ConfidenceStrip(), CommitPanel()
        self.measure, self.recovery, self.footer = MeasurePanel(), RecoveryBar(), Footer()
        self.message_line = MessageLine()
        self.groups = {
            "image": Group("Image", self.image),
            "model": Group("Model", self.model, is_open=False),
            "window": Group("What the model sees", self.window_panel, is_open=False),
            "objects": Group("Objects", self.objects),
            "prompts": Group("Mark the object", _stacked(self.prompts, self.candidates)),
            "propagation": Group("Through the stack", _stacked(self.propagation, self.strip)),
            "cleanup": Group("Clean up", self.cleanup, is_open=False),
            "commit": Group("Keep and export", self.commit),
            "measure": Group("Measure", self.measure, is_open=False),
        }
        self.candidates.hide()  # until there is something in them
        self.strip.hide()
        self._lay_out()
        self._connect()
        self._wheel_guard = WheelGuard(self)
        self._wheel_guard.watch(self)
        self.set_session(None)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels from top to bottom."""
        return (
            self.recovery,
            self.image,
            self.model,
            self.window_panel,
            self.objects,
            self.prompts,
            self.candidates,
            self.propagation,
            self.strip,
            self.cleanup,
            self.commit,
            self.measure,
            self.footer,
        )

    def set_session(self, session: Session | None) -> None:
        """Show another session in all panels."""
        for panel in self.panels:
            panel.set_session(session)

    def show_message(self, text: str, is_error: bool = False) -> None:
        """Say what happened, below the panels; an empty text clears the line."""
        self.message_line.show_message(text, is_error)

    def sizeHint(self) -> QSize:
        return QSize(USUAL_WIDTH, USUAL_HEIGHT)

    def minimumSizeHint(self) -> QSize:
        return QSize(LEAST_WIDTH, 200)

    def _lay_out(self) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(6)
        column.addWidget(self.recovery)
        for group in self.groups.values():
            column.addWidget(group)
        column.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.area.setWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.setSpacing(3)
        layout.addWidget(self.area, 1)
        layout.addWidget(self.commit.bar)
        self.commit.bar.setContentsMargins(6, 0, 6, 0)
        layout.addWidget(self.message_line)
        layout.addWidget(self.footer)
        self.footer.setContentsMargins(6, 0, 6, 0)

    def _connect(self) -> None:
        shown_by = {
            "image": self.image,
            "model": self.model,
            "window": self.window_panel,
            "objects": self.objects,
            "prompts": self.prompts,
            "propagation": self.propagation,
            "cleanup": self.cleanup,
            "measure": self.measure,
        }
        for name, panel in shown_by.items():
            panel.summary_changed.connect(self.groups[name].set_summary)
        for panel in self.panels:
            panel.problem.connect(self._on_problem)

    def _on_problem(self, text: str) -> None:
        self.show_message(text, is_error=True)


def _stacked(*widgets: QWidget) -> QWidget:
    """Several widgets below each other."""
    stack = QWidget()
    layout = QVBoxLayout(stack)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return stack
