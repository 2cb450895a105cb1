"""What a slice with a known mask tells about the next one: grey values, and the slice itself."""

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

NEWER_SHARE = 0.25
"""How far each further slice changes what the object is thought to look like."""


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

    def blended(self, newer: Appearance | None) -> Appearance:
        """This appearance, changed a little towards that of a further slice."""
        if newer is None:
            return self
        ratios = (1 - NEWER_SHARE) * self.ratios + NEWER_SHARE * newer.ratios
        return Appearance(
            ratios, (1 - NEWER_SHARE) * self.separation + NEWER_SHARE * newer.separation
        )

    def map_of(self, cells: np.ndarray) -> np.ndarray:
        """Where a slice looks like the object (positive) or like its surroundings (negative).

        Parameters
        ----------
        cells : ndarray of shape (h, w), float in [0, 1]

        Returns
        -------
        likeness : ndarray of shape (h, w), float32, in [-1, 1]
        """
        bins = np.clip((cells * BINS).astype(int), 0, BINS - 1)
        return (self.ratios[bins] / LARGEST_RATIO).astype(np.float32)

    def likeness(self, crop: np.ndarray, logits: np.ndarray) -> float:
        """How much another slice's mask looks like the object: 1 as the keyframe, 0 undecided.

        Always 1 where the keyframe's grey values do not tell object and surroundings apart.
        """
        inside = logits > 0
        if self.separation < LEAST_SEPARATION or not inside.any():
            return 1.0
        return float(self.ratios[_bins(crop, inside.shape)[inside]].mean() / self.separation)


def context_maps(
    crop: np.ndarray, known_crop: np.ndarray, appearance: Appearance | None, size: int
) -> np.ndarray:
    """What the network is shown of a slice whose mask is known, beside that mask.

    Parameters
    ----------
    crop : ndarray of shape (S, S), float in [0, 1]
        The slice to segment.
    known_crop : ndarray of shape (S, S), float in [0, 1]
        The same field of the slice with the known mask.
    appearance : Appearance or None
        Of the object there.
    size : int
        S is a multiple of it.

    Returns
    -------
    maps : ndarray of shape (CONTEXT_MAPS, size, size), float32
        Likeness to the object, the known slice, and the change since then.
    """
    cells, known = _cells(crop, size), _cells(known_crop, size)
    likeness = np.zeros_like(cells) if appearance is None else appearance.map_of(cells)
    return np.stack([likeness, 2 * known - 1, 4 * (cells - known)]).astype(np.float32)


def _cells(crop: np.ndarray, size: int) -> np.ndarray:
    """Mean grey values of (size, size) cells."""
    step = crop.shape[0] // size
    return crop.reshape(size, step, size, step).mean((1, 3))


def _bins(crop: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bin of each cell's mean grey value."""
    return np.clip((_cells(crop, shape[0]) * BINS).astype(int), 0, BINS - 1)


def _histogram(bins: np.ndarray) -> np.ndarray:
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)
    smooth = ndimage.gaussian_filter1d(counts, SMOOTHING, mode="nearest")
    return (smooth + 0.5) / (smooth.sum() + 0.5 * BINS)
