"""From one slice to the next: prompts become masks, masks become the neighbour's prompts."""

from stacksam.propagation.competition import Contest
from stacksam.propagation.consensus import agree, smooth_stack
from stacksam.propagation.plan import Plan, make_plan
from stacksam.propagation.propagate import run_plan, run_plans, run_slice
from stacksam.propagation.slice_mask import SliceMask
from stacksam.propagation.slice_prediction import SlicePrediction
from stacksam.propagation.slice_predictor import SlicePredictor, says_where

__all__ = [
    "Contest",
    "Plan",
    "SliceMask",
    "SlicePrediction",
    "SlicePredictor",
    "agree",
    "make_plan",
    "run_plan",
    "run_plans",
    "run_slice",
    "says_where",
    "smooth_stack",
]
