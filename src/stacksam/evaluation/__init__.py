"""Measuring: protocols that drive a Session with simulated prompts, baselines and reports."""

from stacksam.evaluation.protocols import PROTOCOLS
from stacksam.evaluation.report import Report
from stacksam.evaluation.runs import evaluate

__all__ = ["PROTOCOLS", "Report", "evaluate"]
