"""Intensity windows: one linear map from stored values to [0, 1] for a whole stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stacksam.core.volume import Volume

PADDING_VALUES = (-1024.0, -2000.0, -3024.0)
"""Values that scanners and converters write outside the measured region."""

PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Window:
    """Intensities that become 0 and 1, in the stored unit (CT: Hounsfield units).

    Parameters
    ----------
    low, high : float
        Finite, ``low <= high``. Equal values describe a constant image, which maps to zeros.

    Raises
    ------
    ValueError
        If a limit is not finite or they are in the wrong order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            raise ValueError(
                f"window limits are {self.low} and {self.high}; they have to be finite"
            )
        if self.low > self.high:
            raise ValueError(
                f"window low is {self.low} and high is {self.high}; give low before high"
            )


PRESETS = {
    "ct-soft-tissue": Window(-160.0, 240.0),
    "ct-lung": Window(-1350.0, 150.0),
    "ct-bone": Window(-500.0, 1300.0),
    "ct-brain": Window(0.0, 80.0),
    "ct-mediastinum": Window(-125.0, 225.0),
    "ct-liver": Window(-45.0, 105.0),
    "ct-angio": Window(0.0, 600.0),
}
"""Common CT display windows in Hounsfield units."""

WindowSpec = str | tuple[float, float] | Window


def resolve_window(volume: Volume, spec: WindowSpec = "auto") -> Window:
    """Turn a window specification into limits for this volume.

    Parameters
    ----------
    volume : Volume
    spec : {"auto", "full", "file"}, a preset's name, (low, high) or Window
        ``auto`` takes the 0.5 and 99.5 percentiles of a bounded, seeded sample of the stack,
        ``full`` the sample's extremes; both ignore padding values, NaN and infinities. ``file``
        is the display window the file asks for (DICOM), or ``auto`` where it has none.

    Returns
    -------
    window : Window

    Raises
    ------
    ValueError
        If the name is unknown or the limits are not a finite, ordered pair.
    """
    if isinstance(spec, Window):
        return spec
    if isinstance(spec, str):
        if spec in PRESETS:
            return PRESETS[spec]
        if spec == "file" and volume.scan.window is not None:
            return Window(*volume.scan.window)
        if spec not in ("auto", "full", "file"):
            names = ", ".join(["auto", "full", "file", *PRESETS])
            raise ValueError(
                f"window {spec!r} is unknown; choose one of {names} or give (low, high)"
            )
        return _window_of_sample(volume.sample_values(), spec)
    try:
        low, high = (float(value) for value in spec)
    except (TypeError, ValueError):
        raise ValueError(f"window is {spec!r}; give a name or two numbers (low, high)") from None
    return Window(low, high)


def _window_of_sample(values: np.ndarray, spec: str) -> Window:
    values = np.asarray(values, dtype=np.float32).ravel()
    values = values[np.isfinite(values)]
    measured = values[~np.isin(values, PADDING_VALUES)]
    values = measured if measured.size else values
    if not values.size:
        return Window(0.0, 0.0)
    extremes = Window(float(values.min()), float(values.max()))
    if spec == "full":
        return extremes
    low, high = np.percentile(values, PERCENTILES)
    return Window(float(low), float(high)) if high > low else extremes


def apply_window(image: np.ndarray, window: Window) -> np.ndarray:
    """Map intensities linearly from a window to [0, 1], clipped.

    Parameters
    ----------
    image : ndarray of any shape and real or bool dtype
        Left unchanged.
    window : Window

    Returns
    -------
    windowed : ndarray of the same shape, float32
        NaN becomes 0. A window without width gives zeros.

    Examples
    --------
    >>> apply_window(np.array([-200.0, 40.0, 300.0]), Window(-160.0, 240.0))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    if window.high <= window.low:
        return np.zeros(np.shape(image), np.float32)
    values = np.asarray(image, dtype=np.float32)
    scaled = (values - np.float32(window.low)) * np.float32(1.0 / (window.high - window.low))
    np.clip(scaled, 0.0, 1.0, out=scaled)
    return np.nan_to_num(scaled, copy=False, nan=0.0)


def to_grey(image: np.ndarray) -> np.ndarray:
    """Luminance of a colour image (ITU-R BT.601 weights); grey images pass unchanged.

    Parameters
    ----------
    image : ndarray of shape (Y, X) or (Y, X, 3)

    Returns
    -------
    grey : ndarray of shape (Y, X); float32 where the input had colour
    """
    if image.ndim == 2:
        return image
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
