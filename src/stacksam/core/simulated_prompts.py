"""Clicks and boxes as a user would give them, made from the true mask.

Used in training and in evaluation, so both see the same prompts. With ``rng=None`` the answers are
deterministic; all work is done on the object's box, so that the cost follows the object's size.
"""

from __future__ import annotations

import numpy as np

from stacksam.core.masks import box_of, components, edge_distance, interior_point


def click_on(mask: np.ndarray, rng: np.random.Generator | None = None) -> tuple[int, int]:
    """A click on the object: its innermost pixel, or with `rng` a random one, rather inside.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    rng : numpy Generator, optional
        With it, a pixel is drawn with weight proportional to its distance to the edge.

    Returns
    -------
    yx : tuple of int

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if rng is None:
        point = interior_point(mask)
        if point is None:
            raise ValueError("the mask is empty; there is nothing to click on")
        return point
    distance, (y0, x0) = edge_distance(mask)
    if distance.size == 0:
        raise ValueError("the mask is empty; there is nothing to click on")
    weights = np.cumsum(distance.ravel())
    at = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
    y, x = divmod(at, distance.shape[1])
    return (y + y0, x + x0)


def box_around(
    mask: np.ndarray, rng: np.random.Generator | None = None, sloppiness: float = 0.0
) -> tuple[float, float, float, float]:
    """A half-open box around the object, as sloppy as hand-drawn ones.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    rng : numpy Generator, optional
        Needed for a sloppiness above 0.
    sloppiness : float
        Standard deviation of each side's displacement as a fraction of the box's height or width,
        cut at two deviations. A side never moves across the middle of the object's box.

    Returns
    -------
    yxyx : tuple of float
        Inside the image, at least one pixel high and wide.

    Raises
    ------
    ValueError
        If the mask is empty, or `sloppiness` is above 0 without `rng`.
    """
    box = box_of(mask)
    if box is None:
        raise ValueError("the mask is empty; there is nothing to draw a box around")
    y0, x0, y1, x1 = (float(v) for v in box)
    if sloppiness <= 0:
        return (y0, x0, y1, x1)
    if rng is None:
        raise ValueError("a sloppy box needs a random generator; pass rng")
    size = np.array([y1 - y0, x1 - x0, y1 - y0, x1 - x0])
    shift = np.clip(rng.normal(size=4), -2.0, 2.0) * sloppiness * size
    limit = np.maximum((size - 1) / 2, 0.0)
    shift = np.array([*np.minimum(shift[:2], limit[:2]), *np.maximum(shift[2:], -limit[2:])])
    a, b, c, d = (float(v) for v in np.array(box) + shift)
    height, width = mask.shape
    return (max(a, 0.0), max(b, 0.0), min(c, float(height)), min(d, float(width)))


def corrective_click(
    truth: np.ndarray, prediction: np.ndarray
) -> tuple[tuple[int, int], bool] | None:
    """Where a user would click next: the middle of the largest connected error.

    Missed and surplus regions are taken apart; of two equally large ones the missed one wins.

    Parameters
    ----------
    truth, prediction : ndarray of shape (H, W), bool

    Returns
    -------
    yx, positive : tuple of int, bool
        None where the prediction is right everywhere.

    Examples
    --------
    >>> truth = np.zeros((5, 9), dtype=bool)
    >>> truth[1:4, 1:4] = True
    >>> corrective_click(truth, np.zeros_like(truth))
    ((2, 2), True)
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape}, but the prediction {prediction.shape}")
    box = box_of(truth != prediction)
    if box is None:
        return None
    y0, x0, y1, x1 = box
    truth, prediction = truth[y0:y1, x0:x1], prediction[y0:y1, x0:x1]
    missed, n_missed = _largest_piece(truth & ~prediction)
    surplus, n_surplus = _largest_piece(prediction & ~truth)
    positive = n_missed >= n_surplus
    point = interior_point(missed if positive else surplus)
    assert point is not None
    return (point[0] + y0, point[1] + x0), positive


def _largest_piece(mask: np.ndarray) -> tuple[np.ndarray, int]:
    pieces, count = components(mask)
    if count == 0:
        return mask, 0
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    best = int(np.argmax(sizes))
    return pieces == best, int(sizes[best])
