"""Changes of contrast and shape that make domains out of few images."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from stacksam.core.fields import LOGIT_OUTSIDE
from stacksam.core.windows import PRESETS


def mix_colours(images: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Grey images (Y, X) from (Y, X) or (Y, X, 3): luminance or, at times, random weights."""
    if images[0].ndim == 2:
        return images
    weights = np.array([0.299, 0.587, 0.114])
    if rng.random() < 0.4:
        weights = rng.dirichlet(np.ones(3))
    return [image.astype(np.float32) @ weights.astype(np.float32) for image in images]


def choose_ct_window(
    hu: np.ndarray, auto: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float]:
    """Limits through which someone might look at an object in CT.

    Parameters
    ----------
    hu : ndarray of shape (N,)
        The object's values on the slice; may be empty.
    auto : (low, high)
        What the window ``auto`` gives for the stack.

    Returns
    -------
    low, high : float
        ``auto``, a preset, or limits around the object's median.
    """
    way = rng.random()
    if way < 0.5 or not hu.size:
        return auto
    if way < 0.75:
        preset = PRESETS[str(rng.choice(["ct-soft-tissue", "ct-mediastinum", "ct-liver"]))]
        if preset.low < np.median(hu) < preset.high:
            return preset.low, preset.high
    width = np.exp(rng.uniform(np.log(150), np.log(1500)))
    middle = float(np.median(hu)) + width * rng.uniform(-0.25, 0.25)
    return middle - width / 2, middle + width / 2


def change_contrast(images: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Jitter window, gamma, polarity, blur and shading of slices (S, S) in [0, 1] of one stack.

    All change alike, apart from their noise.
    """
    stack = np.stack(images).astype(np.float32)
    if rng.random() < 0.6:
        stack = (stack - 0.5) * rng.uniform(0.55, 1.5) + 0.5 + rng.uniform(-0.15, 0.15)
        stack = np.clip(stack, 0, 1)
    if rng.random() < 0.4:
        stack = stack ** np.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.12:
        stack = 1 - stack
    if rng.random() < 0.15:
        sigma = rng.uniform(0.4, 1.6)
        stack = ndimage.gaussian_filter(stack, (0, sigma, sigma))
    if rng.random() < 0.2:
        stack = stack * (1 + _smooth_field(rng, stack.shape[-1], 0.35))
    if rng.random() < 0.15:  # one slice is brighter than the next
        stack = stack * np.exp(rng.normal(0, 0.08, (len(stack), 1, 1)))
    if rng.random() < 0.3:
        noise = rng.standard_normal(stack.shape, dtype=np.float32)
        if rng.random() < 0.3:
            sigma = rng.uniform(0.4, 1.0)
            noise = 2 * ndimage.gaussian_filter(noise, (0, sigma, sigma))
        stack = stack + rng.uniform(0.01, 0.1) * noise
    return list(np.clip(stack, 0, 1).astype(np.float32))


def flip_and_turn(arrays: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The same random flip and quarter turn for all (S, S) arrays."""
    turns, is_flipped = int(rng.integers(4)), rng.random() < 0.5
    arrays = [np.rot90(a, turns) for a in arrays]
    return [np.ascontiguousarray(a[:, ::-1] if is_flipped else a) for a in arrays]


def bend(arrays: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The same random smooth distortion for all (S, S) arrays; only floats are interpolated."""
    size = arrays[0].shape[0]
    strength = rng.uniform(0.01, 0.04) * size
    shifts = [_smooth_field(rng, size, strength) for _ in range(2)]
    grid = np.mgrid[:size, :size].astype(np.float32)
    last = size - 1
    source = [  # mirrored at the edges
        last - np.abs(last - np.abs(g + shift)) for g, shift in zip(grid, shifts, strict=True)
    ]
    nearest = [np.round(s).astype(int) for s in source]
    return [
        ndimage.map_coordinates(a, source, order=1)
        if a.dtype.kind == "f"
        else a[nearest[0], nearest[1]]
        for a in arrays
    ]


def recolour(
    images: list[np.ndarray], labels: list[np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """Slices (S, S) of a stack with each labelled object made brighter or darker, its texture kept.

    So contrast between an object and its surroundings is not what one data set made it.

    Parameters
    ----------
    images : list of ndarrays of shape (S, S), float32, in [0, 1]
    labels : list of ndarrays of shape (S, S), int
        Of these slices; an object has the same number on all.
    rng : numpy Generator
    """
    offsets = rng.normal(0, 0.15, 1 + max(int(x.max()) for x in labels)).astype(np.float32)
    offsets[0] = 0
    sigma = rng.uniform(0.4, 1.5)
    return [
        np.clip(image + ndimage.gaussian_filter(offsets[x], sigma), 0, 1)
        for image, x in zip(images, labels, strict=True)
    ]


def deform(
    mask: np.ndarray, image: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What the same object and its slice might look like on a neighbouring slice.

    Parameters
    ----------
    mask : ndarray of shape (S, S), bool
    image : ndarray of shape (S, S)

    Returns
    -------
    mask, image : ndarrays of the same shapes
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
    return mask[at[0], at[1]], image[at[0], at[1]]


def spoil(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask with a mistake to recover from: a bulge beside the object, or a part that is missing.

    Parameters
    ----------
    mask : ndarray of shape (S, S), bool

    Returns
    -------
    spoiled : ndarray of shape (S, S), bool
        At least half of the mask is kept.
    """
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    if not len(edge):
        return mask
    radius = np.sqrt(mask.sum() / np.pi)
    spoiled = mask
    for _ in range(int(rng.integers(1, 3))):
        y, x = edge[rng.integers(len(edge))] + rng.normal(0, 0.2 * radius, 2)
        height, width = radius * rng.uniform(0.2, 0.7, 2)
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        patch = ((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 < 1
        changed = spoiled | patch if rng.random() < 0.65 else spoiled & ~patch
        if 2 * (changed & mask).sum() >= mask.sum():
            spoiled = changed
    return spoiled


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
