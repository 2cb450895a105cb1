"""Whether the IoU that the model predicts for its masks is the IoU that they have.

The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) is taken over bins of
equal count: predictions are sorted and cut into `BINS` parts, and the distances between mean
prediction and mean truth of the parts are averaged, each counting by its size. All predictions
count alike, whatever data set they are from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

if TYPE_CHECKING:
    from PIL import Image

    from stacksam.evaluation.report import Score

BINS = 10
PREDICTED = "predicted_iou"
"""Name of the figure that holds what the model predicts."""

_CLOSEST = 1e-3  # to 0 and 1, so that log odds stay finite
_RIDGE = 1e-6  # keeps the fit finite where all predictions are equal


@dataclass(frozen=True)
class Bin:
    """Predictions of similar size: their mean, the mean of the true IoU, and how many they are."""

    predicted: float
    true: float
    n: int


@dataclass(frozen=True)
class PlattScaling:
    """A line in log odds that turns predictions into likely values (Platt, 1999).

    Attributes
    ----------
    slope, offset : float
    n : int
        Predictions that it was fitted to.
    """

    slope: float
    offset: float
    n: int

    @classmethod
    def fit(
        cls, predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray
    ) -> PlattScaling:
        """Fit by cross entropy; the IoU itself stands where a class does in Platt's method.

        Raises
        ------
        ValueError
            If there is nothing to fit to.
        """
        values, truths = _checked(predicted, true)
        odds = _log_odds(values)

        def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
            z = line[0] * odds + line[1]
            away = line - (1.0, 0.0)
            gap = expit(z) - truths
            value = np.mean(np.logaddexp(0, z) - truths * z) + _RIDGE * away @ away
            return float(value), np.array([np.mean(gap * odds), gap.mean()]) + 2 * _RIDGE * away

        slope, offset = minimize(loss, (1.0, 0.0), jac=True, method="BFGS").x
        return cls(float(slope), float(offset), len(odds))

    def __call__(self, predicted: Sequence[float] | np.ndarray) -> np.ndarray:
        """Calibrated predictions, (n,) in [0, 1]."""
        return expit(self.slope * _log_odds(np.asarray(predicted, np.float64)) + self.offset)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predicted and true IoU of many masks, and the scaling that other masks gave.

    Attributes
    ----------
    predicted, true : ndarray of shape (n,)
    scaling : PlattScaling or None
        Fitted on other files (val); None where predictions are taken as they are.
    """

    predicted: np.ndarray
    true: np.ndarray
    scaling: PlattScaling | None = None

    def error(self, is_scaled: bool = False) -> float:
        """The expected calibration error, 0 to 1, with or without the scaling."""
        return expected_calibration_error(self._values(is_scaled), self.true)

    def bins(self, is_scaled: bool = False) -> list[Bin]:
        """The parts in ascending order of prediction."""
        return equal_count_bins(self._values(is_scaled), self.true)

    def _values(self, is_scaled: bool) -> np.ndarray:
        if not is_scaled:
            return self.predicted
        if self.scaling is None:
            raise ValueError("there is no scaling; fit one on other predictions first")
        return self.scaling(self.predicted)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        content: dict[str, Any] = {"as_predicted": self._part(False), "n": len(self.predicted)}
        if self.scaling is not None:
            content["calibrated"] = self._part(True) | {
                "slope": round(self.scaling.slope, 6),
                "offset": round(self.scaling.offset, 6),
                "n_fitted_to": self.scaling.n,
            }
        return content

    def _part(self, is_scaled: bool) -> dict[str, Any]:
        bins = [
            {"n": b.n, "predicted": round(b.predicted, 6), "true": round(b.true, 6)}
            for b in self.bins(is_scaled)
        ]
        return {"bins": bins, "expected_calibration_error": round(self.error(is_scaled), 6)}

    def to_picture(self, title: str = "") -> Image.Image:
        """The reliability plot; see `calibration_pictures`."""
        from stacksam.evaluation.calibration_pictures import reliability_picture

        return reliability_picture(self, title)


def calibration_of(
    scores: Sequence[Score], scaling: PlattScaling | None = None
) -> Calibration | None:
    """Gather the scores that have a predicted IoU; None where none has."""
    pairs = [(s.figures[PREDICTED], s.figures["iou"]) for s in scores if PREDICTED in s.figures]
    if not pairs:
        return None
    predicted, true = np.array(pairs).T
    return Calibration(predicted, true, scaling)


def equal_count_bins(
    predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray, count: int = BINS
) -> list[Bin]:
    """Cut sorted predictions into parts of equal size, as far as their number allows.

    Raises
    ------
    ValueError
        If there are none, or not as many of both.

    Examples
    --------
    >>> equal_count_bins([0.9, 0.1, 0.3, 0.7], [1.0, 0.0, 0.2, 0.6], count=2)
    [Bin(predicted=0.2, true=0.1, n=2), Bin(predicted=0.8, true=0.8, n=2)]
    """
    values, truths = _checked(predicted, true)
    parts = np.array_split(np.argsort(values, kind="stable"), count)
    return [
        Bin(round(float(values[p].mean()), 12), round(float(truths[p].mean()), 12), len(p))
        for p in parts
        if len(p)
    ]


def expected_calibration_error(
    predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray, count: int = BINS
) -> float:
    """Mean distance between prediction and truth over bins of equal count.

    Examples
    --------
    >>> round(expected_calibration_error([0.9, 0.1, 0.3, 0.7], [1.0, 0.0, 0.2, 0.6], 2), 6)
    0.05
    """
    bins = equal_count_bins(predicted, true, count)
    return sum(b.n * abs(b.predicted - b.true) for b in bins) / sum(b.n for b in bins)


def _checked(
    predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    values, truths = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if values.shape != truths.shape or values.ndim != 1 or not len(values):
        raise ValueError(
            f"predictions have shape {values.shape}, true values {truths.shape}; "
            "give as many of both, at least one"
        )
    return values, truths


def _log_odds(values: np.ndarray) -> np.ndarray:
    return logit(np.clip(values, _CLOSEST, 1 - _CLOSEST))
