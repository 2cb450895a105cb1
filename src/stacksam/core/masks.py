"""Small operations on bool masks of one slice: boxes, pieces, holes, inner points."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

Box = tuple[int, int, int, int]

_CROSS = ndimage.generate_binary_structure(2, 1)
_FULL = ndimage.generate_binary_structure(2, 2)


def box_of(mask: np.ndarray) -> Box | None:
    """Half-open box ``(y0, x0, y1, x1)`` of the True pixels of a (H, W) mask, None where empty.

    Examples
    --------
    >>> box_of(np.array([[0, 0, 0], [0, 1, 1]], dtype=bool))
    (1, 1, 2, 3)
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y0:y1].any(axis=0))
    return (y0, int(columns[0]), y1, int(columns[-1]) + 1)


def as_slices(box: Box) -> tuple[slice, slice]:
    """The rows and columns of a half-open box, to index a (H, W) array with."""
    y0, x0, y1, x1 = box
    return slice(y0, y1), slice(x0, x1)


def common_box(first: Box | None, second: Box | None) -> Box | None:
    """What two half-open boxes have in common, None where that is nothing.

    Examples
    --------
    >>> common_box((0, 0, 4, 4), (2, 3, 9, 9)), common_box((0, 0, 2, 2), (2, 2, 4, 4))
    ((2, 3, 4, 4), None)
    """
    if first is None or second is None:
        return None
    y0, x0 = max(first[0], second[0]), max(first[1], second[1])
    y1, x1 = min(first[2], second[2]), min(first[3], second[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def window_of(pixels: np.ndarray, box: Box | None, window: Box) -> np.ndarray:
    """The part of a slice in a window, of which only the pixels in a box are known; 0 elsewhere.

    Parameters
    ----------
    pixels : ndarray of the box's height and width
    box, window : half-open boxes

    Returns
    -------
    part : ndarray of the window's height and width, same dtype
    """
    part = np.zeros((window[2] - window[0], window[3] - window[1]), pixels.dtype)
    common = common_box(box, window)
    if box is not None and common is not None:
        part[_within(common, window)] = pixels[_within(common, box)]
    return part


def _within(inner: Box, outer: Box) -> tuple[slice, slice]:
    """A box's rows and columns, counted from where another one begins."""
    (y0, x0, y1, x1), (top, left, _, _) = inner, outer
    return slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)


def components(mask: np.ndarray, *, diagonal: bool = True) -> tuple[np.ndarray, int]:
    """Number the connected pieces of a (H, W) mask from 1 in scan order.

    Returns
    -------
    pieces : ndarray of shape (H, W), int32
        0 = background.
    count : int
    """
    pieces, count = ndimage.label(mask, structure=_FULL if diagonal else _CROSS)
    return pieces, int(count)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a (H, W) mask (the first in scan order among equals)."""
    box = box_of(mask)
    if box is None:
        return np.zeros(mask.shape, dtype=bool)
    y0, x0, y1, x1 = box
    out = np.zeros(mask.shape, dtype=bool)
    out[y0:y1, x0:x1] = _largest(mask[y0:y1, x0:x1])
    return out


def _largest(mask: np.ndarray) -> np.ndarray:
    pieces, count = components(mask)
    if count <= 1:
        return np.asarray(mask, dtype=bool)
    sizes = np.bincount(pieces.ravel())
    return pieces == 1 + int(np.argmax(sizes[1:]))


def component_at(mask: np.ndarray, yx: tuple[float, float]) -> np.ndarray:
    """The connected piece under a point, all-False where the point is not on the mask."""
    y, x = (int(np.floor(v + 0.5)) for v in yx)
    inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
    if not inside or not mask[y, x]:
        return np.zeros(mask.shape, dtype=bool)
    pieces, _ = components(mask)
    return pieces == pieces[y, x]


def fill_holes(mask: np.ndarray, max_px: int | None = None) -> np.ndarray:
    """Fill enclosed background; with `max_px` only holes of at most that many pixels."""
    filled = ndimage.binary_fill_holes(mask)
    if max_px is None:
        return filled
    return mask | (filled & ~mask & ~drop_small(filled & ~mask, max_px + 1, diagonal=False))


def drop_small(mask: np.ndarray, min_px: int, *, diagonal: bool = True) -> np.ndarray:
    """Drop connected pieces of fewer than `min_px` pixels."""
    pieces, _ = components(mask, diagonal=diagonal)
    is_kept = np.bincount(pieces.ravel()) >= min_px
    is_kept[0] = False
    return is_kept[pieces]


def edge_distance(mask: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Distance of each pixel to the mask's edge in pixels, on the mask's box only.

    The image border counts as an edge. Being cut to the box this costs what the object is large,
    not what the image is.

    Returns
    -------
    distance : ndarray, float64
        0 outside of the mask; shape of the mask's box, (0, 0) where the mask is empty.
    offset_yx : tuple of int
        Where the box starts in the image.
    """
    box = box_of(mask)
    if box is None:
        return np.zeros((0, 0)), (0, 0)
    y0, x0, y1, x1 = box
    padded = np.zeros((y1 - y0 + 2, x1 - x0 + 2), dtype=bool)
    padded[1:-1, 1:-1] = mask[y0:y1, x0:x1]
    return ndimage.distance_transform_edt(padded)[1:-1, 1:-1], (y0, x0)


def interior_point(mask: np.ndarray) -> tuple[int, int] | None:
    """The pixel farthest from the mask's edge, None where the mask is empty.

    Among equals the one nearest to their common centre is taken, then the first in scan order, so
    the answer is the same everywhere and lies in the middle of a ridge.

    Examples
    --------
    >>> interior_point(np.ones((3, 7), dtype=bool))
    (1, 3)
    """
    distance, (y0, x0) = edge_distance(mask)
    if distance.size == 0:
        return None
    ridge = np.argwhere(distance >= distance.max() - 1e-9)
    from_centre = ((ridge - ridge.mean(axis=0)) ** 2).sum(axis=1)
    y, x = ridge[int(np.argmin(np.round(from_centre, 6)))]
    return (int(y) + y0, int(x) + x0)


def draw_scribble(
    points_yx: tuple[tuple[float, float], ...], width: float, shape: tuple[int, int]
) -> np.ndarray:
    """The pixels of a stroke: those whose centre is at most ``width / 2`` from its line.

    Returns
    -------
    mask : ndarray of `shape`, bool
    """
    points = np.asarray(points_yx, dtype=float).reshape(-1, 2)
    starts, ends = (points[:-1], points[1:]) if len(points) > 1 else (points, points)
    mask = np.zeros(shape, dtype=bool)
    reach = max(width / 2, 0.5)
    for start, end in zip(starts, ends, strict=True):
        low = np.maximum(np.floor(np.minimum(start, end) - reach).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(start, end) + reach).astype(int) + 1, shape)
        y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
        step = end - start
        length2 = float(step @ step)
        along = ((y - start[0]) * step[0] + (x - start[1]) * step[1]) / (length2 or 1.0)
        along = np.clip(along, 0.0, 1.0)
        off2 = (y - start[0] - along * step[0]) ** 2 + (x - start[1] - along * step[1]) ** 2
        mask[low[0] : high[0], low[1] : high[1]] |= off2 <= reach**2 + 1e-9
    return mask
