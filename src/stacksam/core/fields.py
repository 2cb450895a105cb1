"""Fields: the square piece of a slice that the image encoder looks at.

A field is a rectangle in the slice's pixel coordinates, square in millimetres, resampled to the
model's input. Fields are snapped to a pyramid (sizes in steps of the square root of two, positions
in eighths of a size), so that neighbouring objects, slices and re-runs share embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from stacksam.core.masks import box_of

SMALLEST_FIELD = 24
"""Side in pixels below which a field only enlarges noise."""

SIZE_STEP = math.sqrt(2.0)
POSITIONS_PER_SIZE = 8
TARGET_FILL = 0.45
"""Share of the field's side that the object's longer side should take."""

LOGIT_OUTSIDE = -12.0
"""Logit of what lies outside every field: surely background."""


@dataclass(frozen=True)
class Field:
    """A rectangle of a slice, in pixel edges: the first pixel covers [0, 1).

    Parameters
    ----------
    y, x : float
        Upper left edge; may be negative where the field is larger than the slice.
    height, width : float
        Extent in pixels; equal unless the pixels are not square.
    """

    y: float
    x: float
    height: float
    width: float

    def to_field(self, points_yx: np.ndarray, size: int) -> np.ndarray:
        """Map slice coordinates (pixel centres are integers) to those of a (size, size) grid."""
        points = np.asarray(points_yx, dtype=np.float64)
        scale = np.array([size / self.height, size / self.width])
        return (points + 0.5 - np.array([self.y, self.x])) * scale - 0.5

    def from_field(self, points_yx: np.ndarray, size: int) -> np.ndarray:
        """Inverse of `to_field`."""
        points = np.asarray(points_yx, dtype=np.float64)
        scale = np.array([self.height / size, self.width / size])
        return (points + 0.5) * scale + np.array([self.y, self.x]) - 0.5

    def paste(self, logits: np.ndarray, plane_shape: tuple[int, int]) -> np.ndarray:
        """Bring this field's logits back to the slice; see `paste_logits`."""
        pasted = np.full(plane_shape, LOGIT_OUTSIDE, np.float32)
        rows, columns = _pixels_under(self, plane_shape)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        part = Field(rows.start, columns.start, *shape)
        pasted[rows, columns] = _resample(logits, self, part, shape, fill=LOGIT_OUTSIDE)
        return pasted

    def visible(self, logits: np.ndarray) -> np.ndarray:
        """The upper left part of this field's logits that can lie in the slice."""
        return logits

    def contains(self, box: tuple[float, float, float, float]) -> bool:
        """Whether a half-open box lies in the field."""
        y0, x0, y1, x1 = box
        return (
            y0 >= self.y
            and x0 >= self.x
            and y1 <= self.y + self.height
            and x1 <= self.x + self.width
        )


def field_around(
    box: tuple[float, float, float, float],
    plane_shape: tuple[int, int],
    *,
    pixel_aspect: float = 1.0,
    fill: float = TARGET_FILL,
    snap: bool = True,
) -> Field:
    """Choose the field in which a box takes about the share `fill` of the side.

    Parameters
    ----------
    box : (y0, x0, y1, x1)
        Half-open, in pixels.
    plane_shape : (height, width)
        Of the slice in pixels. The field stays inside it where it fits, and is never larger than
        the slice's longer side.
    pixel_aspect : float
        Pixel height over pixel width in millimetres; 3.0 for a coronal plane of 3 x 1 mm.
    fill : float in (0, 1]
    snap : bool
        Snap size and position to the pyramid.

    Returns
    -------
    field : Field
    """
    y0, x0, y1, x1 = box
    # In units of the pixel width, the plane is (height * aspect, width).
    plane_side = max(plane_shape[0] * pixel_aspect, plane_shape[1])
    object_side = max((y1 - y0) * pixel_aspect, x1 - x0)
    side = _snapped_side(object_side / fill, plane_side, snap)
    height, width = side / pixel_aspect, side
    y = _snapped_start((y0 + y1) / 2, height, plane_shape[0], snap)
    x = _snapped_start((x0 + x1) / 2, width, plane_shape[1], snap)
    return Field(y, x, height, width)


def whole_slice(plane_shape: tuple[int, int], *, pixel_aspect: float = 1.0) -> Field:
    """The field that shows all of a slice."""
    box = (0.0, 0.0, float(plane_shape[0]), float(plane_shape[1]))
    return field_around(box, plane_shape, pixel_aspect=pixel_aspect, fill=1.0, snap=False)


def _snapped_side(side: float, plane_side: float, snap: bool) -> float:
    side = max(side, float(SMALLEST_FIELD))
    if snap:
        steps = round(math.log(side / SMALLEST_FIELD, SIZE_STEP))
        side = SMALLEST_FIELD * SIZE_STEP**steps
    return min(side, max(plane_side, float(SMALLEST_FIELD)))


def _snapped_start(center: float, extent: float, plane_extent: float, snap: bool) -> float:
    if extent >= plane_extent:
        return (plane_extent - extent) / 2
    start = center - extent / 2
    if snap:
        step = extent / POSITIONS_PER_SIZE
        start = round(start / step) * step
    return min(max(start, 0.0), plane_extent - extent)


def crop_image(
    image: np.ndarray,
    field: Field,
    size: int,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Resample a field of an image to (size, size), averaging where it shrinks.

    Parameters
    ----------
    image : ndarray of shape (Y, X), or of any shape that `prepare` turns into it
    field : Field
    size : int
    prepare : callable, optional
        Applied to the pixels under the field before they are resampled, such as a window.

    Returns
    -------
    crop : ndarray of shape (size, size), float32
        Zero outside the image.
    """
    # Only the rows and columns under the field are touched: slices may be huge.
    rows, columns = _pixels_under(field, image.shape)
    part = image[rows, columns]
    part = np.asarray(part if prepare is None else prepare(part), dtype=np.float32)
    inner = Field(field.y - rows.start, field.x - columns.start, field.height, field.width)
    return _resample(part, _slice_field(part.shape), inner, (size, size), fill=0.0)


def crop_labels(labels: np.ndarray, field: Field, size: int) -> np.ndarray:
    """Nearest-neighbour counterpart of `crop_image`; zero outside.

    Parameters
    ----------
    labels : ndarray of shape (Y, X), integer or bool

    Returns
    -------
    crop : ndarray of shape (size, size), same dtype
    """
    centers = (np.arange(size) + 0.5) / size
    rows = np.floor(field.y + centers * field.height).astype(int)
    columns = np.floor(field.x + centers * field.width).astype(int)
    inside = ((rows >= 0) & (rows < labels.shape[0]))[:, None] & (
        (columns >= 0) & (columns < labels.shape[1])
    )
    crop = labels[
        np.clip(rows, 0, labels.shape[0] - 1)[:, None], np.clip(columns, 0, labels.shape[1] - 1)
    ]
    return np.where(inside, crop, np.zeros((), labels.dtype))


def paste_logits(logits: np.ndarray, field: Field, plane_shape: tuple[int, int]) -> np.ndarray:
    """Bring a field's logits back to the slice.

    Parameters
    ----------
    logits : ndarray of shape (h, w), float
    field : Field
    plane_shape : (height, width)

    Returns
    -------
    pasted : ndarray of shape `plane_shape`, float32
        `LOGIT_OUTSIDE` outside the field.
    """
    return field.paste(logits, plane_shape)


def move_logits(logits: np.ndarray, source: Field, target: Field) -> np.ndarray:
    """Resample logits from one field's grid to another's; `LOGIT_OUTSIDE` where unknown.

    Parameters
    ----------
    logits : ndarray of shape (h, w), float
    source, target : Field

    Returns
    -------
    moved : ndarray of shape (h, w), float32
    """
    if source == target:
        return logits.astype(np.float32, copy=False)
    return _resample(logits, source, target, logits.shape, fill=LOGIT_OUTSIDE)


def logits_box(logits: np.ndarray, field: Field) -> tuple[float, float, float, float] | None:
    """Half-open box in the slice of where a field's logits (h, w) are positive, None if nowhere."""
    box = box_of(field.visible(logits) > 0)
    if box is None:
        return None
    step_y, step_x = field.height / logits.shape[0], field.width / logits.shape[1]
    y0, x0, y1, x1 = box
    return (
        field.y + y0 * step_y,
        field.x + x0 * step_x,
        field.y + y1 * step_y,
        field.x + x1 * step_x,
    )


def _pixels_under(field: Field, plane_shape: tuple[int, ...]) -> tuple[slice, slice]:
    y0, x0 = max(0, math.floor(field.y)), max(0, math.floor(field.x))
    y1 = min(plane_shape[0], math.ceil(field.y + field.height - 1e-6))
    x1 = min(plane_shape[1], math.ceil(field.x + field.width - 1e-6))
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def _slice_field(shape: tuple[int, ...]) -> Field:
    return Field(0.0, 0.0, float(shape[0]), float(shape[1]))


def _resample(
    values: np.ndarray, source: Field, target: Field, shape: tuple[int, ...], *, fill: float
) -> np.ndarray:
    """Separable linear resampling from one rectangle's grid to another's."""
    rows = _weights(source.y, source.height, values.shape[0], target.y, target.height, shape[0])
    columns = _weights(source.x, source.width, values.shape[1], target.x, target.width, shape[1])
    shifted = values.astype(np.float32) - np.float32(fill) if fill else values.astype(np.float32)
    return np.ascontiguousarray((columns @ (rows @ shifted).T).T) + np.float32(fill)


@lru_cache(maxsize=512)
def _weights(
    source_start: float,
    source_extent: float,
    source_count: int,
    target_start: float,
    target_extent: float,
    target_count: int,
) -> sparse.csr_array:
    """Triangle-filter weights (target_count, source_count) that average when shrinking."""
    source_step, target_step = source_extent / source_count, target_extent / target_count
    centers = (
        target_start + (np.arange(target_count) + 0.5) * target_step - source_start
    ) / source_step
    support = max(1.0, target_step / source_step)
    taps = np.arange(math.ceil(2 * support) + 1)
    first = np.ceil(centers - 0.5 - support).astype(int)
    columns = first[:, None] + taps
    weights = np.maximum(0.0, 1.0 - np.abs(columns + 0.5 - centers[:, None]) / support)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[(centers < 0) | (centers > source_count)] = 0.0  # outside: the fill value
    rows = np.broadcast_to(np.arange(target_count)[:, None], columns.shape)
    columns = np.clip(columns, 0, source_count - 1)  # edges repeat
    entries = (weights.astype(np.float32).ravel(), (rows.ravel(), columns.ravel()))
    return sparse.coo_array(entries, shape=(target_count, source_count)).tocsr()
