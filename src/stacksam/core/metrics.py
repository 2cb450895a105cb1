"""How well a mask agrees with the truth, in any number of dimensions.

Two empty masks agree fully (1, distance 0); an empty and a non-empty one not at all (0, distance
infinite). So no score is ever NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def iou(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Intersection over union of two bool masks, 0 to 1.

    Examples
    --------
    >>> iou(np.array([True, True, False]), np.array([False, True, True]))
    0.3333333333333333
    """
    both, n_truth, n_prediction = _counts(truth, prediction)
    union = n_truth + n_prediction - both
    return both / union if union else 1.0


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Dice coefficient of two bool masks, 0 to 1."""
    both, n_truth, n_prediction = _counts(truth, prediction)
    total = n_truth + n_prediction
    return 2 * both / total if total else 1.0


def precision_recall(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """Part of the prediction that is right, and part of the truth that is found.

    Without predicted pixels nothing is wrong: precision 1. Without true pixels nothing is missed:
    recall 1.
    """
    both, n_truth, n_prediction = _counts(truth, prediction)
    precision = both / n_prediction if n_prediction else 1.0
    recall = both / n_truth if n_truth else 1.0
    return precision, recall


def boundary_distance(
    truth: np.ndarray, prediction: np.ndarray, spacing: Sequence[float] | None = None
) -> float:
    """Mean symmetric distance between the two boundaries.

    Each boundary element (an element of the mask with a face neighbour outside, the array's border
    counting as outside) is measured to the nearest one of the other mask; the mean runs over the
    elements of both.

    Parameters
    ----------
    truth, prediction : ndarray of equal shape, bool
    spacing : sequence of float, optional
        Size of an element along each axis in mm.

    Returns
    -------
    distance : float
        In mm with `spacing`, else in pixels; 0 for two empty masks, infinite if only one is empty.
    """
    _check_shapes(truth, prediction)
    if spacing is not None and len(spacing) != truth.ndim:
        raise ValueError(f"spacing has {len(spacing)} values; the masks have {truth.ndim} axes")
    if not truth.any() or not prediction.any():
        return 0.0 if truth.any() == prediction.any() else float("inf")
    box = ndimage.find_objects((truth | prediction).astype(np.uint8))[0]
    first, second = _boundary(truth[box]), _boundary(prediction[box])
    to_first = ndimage.distance_transform_edt(~first, sampling=spacing)
    to_second = ndimage.distance_transform_edt(~second, sampling=spacing)
    distances = np.concatenate([to_second[first], to_first[second]])
    return float(distances.mean())


def _boundary(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask, dtype=bool)
    return mask & ~ndimage.binary_erosion(mask, border_value=0)


def _counts(truth: np.ndarray, prediction: np.ndarray) -> tuple[int, int, int]:
    _check_shapes(truth, prediction)
    truth, prediction = np.asarray(truth, dtype=bool), np.asarray(prediction, dtype=bool)
    both = np.count_nonzero(truth & prediction)
    return int(both), int(np.count_nonzero(truth)), int(np.count_nonzero(prediction))


def _check_shapes(truth: np.ndarray, prediction: np.ndarray) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth has shape {truth.shape}, the prediction {prediction.shape}; they have to agree"
        )
