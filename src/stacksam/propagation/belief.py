"""How sure a front is: evidence for its mask, added up from slice to slice in log odds.

A network says of each slice how good its mask is and whether the object is there. Errors of a front
do not heal: what one slice loses, the next ones cannot know. So the belief in a slice's mask starts
from the belief in the neighbour's and is raised or lowered by what the network says here. One slice
in doubt is forgiven, several in a row end the front. The weights are those of a regression of the
true IoU, fitted on train and val by ``tools/tune_propagation.py``; see decision 0014.
"""

from __future__ import annotations

import math

START = 1.25
"""Belief in the slice that a front leaves from."""

CARRY = 0.93
"""Share of a neighbour's belief that is handed on."""

SCORE_WEIGHT = 0.147
PRESENCE_WEIGHT = 0.135
DOUBT = 1.133
"""What each step costs, in log odds."""

LARGEST = 6.0
"""Limit of a belief, so that a long way of certain slices can still end."""

_SCORE_EDGE, _PRESENCE_EDGE = 1e-2, 1e-3


def carry_belief(before: float, score: float, presence: float) -> float:
    """The belief in a mask that follows from its neighbour's.

    Parameters
    ----------
    before : float
        Belief in the neighbour's mask, in log odds.
    score : float
        Predicted IoU in [0, 1].
    presence : float
        Probability that the object is there.

    Examples
    --------
    >>> sure, unsure = carry_belief(START, 0.9, 0.9999), carry_belief(START, 0.6, 0.8)
    >>> round(as_confidence(sure), 2), round(as_confidence(unsure), 2)
    (0.78, 0.57)
    """
    evidence = SCORE_WEIGHT * _log_odds(score, _SCORE_EDGE)
    evidence += PRESENCE_WEIGHT * _log_odds(presence, _PRESENCE_EDGE)
    return min(max(CARRY * before + evidence - DOUBT, -LARGEST), LARGEST)


def as_confidence(belief: float) -> float:
    """Log odds as a number in [0, 1]: the IoU that is expected."""
    return 1 / (1 + math.exp(-belief))


def belief_of(confidence: float) -> float:
    """Inverse of `as_confidence`, within its limits."""
    return min(max(_log_odds(confidence, 1e-9), -LARGEST), LARGEST)


def _log_odds(share: float, edge: float) -> float:
    share = min(max(share, edge), 1 - edge)
    return math.log(share / (1 - share))
