"""Changes of contrast and shape that make domains out of few images."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from stacksam.core.fields import LOGIT_OUTSIDE


def mix_colours(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey image (Y, X) from (Y, X) or (Y, X, 3): luminance or, at times, random weights."""
    if image.ndim == 2:
        return image
    weights = np.array([0.299, 0.587, 0.114])
    if rng.random() < 0.4:
        weights = rng.dirichlet(np.ones(3))
    return image.astype(np.float32) @ weights.astype(np.float32)


def change_contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Jitter window, gamma, polarity, noise, blur and shading of an image (S, S) in [0, 1]."""
    image = image.astype(np.float32)
    if rng.random() < 0.6:
        image = (image - 0.5) * rng.uniform(0.55, 1.5) + 0.5 + rng.uniform(-0.15, 0.15)
        image = np.clip(image, 0, 1)
    if rng.random() < 0.4:
        image = image ** np.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.12:
        image = 1 - image
    if rng.random() < 0.15:
        image = ndimage.gaussian_filter(image, rng.uniform(0.4, 1.6))
    if rng.random() < 0.2:
        image = image * (1 + _smooth_field(rng, image.shape[0], 0.35))
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        if rng.random() < 0.3:
            noise = 2 * ndimage.gaussian_filter(noise, rng.uniform(0.4, 1.0))
        image = image + rng.uniform(0.01, 0.1) * noise
    return np.clip(image, 0, 1).astype(np.float32)


def flip_and_turn(arrays: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The same random flip and quarter turn for all (S, S) arrays."""
    turns, is_flipped = int(rng.integers(4)), rng.random() < 0.5
    arrays = [np.rot90(a, turns) for a in arrays]
    return [np.ascontiguousarray(a[:, ::-1] if is_flipped else a) for a in arrays]


def deform_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the same object might look like on a neighbouring slice.

    Parameters
    ----------
    mask : ndarray of shape (S, S), bool

    Returns
    -------
    deformed : ndarray of shape (S, S), bool
    """
    size = mask.shape[0]
    rows, columns = np.nonzero(mask)
    center = np.array([rows.mean(), columns.mean()])
    extent = max(np.ptp(rows), np.ptp(columns)) + 1.0
    strength = rng.choice([0.5, 1.0, 2.0])
    shift = strength * rng.normal(0, 0.06, 2) * extent
    stretch = np.exp(strength * (rng.normal(0, 0.1) + rng.normal(0, 0.05, 2)))
    grid = np.mgrid[:size, :size].astype(np.float32)
    source = [(grid[k] - center[k] - shift[k]) / stretch[k] + center[k] for k in (0, 1)]
    wobble = strength * rng.uniform(0, 0.08) * extent
    source = [s + _smooth_field(rng, size, wobble) for s in source]
    at = [np.clip(np.round(s).astype(int), 0, size - 1) for s in source]
    return mask[at[0], at[1]]


def as_neighbour_logits(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logits (S, S) such as a decoder might have given for this mask, at times vague ones."""
    sigma = rng.uniform(0.5, 2.5) if rng.random() < 0.5 else rng.uniform(2.5, 8.0)
    soft = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    soft /= max(float(soft.max()), 1e-3)
    logits = (soft - rng.uniform(0.3, 0.7)) * rng.uniform(5, 26)
    return np.clip(logits, LOGIT_OUTSIDE, -LOGIT_OUTSIDE).astype(np.float32)


def _smooth_field(rng: np.random.Generator, size: int, strength: float) -> np.ndarray:
    """A random field (size, size) of standard deviation about `strength`."""
    cells = int(rng.integers(3, 6))
    coarse = rng.normal(0, strength, (cells, cells)).astype(np.float32)
    at = np.linspace(0, cells - 1.001, size, dtype=np.float32)
    low = at.astype(int)
    part = at - low
    weights = np.zeros((size, cells), np.float32)
    weights[np.arange(size), low] = 1 - part
    weights[np.arange(size), low + 1] = part
    return weights @ coarse @ weights.T
