"""Fields in which training samples show an object: around it, or around a click on it."""

from __future__ import annotations

import numpy as np

from stacksam.core.fields import Field, field_around
from stacksam.core.masks import box_of


def choose_view(
    mask: np.ndarray, aspect: float, rng: np.random.Generator, is_augmented: bool
) -> Field:
    """A field in which the object is as large and as central as at inference, roughly.

    Parameters
    ----------
    mask : ndarray of shape (Y, X), bool
        The object, not empty.
    aspect : float
        Height of a pixel over its width.
    rng : numpy Generator
    is_augmented : bool
        False: exactly as at inference.
    """
    box = box_of(mask)
    assert box is not None
    shape = (mask.shape[0], mask.shape[1])
    if not is_augmented:
        return field_around(box, shape, pixel_aspect=aspect)
    fill = (
        rng.uniform(0.3, 0.65)
        if rng.random() < 0.6
        else np.exp(rng.uniform(np.log(0.07), np.log(0.9)))
    )
    y0, x0, y1, x1 = box
    side = max((y1 - y0) * aspect, x1 - x0)
    room = max(0.0, side / fill - side) / 2 * rng.uniform(-0.7, 0.7, 2)
    dy, dx = room[0] / aspect, room[1]
    aspect = aspect * np.exp(rng.normal(0, 0.1))
    return field_around(
        (y0 + dy, x0 + dx, y1 + dy, x1 + dx), shape, pixel_aspect=aspect, fill=fill, snap=False
    )


def click_view(
    mask: np.ndarray, aspect: float, click: tuple[int, int], rng: np.random.Generator
) -> Field:
    """A field around a click: the object in it may be small, or reach far beyond it.

    Parameters
    ----------
    mask, aspect, rng
        See `choose_view`.
    click : (y, x)
        A pixel of the object.
    """
    box = box_of(mask)
    assert box is not None
    y0, x0, y1, x1 = box
    aspect = aspect * np.exp(rng.normal(0, 0.1))
    low, high = (0.15, 0.9) if rng.random() < 0.6 else (0.06, 2.5)
    side = max((y1 - y0) * aspect, x1 - x0) / np.exp(rng.uniform(np.log(low), np.log(high)))
    y, x = np.array(click) + 0.5 + rng.uniform(-0.06, 0.06, 2) * [side / aspect, side]
    half_y, half_x = side / aspect / 2, side / 2
    return field_around(
        (y - half_y, x - half_x, y + half_y, x + half_x),
        (mask.shape[0], mask.shape[1]),
        pixel_aspect=aspect,
        fill=1.0,
        snap=False,
    )


def mark_click(click: tuple[int, int] | None, place: Field, size: int) -> np.ndarray:
    """An array of shape (size, size), bool, that is True where the click (y, x) is."""
    dot = np.zeros((size, size), dtype=bool)
    if click is not None:
        y, x = np.clip(np.round(place.to_field(np.array(click), size)), 0, size - 1).astype(int)
        dot[y, x] = True
    return dot
