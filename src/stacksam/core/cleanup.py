"""Optional clean-up of a mask: smooth it, fill its holes, drop its small pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

_REACH = 3.0  # the smoothing kernel ends after this many standard deviations


@dataclass(frozen=True)
class CleanUp:
    """What to do with each mask; everything is off by default.

    Parameters
    ----------
    fill_holes : bool
        Fill background that the mask encloses (in 3D: a cavity closed on all sides).
    keep_largest : bool
        Keep only the largest connected piece, the first in scan order among equals.
    min_size : float
        Drop connected pieces smaller than this; 0 drops none.
    min_size_unit : {"px", "mm"}
        Whether `min_size` counts pixels (voxels), or is mm² on a slice and mm³ in a volume.
    smooth : float
        Standard deviation of the smoothing in pixels of the finest axis; 0 is off.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or the unit is another one.

    Examples
    --------
    >>> CleanUp(fill_holes=True, min_size=20).is_off, CleanUp().is_off
    (False, True)
    """

    fill_holes: bool = False
    keep_largest: bool = False
    min_size: float = 0.0
    min_size_unit: Literal["px", "mm"] = "px"
    smooth: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_size", "smooth"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} is {value}; it has to be a finite number, at least 0")
        if self.min_size_unit not in ("px", "mm"):
            raise ValueError(f"min_size_unit is {self.min_size_unit!r}; choose 'px' or 'mm'")

    @property
    def is_off(self) -> bool:
        """True if masks stay as they are."""
        return not (self.fill_holes or self.keep_largest or self.min_size or self.smooth)


def clean_mask(
    mask: np.ndarray, settings: CleanUp, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Clean a mask of one slice or one volume; keyframes and prompts are the caller's business.

    The order is: smooth, fill holes, drop small pieces, keep the largest. So the result has no
    holes and no small pieces, whatever smoothing did. Pieces connect over corners, holes do not.

    Parameters
    ----------
    mask : ndarray of shape (H, W) or (Z, Y, X), bool
        Left unchanged.
    settings : CleanUp
    spacing : sequence of float, optional
        mm along each axis of `mask`. Needed for a size in mm; makes smoothing equal in all
        directions where slices are farther apart than pixels.

    Returns
    -------
    cleaned : ndarray of the same shape, bool
        Never the same memory as `mask`. A mask that smoothing would wipe out is not smoothed.

    Raises
    ------
    ValueError
        If the mask has other than 2 or 3 axes, the spacing does not fit, or a size in mm comes
        without a spacing.
    TypeError
        If the mask is not bool.

    Examples
    --------
    >>> ring = np.ones((5, 5), dtype=bool)
    >>> ring[2, 2] = False
    >>> bool(clean_mask(ring, CleanUp(fill_holes=True)).all())
    True
    """
    _check(mask, settings, spacing)
    out = mask.copy()
    if settings.is_off or not mask.any():
        return out
    reach = math.ceil(_REACH * settings.smooth) + 1
    part = tuple(
        slice(max(0, np.flatnonzero(line)[0] - reach), np.flatnonzero(line)[-1] + 1 + reach)
        for line in (mask.any(axis=_others(axis, mask.ndim)) for axis in range(mask.ndim))
    )
    out[part] = _cleaned(mask[part], settings, spacing)
    return out


def _cleaned(mask: np.ndarray, settings: CleanUp, spacing: Sequence[float] | None) -> np.ndarray:
    if settings.smooth:
        mask = _smoothed(mask, settings.smooth, spacing)
    if settings.fill_holes:
        mask = ndimage.binary_fill_holes(mask)
    min_size = settings.min_size
    if settings.min_size_unit == "mm" and spacing is not None:
        min_size = min_size / math.prod(spacing)
    if min_size > 1 or settings.keep_largest:
        mask = _without_pieces(mask, min_size, settings.keep_largest)
    return mask


def _smoothed(mask: np.ndarray, sigma: float, spacing: Sequence[float] | None) -> np.ndarray:
    """Average over a Gaussian and keep what is more than half inside.

    The image continues behind its border as its mirror image, so that an object cut by the border
    is not rounded there.
    """
    steps = np.ones(mask.ndim) if spacing is None else np.asarray(spacing, float)
    blurred = ndimage.gaussian_filter(
        mask.astype(np.float32), sigma * steps.min() / steps, mode="reflect", truncate=_REACH
    )
    smooth = blurred > 0.5
    return smooth if smooth.any() else mask


def _without_pieces(mask: np.ndarray, min_size: float, keep_largest: bool) -> np.ndarray:
    pieces, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    # A size of 3 * 0.1 mm has to count as 0.3 mm.
    is_kept = sizes >= max(min_size * (1 - 1e-9), 1)
    if keep_largest:
        is_kept &= np.arange(sizes.size) == np.argmax(sizes)
    return is_kept[pieces]


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(a for a in range(ndim) if a != axis)


def _check(mask: np.ndarray, settings: CleanUp, spacing: Sequence[float] | None) -> None:
    if mask.dtype != bool:
        raise TypeError(f"mask has dtype {mask.dtype}; expected bool")
    if mask.ndim not in (2, 3):
        raise ValueError(f"mask has shape {mask.shape}; expected (H, W) or (Z, Y, X)")
    if spacing is None:
        if settings.min_size_unit == "mm" and settings.min_size:
            raise ValueError("a smallest size in mm needs a spacing, which is unknown; use 'px'")
        return
    if len(spacing) != mask.ndim or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise ValueError(
            f"spacing is {tuple(spacing)}; expected {mask.ndim} finite numbers above 0 (mm)"
        )
