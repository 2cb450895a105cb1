"""Does the object still look like itself? Grey values in and beside a keyframe's mask decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BINS = 24
SMOOTHING = 1.0
"""Of the histograms, in bins."""

LARGEST_RATIO = 3.0
"""Limit of a bin's log likelihood ratio, so that rare grey values cannot decide alone."""

RING_SHARE = 0.3
"""Width of the surroundings looked at, relative to the radius of a disc of the mask's area."""

LEAST_SEPARATION = 0.35
"""Mean log likelihood ratio of a keyframe below which grey values say nothing about the object."""


@dataclass(frozen=True)
class Appearance:
    """Grey values of an object and its surroundings on one slice.

    Attributes
    ----------
    ratios : ndarray of shape (BINS,)
        Log likelihood ratio of object against surroundings by grey value.
    separation : float
        Its mean over the object: how much grey values tell them apart.
    """

    ratios: np.ndarray
    separation: float

    @classmethod
    def of(cls, crop: np.ndarray, logits: np.ndarray) -> Appearance | None:
        """Look at a mask in a field; None where it is empty or fills the field.

        Parameters
        ----------
        crop : ndarray of shape (S, S), float in [0, 1]
        logits : ndarray of shape (h, w)
            S is a multiple of h.
        """
        inside = logits > 0
        bins = _bins(crop, inside.shape)
        width = max(2, round(RING_SHARE * float(np.sqrt(inside.sum() / np.pi))))
        ring = ndimage.distance_transform_edt(~inside) if inside.any() else np.zeros(inside.shape)
        beside = (ring > 1) & (ring <= width + 1)
        if inside.sum() < 8 or beside.sum() < 8:
            return None
        ratios = np.log(_histogram(bins[inside]) / _histogram(bins[beside]))
        ratios = np.clip(ratios, -LARGEST_RATIO, LARGEST_RATIO)
        return cls(ratios, float(ratios[bins[inside]].mean()))

    def likeness(self, crop: np.ndarray, logits: np.ndarray) -> float:
        """How much another slice's mask looks like the object: 1 as the keyframe, 0 undecided.

        Always 1 where the keyframe's grey values do not tell object and surroundings apart.
        """
        inside = logits > 0
        if self.separation < LEAST_SEPARATION or not inside.any():
            return 1.0
        return float(self.ratios[_bins(crop, inside.shape)[inside]].mean() / self.separation)


def _bins(crop: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bin of each cell's mean grey value."""
    step = crop.shape[0] // shape[0]
    means = crop.reshape(shape[0], step, shape[1], step).mean((1, 3))
    return np.clip((means * BINS).astype(int), 0, BINS - 1)


def _histogram(bins: np.ndarray) -> np.ndarray:
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)
    smooth = ndimage.gaussian_filter1d(counts, SMOOTHING, mode="nearest")
    return (smooth + 0.5) / (smooth.sum() + 0.5 * BINS)
