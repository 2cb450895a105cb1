"""Whether a low confidence points at the slices that are wrong.

Looked at are the slices on which the object is, or was found. A slice on which it is and was not
found has an IoU of 0 and the confidence that the result gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from stacksam.core.metrics import iou
from stacksam.evaluation.figures import window_of

if TYPE_CHECKING:
    from stacksam.evaluation.report import Score

LEAST_SLICES = 12
"""True slices of an object from which on it has a worst quarter."""


@dataclass(frozen=True)
class SliceScore:
    """One slice of an object's result.

    Attributes
    ----------
    index : int
        In the stack.
    confidence : float in [0, 1]
    iou : float
        With the truth on this slice.
    n_true, n_found : int
        Pixels of the truth and of the result.
    """

    index: int
    confidence: float
    iou: float
    n_true: int
    n_found: int


def slice_scores(
    truth: np.ndarray, found: np.ndarray, confidence: Sequence[float] | np.ndarray
) -> tuple[SliceScore, ...]:
    """Score the slices on which the object is or was found, in ascending order.

    Parameters
    ----------
    truth, found : ndarray of shape (Z, Y, X), bool
    confidence : sequence of Z floats
    """
    window = window_of(truth, found)
    pairs = zip(truth[window], found[window], strict=True)
    return tuple(
        SliceScore(i, float(confidence[i]), iou(t, f), int(t.sum()), int(f.sum()))
        for i, (t, f) in enumerate(pairs, start=window[0].start)
        if t.any() or f.any()
    )


def spearman(slices: Iterable[SliceScore]) -> float | None:
    """Rank correlation of confidence and IoU; None where one of them does not vary.

    Examples
    --------
    >>> low, high = SliceScore(0, 0.2, 0.1, 9, 9), SliceScore(1, 0.8, 0.7, 9, 9)
    >>> spearman([low, high]), spearman([low, low])
    (1.0, None)
    """
    pairs = np.array([(s.confidence, s.iou) for s in slices]).reshape(-1, 2)
    ranks = rankdata(pairs, axis=0) if len(pairs) else pairs
    if len(pairs) < 2 or (np.ptp(ranks, axis=0) == 0).any():
        return None
    return round(float(np.corrcoef(ranks.T)[0, 1]), 12)


def least_certain_in_worst_quarter(slices: Sequence[SliceScore]) -> float | None:
    """Whether the least certain slice is among the worst quarter of slices by IoU: 1 or 0.

    A slice is among them if fewer than a quarter of the slices are worse. Of several equally
    uncertain slices the share that is among them counts. None for an object with fewer than
    `LEAST_SLICES` true slices.
    """
    if sum(s.n_true > 0 for s in slices) < LEAST_SLICES:
        return None
    overlaps = np.array([s.iou for s in slices])
    confidence = np.array([s.confidence for s in slices])
    n_worse = (overlaps[np.newaxis] < overlaps[:, np.newaxis]).sum(axis=1)
    is_bad = n_worse < len(slices) / 4
    return float(is_bad[confidence == confidence.min()].mean())


def confidence_table(
    scores: Sequence[Score], groups: Mapping[str, Callable[[Score], bool]]
) -> dict[str, Any]:
    """How confidence and IoU agree, by data set and as means over data sets.

    Parameters
    ----------
    scores : sequence of Score
        Those without slices are passed over.
    groups : mapping of name to condition

    Returns
    -------
    table : dict
        ``{"datasets": {name: entry}, "means": {group: entry}}``, empty where no score has slices.
        An entry has ``spearman`` (pooled over all slices of a data set; mean over data sets),
        ``least_certain_in_worst_quarter`` (share of objects; mean over data sets), each left out
        where it is undefined; the same with ``_of_found``, for the slices on which the result is
        not empty; ``n_slices``, and ``n_objects`` with a worst quarter. The means also have
        ``least_certain_in_worst_quarter_of_all``, the share of all objects.
    """
    with_slices = [s for s in scores if s.slices]
    if not with_slices:
        return {}
    datasets = {
        name: _entry([s.slices for s in with_slices if s.dataset == name])
        for name in sorted({s.dataset for s in with_slices})
    }
    means = {}
    for group, keep in groups.items():
        members = [s for s in with_slices if keep(s)]
        if members:
            means[group] = _mean_entry([datasets[n] for n in sorted({s.dataset for s in members})])
            shares = [least_certain_in_worst_quarter(s.slices) for s in members]
            _put(means[group], "least_certain_in_worst_quarter_of_all", shares)
    return {"datasets": datasets, "means": means}


def _entry(objects: Sequence[tuple[SliceScore, ...]]) -> dict[str, float]:
    found = [tuple(s for s in slices if s.n_found) for slices in objects]
    shares = [least_certain_in_worst_quarter(slices) for slices in objects]
    entry: dict[str, float] = {
        "n_slices": sum(map(len, objects)),
        "n_objects": sum(share is not None for share in shares),
    }
    _put(entry, "spearman", [spearman(s for slices in objects for s in slices)])
    _put(entry, "spearman_of_found", [spearman(s for slices in found for s in slices)])
    _put(entry, "least_certain_in_worst_quarter", shares)
    of_found = [least_certain_in_worst_quarter(slices) for slices in found]
    _put(entry, "least_certain_in_worst_quarter_of_found", of_found)
    return entry


def _mean_entry(entries: Sequence[dict[str, float]]) -> dict[str, float]:
    counts = {name: sum(e[name] for e in entries) for name in ("n_slices", "n_objects")}
    names = sorted({name for e in entries for name in e} - counts.keys())
    means = {name: float(np.mean([e[name] for e in entries if name in e])) for name in names}
    return {**counts, "n_datasets": len(entries), **means}


def _put(entry: dict[str, float], name: str, values: Iterable[float | None]) -> None:
    """Enter the mean of what is defined."""
    known = [v for v in values if v is not None]
    if known:
        entry[name] = float(np.mean(known))
