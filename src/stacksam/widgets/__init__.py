"""Qt widgets that drive a Session; they know nothing of napari or of each other."""

from stacksam.widgets.candidate_panel import CandidatePanel
from stacksam.widgets.cheat_sheet import CheatSheet
from stacksam.widgets.clean_up_panel import CleanUpPanel
from stacksam.widgets.commit_panel import CommitPanel
from stacksam.widgets.confidence_strip import ConfidenceStrip
from stacksam.widgets.dock import SegmentDock
from stacksam.widgets.footer import Footer
from stacksam.widgets.group import Group
from stacksam.widgets.image_panel import ImagePanel
from stacksam.widgets.measure_panel import MeasurePanel
from stacksam.widgets.message_line import MessageLine
from stacksam.widgets.model_panel import ModelPanel
from stacksam.widgets.object_panel import ObjectPanel
from stacksam.widgets.panel import Panel
from stacksam.widgets.prompt_panel import MODES, PromptPanel
from stacksam.widgets.propagation_panel import PropagationPanel, PropagationRequest
from stacksam.widgets.recovery_bar import RecoveryBar
from stacksam.widgets.window_panel import WindowPanel

__all__ = [
    "MODES",
    "CandidatePanel",
    "CheatSheet",
    "CleanUpPanel",
    "CommitPanel",
    "ConfidenceStrip",
    "Footer",
    "Group",
    "ImagePanel",
    "MeasurePanel",
    "MessageLine",
    "ModelPanel",
    "ObjectPanel",
    "Panel",
    "PromptPanel",
    "PropagationPanel",
    "PropagationRequest",
    "RecoveryBar",
    "SegmentDock",
    "WindowPanel",
]
