"""The evented session: prompts, predictions, labels, history."""

from stacksam.session.jobs import Finish, PropagationJob, SliceJob
from stacksam.session.protection import OverlapError
from stacksam.session.results import Prediction, PropagationResult
from stacksam.session.segment import segment_file
from stacksam.session.session import Session
from stacksam.session.state import ObjectInfo

__all__ = [
    "Finish",
    "ObjectInfo",
    "OverlapError",
    "Prediction",
    "PropagationJob",
    "PropagationResult",
    "Session",
    "SliceJob",
    "segment_file",
]
