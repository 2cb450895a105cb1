"""What cameras, scanners and file formats do to images: noise, stripes, coarse sampling, JPEG."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

JPEG_BLOCK = 8


def degrade(images: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Spoil slices (S, S) in [0, 1] of one stack alike, apart from noise; most stay as they are.

    In the order in which it happens: optics and sampling, detector, file.
    """
    stack = np.stack(images).astype(np.float32)
    if rng.random() < 0.06:
        stack = sample_coarsely(stack, rng)
    if rng.random() < 0.025:
        stack = add_photon_noise(stack, rng)
    if rng.random() < 0.025:
        stack = add_stripes(stack, rng)
    if rng.random() < 0.04:
        stack = compress(stack, rng.uniform(0.04, 0.2))
    return list(np.clip(stack, 0, 1).astype(np.float32))


def sample_coarsely(stack: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As if pixels had been 1.3 to 4 times as wide, along one axis or both, and interpolated.

    Parameters
    ----------
    stack : ndarray of shape (Z, S, S), float32
    rng : numpy Generator
    """
    factor = np.exp(rng.uniform(np.log(1.3), np.log(4)))
    is_coarse = [(True, True), (True, False), (False, True)][int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    for is_wide in is_coarse:
        if is_wide:
            stack = _sample_columns_coarsely(stack, factor)
        stack = stack.transpose(0, 2, 1)
    return stack


def _sample_columns_coarsely(stack: np.ndarray, factor: float) -> np.ndarray:
    size = stack.shape[-1]
    count = max(8, round(size / factor))
    means = ndimage.uniform_filter1d(stack, max(1, round(factor)), axis=-1)
    kept = np.round(np.linspace(0, size - 1, count)).astype(int)
    at = np.interp(np.arange(size), kept, np.arange(count))
    low = np.minimum(at.astype(int), count - 2)
    part = (at - low).astype(np.float32)
    coarsely = means[..., kept]
    return coarsely[..., low] * (1 - part) + coarsely[..., low + 1] * part


def add_photon_noise(stack: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts of 15 to 300 photons at full brightness: the brighter, the noisier."""
    photons = np.exp(rng.uniform(np.log(15), np.log(300)))
    return (rng.poisson(np.clip(stack, 0, 1) * photons) / photons).astype(np.float32)


def add_stripes(stack: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brighter and darker rows or columns, like those of line scanners and of curtains in FIB."""
    size = stack.shape[-1]
    lines = ndimage.gaussian_filter1d(rng.standard_normal(size), rng.uniform(0.5, 3))
    lines = rng.uniform(0.02, 0.12) * lines / lines.std()
    shape = (1, size, 1) if rng.random() < 0.5 else (1, 1, size)
    return stack + lines.reshape(shape).astype(np.float32)


def compress(stack: np.ndarray, step: float) -> np.ndarray:
    """The losses of JPEG: rounded cosine coefficients of 8 x 8 blocks, high ones more coarsely.

    Parameters
    ----------
    stack : ndarray of shape (Z, S, S), float32
        S is a multiple of 8.
    step : float
        To which the lowest coefficients are rounded; the highest to about four times as much.
    """
    depth, size, _ = stack.shape
    count = size // JPEG_BLOCK
    blocks = stack.reshape(depth, count, JPEG_BLOCK, count, JPEG_BLOCK)
    coefficients = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    order = np.arange(JPEG_BLOCK)
    steps = np.float32(step) * (1 + 0.22 * (order[:, None] + order[None])).astype(np.float32)
    return fft.idctn(
        np.round(coefficients / steps[:, None]) * steps[:, None], axes=(2, 4), norm="ortho"
    ).reshape(stack.shape)
