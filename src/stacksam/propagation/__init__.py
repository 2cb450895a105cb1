"""From one slice to the next: prompts become masks, masks become the neighbour's prompts."""

from stacksam.propagation.competition import share_out
from stacksam.propagation.propagate import Plan, make_plan, run_plan
from stacksam.propagation.slice_predictor import SlicePrediction, SlicePredictor, says_where

__all__ = [
    "Plan",
    "SlicePrediction",
    "SlicePredictor",
    "make_plan",
    "run_plan",
    "says_where",
    "share_out",
]
