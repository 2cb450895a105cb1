"""What one gets without a trained model: random walkers, Otsu's threshold, flood fill.

All see the slice as the model does: grey, in the same window, 0 to 1. Their parameters were chosen
on training and validation files and are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import flood, random_walker
from skimage.transform import resize

from stacksam.core.masks import Box, box_of, component_at, fill_holes

MAX_CROP = 256
_CLICK_CROP = 128
_SMOOTH = 0.5  # pixels; more blurs small objects away
BETA = 1000.0
_MARGIN = 0.15  # of the side of the box, at least _MIN_MARGIN pixels
_MIN_MARGIN = 4
_CORE = 0.75  # of the box is taken to be inside; chosen with BETA on the training files
_LOCAL = 48  # half side of the window for a local threshold
_REACH = 96  # pixels around the clicks that a random walker from clicks sees
_DOT = 2  # radius of a click's seed in pixels
FLOOD_TOLERANCE = 0.15  # of the window's range

Click = tuple[tuple[float, float], bool]
"""Where (y, x), and whether it belongs to the object."""


def random_walker_from_box(
    image: np.ndarray, yxyx: tuple[float, float, float, float], beta: float = BETA
) -> np.ndarray:
    """Segment the object in a box by a random walk (Grady, IEEE PAMI 28(11), 2006).

    What lies outside of the box is background, an ellipse in its middle foreground. The work is
    done on a crop around the box, reduced to at most `MAX_CROP` pixels a side.

    Parameters
    ----------
    image : ndarray of shape (H, W), float in [0, 1]
    yxyx : tuple of float
        Half-open box inside the image.
    beta : float
        How much an intensity step holds the walker up.

    Returns
    -------
    mask : ndarray of shape (H, W), bool
    """
    window, inside = crop_around(yxyx, image.shape, _MARGIN)
    seeds = np.where(inside, 0, 1).astype(np.int32)
    seeds[_ellipse(inside.shape, _bounds(inside), _CORE)] = 2
    out = np.zeros(image.shape, dtype=bool)
    out[window] = _walk(image[window], seeds, beta) & inside
    return out


def random_walker_from_clicks(
    image: np.ndarray, clicks: Sequence[Click], beta: float = BETA
) -> np.ndarray:
    """Segment an object from clicks on it and beside it by a random walk.

    Small discs at the clicks are the seeds, and the frame of the area that is looked at, `_REACH`
    pixels around the clicks, is background.

    Parameters
    ----------
    image : ndarray of shape (H, W), float in [0, 1]
    clicks : sequence of ((y, x), is_positive)
        At least one of them positive.
    beta : float

    Returns
    -------
    mask : ndarray of shape (H, W), bool
        The pieces that hold a positive click.
    """
    places = np.array([yx for yx, _ in clicks])
    low, high = places.min(axis=0) - _REACH, places.max(axis=0) + _REACH
    y0, x0, y1, x1 = _whole_box((*low, *high), image.shape)
    window = (slice(y0, y1), slice(x0, x1))
    seeds = np.ones((y1 - y0, x1 - x0), dtype=np.int32)
    frame = -(-max(seeds.shape) // _CLICK_CROP)  # seeds so thick that reducing leaves some of them
    seeds[frame:-frame, frame:-frame] = 0
    for (y, x), positive in clicks:  # later clicks win
        seeds[_disc(seeds.shape, (y - y0, x - x0), max(_DOT, frame))] = 2 if positive else 1
    found = _walk(image[window], seeds, beta, _CLICK_CROP)
    out = np.zeros(image.shape, dtype=bool)
    for (y, x), positive in clicks:
        if positive:
            out[window] |= component_at(found, (y - y0, x - x0))
    return out


def flood_fill(
    image: np.ndarray, yx: tuple[float, float], tolerance: float = FLOOD_TOLERANCE
) -> np.ndarray:
    """What is connected to a click at a similar intensity, holes filled.

    Parameters
    ----------
    image : ndarray of shape (H, W), float in [0, 1]
    yx : tuple of float
        Inside the image.
    tolerance : float
        Largest difference from the intensity under the click.

    Returns
    -------
    mask : ndarray of shape (H, W), bool
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=np.float32), 1.0)
    return fill_holes(flood(smooth, _pixel(yx, image.shape), tolerance=tolerance))


def combine_regions(regions: Sequence[np.ndarray], clicks: Sequence[Click]) -> np.ndarray:
    """One mask from the regions of several clicks, at least one.

    A pixel belongs to the object if, of the clicks in whose regions it lies, the nearest one is
    positive; of equally near ones the latest counts.

    Parameters
    ----------
    regions : sequence of ndarray of shape (H, W), bool
    clicks : sequence of ((y, x), is_positive)
        As many.

    Returns
    -------
    mask : ndarray of shape (H, W), bool
    """
    shape = regions[0].shape
    y, x = np.ogrid[: shape[0], : shape[1]]
    nearest = np.full(shape, np.inf)
    mask = np.zeros(shape, dtype=bool)
    for region, ((row, column), positive) in zip(regions, clicks, strict=True):
        distance = (y - row) ** 2 + (x - column) ** 2
        wins = region & (distance <= nearest)
        nearest[wins], mask[wins] = distance[wins], positive
    return mask


def random_walker_through(
    images: dict[int, np.ndarray], start: int, mask: np.ndarray, beta: float = BETA
) -> Iterator[tuple[int, np.ndarray]]:
    """Hand a mask from slice to slice by random walks, in both directions.

    On each next slice the eroded last mask is foreground and what is outside of its dilation is
    background. A direction ends where the object's median is nearer to that of its surroundings on
    the first slice, where the area falls below a tenth of the first one, or at the end of `images`.

    Yields
    ------
    index, mask : int, ndarray of shape (H, W), bool
        Without the slice `start`.
    """
    reach = max(2, round(0.08 * np.sqrt(np.count_nonzero(mask))))
    ring = ndimage.binary_dilation(mask, iterations=2 * reach) & ~mask
    if not ring.any():
        return
    inner, outer = (float(np.median(images[start][m])) for m in (mask, ring))
    for step in (1, -1):
        index, last = start + step, mask
        while index in images and last.any():
            found = _walk_on(images[index], last, reach, beta)
            area = np.count_nonzero(found)
            if area < 0.1 * np.count_nonzero(mask):
                break
            level = float(np.median(images[index][found]))
            if abs(level - outer) < abs(level - inner):
                break
            yield index, found
            index, last = index + step, found


def _walk_on(image: np.ndarray, last: np.ndarray, reach: int, beta: float) -> np.ndarray:
    box = box_of(last)
    assert box is not None
    y0, x0, y1, x1 = box
    window = (
        slice(max(y0 - 2 * reach, 0), y1 + 2 * reach),
        slice(max(x0 - 2 * reach, 0), x1 + 2 * reach),
    )
    near = last[window]
    core = ndimage.binary_erosion(near, iterations=reach)
    if not core.any():
        distance = ndimage.distance_transform_edt(near)
        core = distance >= distance.max()
    seeds = np.where(ndimage.binary_dilation(near, iterations=reach), 0, 1).astype(np.int32)
    seeds[core] = 2
    out = np.zeros(image.shape, dtype=bool)
    out[window] = _walk(image[window], seeds, beta)
    return out


def _walk(
    image: np.ndarray, seeds: np.ndarray, beta: float, max_side: int = MAX_CROP
) -> np.ndarray:
    """Solve for foreground (2) against background (1) on a grid of bounded size."""
    shape = image.shape
    shrink = max(1.0, max(shape) / max_side)
    small = (max(3, round(shape[0] / shrink)), max(3, round(shape[1] / shrink)))
    if small != shape:
        image = resize(image, small, order=1, anti_aliasing=shrink > 1, preserve_range=True)
        rows = np.minimum((np.arange(small[0]) + 0.5) * shape[0] / small[0], shape[0] - 1)
        columns = np.minimum((np.arange(small[1]) + 0.5) * shape[1] / small[1], shape[1] - 1)
        seeds = seeds[np.ix_(rows.astype(int), columns.astype(int))]
    if not (seeds == 1).any() or not (seeds == 0).any() or not (seeds == 2).any():
        return resized(seeds != 1, shape)
    image = ndimage.gaussian_filter(np.asarray(image, dtype=np.float64), _SMOOTH)
    if np.ptp(image) < 1e-6:
        return resized(seeds != 1, shape)
    probability = random_walker(
        image, seeds, beta=beta, mode="cg_j", tol=1e-4, prob_tol=np.inf, return_full_prob=True
    )[1]
    return resized(probability, shape)


def resized(probability: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bring a mask or a probability to another grid and cut it at one half."""
    if probability.shape == shape:
        return probability > 0.5
    large = resize(probability.astype(float), shape, order=1, anti_aliasing=False)
    return large > 0.5


def otsu_component(image: np.ndarray, yx: tuple[float, float]) -> np.ndarray:
    """The connected region on the click's side of Otsu's threshold, holes filled.

    The threshold is the image's; where that gives more than a quarter of the image, or the image
    has one value only, it is that of a window of 96 pixels around the click.

    Parameters
    ----------
    image : ndarray of shape (H, W), float
    yx : tuple of float
        Inside the image.

    Returns
    -------
    mask : ndarray of shape (H, W), bool
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=np.float32), 1.0)
    mask = _side_of_click(smooth, yx)
    if 0 < np.count_nonzero(mask) <= mask.size / 4:
        return mask
    top, left = (max(int(v) - _LOCAL, 0) for v in yx)
    window = (slice(top, int(yx[0]) + _LOCAL), slice(left, int(yx[1]) + _LOCAL))
    out = np.zeros(image.shape, dtype=bool)
    out[window] = _side_of_click(smooth[window], (yx[0] - top, yx[1] - left))
    return out


def _side_of_click(image: np.ndarray, yx: tuple[float, float]) -> np.ndarray:
    if np.ptp(image) < 1e-6:
        return np.zeros(image.shape, dtype=bool)
    is_bright = image > threshold_otsu(image)
    return fill_holes(component_at(is_bright == is_bright[_pixel(yx, image.shape)], yx))


def _pixel(yx: tuple[float, float], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(int(np.floor(v + 0.5)), n - 1) for v, n in zip(yx, shape, strict=True))


def crop_around(
    yxyx: tuple[float, float, float, float], shape: tuple[int, ...], margin: float
) -> tuple[tuple[slice, slice], np.ndarray]:
    """A box with some of its surroundings.

    Returns
    -------
    window : (slice, slice)
        The box and `margin` of its sides, at least 4 pixels, on each side, inside the image.
    inside : ndarray of shape (h, w), bool
        The box in the window.
    """
    y0, x0, y1, x1 = _whole_box(yxyx, shape)
    margin_y = max(_MIN_MARGIN, round(margin * (y1 - y0)))
    margin_x = max(_MIN_MARGIN, round(margin * (x1 - x0)))
    top, left = max(y0 - margin_y, 0), max(x0 - margin_x, 0)
    bottom, right = min(y1 + margin_y, shape[0]), min(x1 + margin_x, shape[1])
    inside = np.zeros((bottom - top, right - left), dtype=bool)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = True
    return (slice(top, bottom), slice(left, right)), inside


def _bounds(inside: np.ndarray) -> Box:
    box = box_of(inside)
    assert box is not None
    return box


def _disc(shape: tuple[int, ...], yx: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - yx[0]) ** 2 + (x - yx[1]) ** 2 <= radius**2


def _whole_box(yxyx: tuple[float, float, float, float], shape: tuple[int, ...]) -> Box:
    y0, x0 = (max(int(np.floor(v)), 0) for v in yxyx[:2])
    y1, x1 = (min(int(np.ceil(v)), n) for v, n in zip(yxyx[2:], shape, strict=True))
    return (y0, x0, y1, x1)


def _ellipse(shape: tuple[int, ...], box: Box, part: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    y0, x0, y1, x1 = box
    radius_y, radius_x = max((y1 - y0) * part / 2, 0.75), max((x1 - x0) * part / 2, 0.75)
    off_y, off_x = (y - (y0 + y1 - 1) / 2) / radius_y, (x - (x0 + x1 - 1) / 2) / radius_x
    return off_y**2 + off_x**2 <= 1.0
