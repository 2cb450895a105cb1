"""Building blocks of synthetic images: grids, noise fields, blur and camera noise.

Everything works on any number of dimensions through a `Grid`, so that one drawing of a nucleus
serves images and volumes. Lengths are in in-plane pixels; along z a grid may have coarser steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy import ndimage as ndi

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Grid:
    """Shape of a drawing and each axis' step in in-plane pixels: ``(1, 1)`` or ``(a, 1, 1)``."""

    shape: tuple[int, ...]
    step: tuple[float, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def extent(self) -> NDArray[np.float64]:
        """Size along each axis in in-plane pixels."""
        return np.asarray(self.shape) * np.asarray(self.step)

    @property
    def side(self) -> float:
        """In-plane size, the length that objects are measured against."""
        return float(self.shape[-1])

    def coordinates(self) -> list[Floats]:
        """Open mesh of positions in in-plane pixels."""
        axes = [
            np.arange(n, dtype=np.float32) * s for n, s in zip(self.shape, self.step, strict=True)
        ]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))

    def unit(self) -> list[Floats]:
        """Open mesh of positions running from -1 to 1 along each axis."""
        axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in self.shape]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _filtered_noise(
    rng: np.random.Generator, grid: Grid, gain: Callable[[Floats], Floats]
) -> Floats:
    """White noise times `gain` of the squared frequency, with mean 0 and standard deviation 1."""
    spectrum = fft.rfftn(rng.standard_normal(grid.shape, dtype=np.float32))
    frequencies = [np.fft.fftfreq(n, s) for n, s in zip(grid.shape, grid.step, strict=True)]
    frequencies[-1] = np.fft.rfftfreq(grid.shape[-1], grid.step[-1])
    squared = sum(f**2 for f in np.meshgrid(*frequencies, indexing="ij", sparse=True))
    spectrum *= gain(np.asarray(squared, dtype=np.float32))
    field = fft.irfftn(spectrum, s=grid.shape)
    field -= field.mean()
    return (field / max(float(field.std()), 1e-6)).astype(np.float32, copy=False)


def smooth_noise(rng: np.random.Generator, grid: Grid, sigma: float) -> Floats:
    """Gaussian random field with correlation length `sigma`, mean 0, standard deviation 1."""
    return _filtered_noise(rng, grid, lambda squared: np.exp(-2 * np.pi**2 * sigma**2 * squared))


def fractal_noise(
    rng: np.random.Generator, grid: Grid, exponent: float = 1.5, largest: float = 40.0
) -> Floats:
    """Random field with a power-law spectrum up to the length `largest`: cloudy, tissue-like."""
    return _filtered_noise(rng, grid, lambda f2: (f2 + 1 / largest**2) ** np.float32(-exponent / 2))


def illumination(rng: np.random.Generator, grid: Grid, strength: float) -> Floats:
    """Slowly varying gain around 1, never below 0.15: a tilt plus a smooth random part."""
    field = smooth_noise(rng, grid, 0.3 * grid.side)
    for axis in grid.unit():
        field = field + rng.normal() * axis
    return np.clip(1 + strength * field / max(float(np.abs(field).max()), 1e-6), 0.15, None)


def texture(rng: np.random.Generator, grid: Grid) -> Floats:
    """A random texture with standard deviation 1: cloudy, grainy, spotted or (rarely) striped."""
    kind = rng.random()
    if kind < 0.5:
        return fractal_noise(rng, grid, rng.uniform(1, 2.5), rng.uniform(5, 60))
    if kind < 0.75:
        return smooth_noise(rng, grid, rng.uniform(0.6, 4))
    if kind < 0.94:
        spots = smooth_noise(rng, grid, rng.uniform(1, 3)) - rng.uniform(0.5, 1.5)
        return standardised(rng.choice([-1, 1]) * np.clip(spots, 0, None))
    return stripes(rng, grid, rng.uniform(3, 12))


def stripes(rng: np.random.Generator, grid: Grid, period: float) -> Floats:
    """Wavy stripes of the given period, standard deviation about 1."""
    direction = random_rotation(rng, grid.ndim)[0]
    along = sum(d * x for d, x in zip(direction, grid.coordinates(), strict=True))
    phase = 2 * np.pi * along / period + 1.5 * smooth_noise(rng, grid, 1.5 * period)
    return (np.sqrt(2) * np.sin(phase)).astype(np.float32)


def random_rotation(rng: np.random.Generator, ndim: int) -> NDArray[np.float64]:
    """Uniform random rotation matrix; rows are the new axes."""
    matrix, upper = np.linalg.qr(rng.normal(size=(ndim, ndim)))
    return matrix * np.sign(np.diag(upper))


def standardised(field: Floats) -> Floats:
    """Shift and scale to mean 0 and standard deviation 1."""
    field = field - field.mean()
    return (field / max(float(field.std()), 1e-6)).astype(np.float32, copy=False)


def per_label(
    rng: np.random.Generator, labels: Labels, low: float, high: float, *, background: float = 0.0
) -> Floats:
    """Image with one uniform random value per label."""
    values = rng.uniform(low, high, int(labels.max()) + 1).astype(np.float32)
    values[0] = background
    return values[labels]


def blur(grid: Grid, image: Floats, sigma: float, *, along_z: float = 1.0) -> Floats:
    """Gaussian blur of `sigma` pixels, `along_z` times as long along z."""
    sigmas = [sigma / s for s in grid.step]
    if grid.ndim == 3:
        sigmas[0] *= along_z
    return ndi.gaussian_filter(image, sigmas, truncate=3.0)


def camera_noise(
    rng: np.random.Generator, image: Floats, photons: float, read_noise: float
) -> Floats:
    """Add photon noise (`photons` at intensity 1, normal approximation) and read noise."""
    sigma = np.sqrt(np.clip(image, 0, None) / np.float32(photons) + np.float32(read_noise) ** 2)
    return image + sigma * rng.standard_normal(image.shape, dtype=np.float32)


def rician_noise(rng: np.random.Generator, image: Floats, sigma: float) -> Floats:
    """Magnitude of a complex signal with normal noise, as in MR images."""
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(sigma)
    return np.hypot(image + real, imaginary)


def to_uint8(rng: np.random.Generator, image: Floats) -> NDArray[np.uint8]:
    """Window between random percentiles, bend by a random gamma and quantise."""
    sample = image.reshape(-1)[:: max(image.size // 50_000, 1)]
    low, high = np.percentile(sample, [rng.uniform(0, 1), rng.uniform(98.8, 100)])
    unit = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    unit = unit ** np.float32(np.exp(rng.uniform(-0.35, 0.35)))
    if rng.random() < 0.2:  # a display that does not use the whole range
        unit = rng.uniform(0, 0.25) + unit * rng.uniform(0.4, 0.75)
    return np.rint(255 * unit).astype(np.uint8)
