"""How sure a front is: evidence for its mask, added up from slice to slice in log odds.

A network says of each slice how good its mask is and whether the object is there. Errors of a front
do not heal: what one slice loses, the next ones cannot know. So the belief in a slice's mask starts
from the belief in the neighbour's and is raised or lowered by what the network says here. One slice
in doubt is forgiven, several in a row end the front. See decision 0014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """Coefficients of a regression of the true IoU, in log odds.

    Attributes
    ----------
    start : float
        Belief in the slice that a front leaves from.
    carry : float
        Share of a neighbour's belief that is handed on.
    score, presence : float
        What the log odds of predicted IoU and presence count.
    doubt : float
        What each step costs.
    """

    start: float
    carry: float
    score: float
    presence: float
    doubt: float


WEIGHTS = Weights(start=1.457, carry=0.956, score=0.034, presence=0.274, doubt=1.926)
"""For the built-in model, fitted on train and val as ``tools/tune_propagation.py`` does."""

LARGEST = 6.0
"""Limit of a belief, so that a long way of certain slices can still end."""

_SCORE_EDGE, _PRESENCE_EDGE = 1e-2, 1e-3


def carry_belief(before: float, score: float, presence: float, weights: Weights = WEIGHTS) -> float:
    """The belief in a mask that follows from its neighbour's.

    Parameters
    ----------
    before : float
        Belief in the neighbour's mask, in log odds.
    score : float
        Predicted IoU in [0, 1].
    presence : float
        Probability that the object is there.
    weights : Weights

    Examples
    --------
    >>> sure, unsure = carry_belief(1.25, 0.9, 0.9999), carry_belief(1.25, 0.6, 0.8)
    >>> round(as_confidence(sure), 2), round(as_confidence(unsure), 2)
    (0.77, 0.42)
    """
    evidence = weights.score * _log_odds(score, _SCORE_EDGE)
    evidence += weights.presence * _log_odds(presence, _PRESENCE_EDGE)
    return min(max(weights.carry * before + evidence - weights.doubt, -LARGEST), LARGEST)


def as_confidence(belief: float) -> float:
    """Log odds as a number in [0, 1]: the IoU that is expected."""
    return 1 / (1 + math.exp(-belief))


def belief_of(confidence: float) -> float:
    """Inverse of `as_confidence`, within its limits."""
    return min(max(_log_odds(confidence, 1e-9), -LARGEST), LARGEST)


def _log_odds(share: float, edge: float) -> float:
    share = min(max(share, edge), 1 - edge)
    return math.log(share / (1 - share))
