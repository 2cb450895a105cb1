"""The evented session: prompts, predictions, labels, history."""

from stacksam.session.results import Prediction, PropagationResult
from stacksam.session.segment import segment_file
from stacksam.session.session import Session

__all__ = ["Prediction", "PropagationResult", "Session", "segment_file"]
