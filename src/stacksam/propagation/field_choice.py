"""Which field to look at: for a click, whose object may be of any size, and after corrections."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np

from stacksam.core.fields import Field, field_around, logits_box, move_logits
from stacksam.core.masks import box_of, component_at, edge_distance

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Cells = tuple[int, int, int, int]

CLICK_SIDE = 32.0
"""A click's middle field is the geometric mean of this many pixels and the slice's longer side."""

CLICK_SCALES = (0.35, 1.0, 2.8)
"""Fields tried for a first click, relative to the middle one: at most 3 encodings."""

IMPLAUSIBLE = 0.7
"""Factor on the score of a mask that is cut by its field's border, or tiny in it."""

TINY_FILL = 0.12

CERTAINTY = 6.0
"""Power of a candidate's score in its weight; chosen on train and val."""

CENTRED = 0.3
"""Power of a click's centrality, as people click in the middle of what they mean; chosen so too."""

OFF_CENTRE = 0.05
"""What a mask counts for, before that power, that no click is on."""


def click_fields(clicks: list[Point], plane_shape: tuple[int, int], aspect: float) -> list[Field]:
    """Fields from close to far in which clicked objects of any size are seen well in one.

    Parameters
    ----------
    clicks : list of (y, x)
        Positive points; the fields are centred on the first, and hold all of them.
    plane_shape : (height, width)
    aspect : float
        Pixel height over width in mm.

    Returns
    -------
    fields : list of Field, without repetitions
    """
    middle = math.sqrt(CLICK_SIDE * max(plane_shape[0] * aspect, plane_shape[1]))
    fields = []
    for scale in CLICK_SCALES:
        box = square_around(clicks[0], scale * middle, aspect)
        if len(clicks) > 1:  # a stroke has to lie in the field
            box = union(box, grown(union(*map(pixel_box, clicks)), 0.2))
        # Snapping may shrink a field by a sixth and shift it by a sixteenth.
        fill = 1.0 if len(clicks) == 1 else 0.7
        fields.append(field_around(box, plane_shape, pixel_aspect=aspect, fill=fill))
    return list(dict.fromkeys(fields))


def plausibility(box: Cells | None, size: int) -> float:
    """Factor in (0, 1] on the score of a mask, from the box of its `clicked_part`: low if no click
    is on it, or if its scale is off.
    """
    if box is None:
        return IMPLAUSIBLE**3
    is_cut = box[0] == 0 or box[1] == 0 or box[2] == size or box[3] == size
    return IMPLAUSIBLE ** (int(is_cut) + int(_is_tiny(box, size)))


def clicked_part(logits: np.ndarray, spots: list[Point]) -> np.ndarray:
    """The parts of a mask (h, w) that spots (y, x), in its cells, are on, bool."""
    return np.logical_or.reduce([component_at(logits > 0, spot) for spot in spots])


def centrality(part: np.ndarray, spots: list[Point]) -> float:
    """Distance of the most central click to the part's edge, relative to the innermost cell's.

    Clicks are taken to be a cell off at worst.

    Parameters
    ----------
    part : ndarray of shape (h, w), bool
        Of `clicked_part`.
    spots : list of (y, x)
        Clicks in its cells.

    Returns
    -------
    centrality : float in [0, 1]
        0 where the part is empty.
    """
    distance, (y0, x0) = edge_distance(part)
    if not distance.size:
        return 0.0
    nearest = 0.0
    for y, x in spots:
        row, column = round(y) - y0, round(x) - x0
        rows, columns = (slice(max(k - 1, 0), max(k + 2, 0)) for k in (row, column))
        around = distance[rows, columns]
        nearest = max(nearest, float(around.max(initial=0)))
    return nearest / float(distance.max())


def _is_tiny(box: Cells | None, size: int) -> bool:
    """Whether a mask is so small in its field that a closer look would draw it better."""
    return box is not None and max(box[2] - box[0], box[3] - box[1]) < TINY_FILL * size


def expected_overlaps(
    looks: list[tuple[np.ndarray, Field, np.ndarray]], clicks: list[Point]
) -> list[np.ndarray]:
    """How well each candidate would do if any of them were meant, by their scores.

    The score of a mask tells little about masks in other fields; a mask that agrees with most of
    what all fields propose is the better guess (minimum Bayes risk), more so if a click is in the
    middle of it.

    Parameters
    ----------
    looks : list of (logits, field, scores)
        Of shapes (M, h, w) and (M,), of one slice.
    clicks : list of (y, x)

    Returns
    -------
    overlaps : list of ndarray of shape (M,)
        Expected IoU, lowered where a click is off the middle, in [0, 1].
    """
    size = looks[0][0].shape[-1]
    spots = [
        [(float(y), float(x)) for y, x in field.to_field(np.array(clicks), size)]
        for _, field, _ in looks
    ]
    parts = [
        [clicked_part(x, there) for x in logits]
        for (logits, _, _), there in zip(looks, spots, strict=True)
    ]
    boxes = [[box_of(part) for part in found] for found in parts]
    weights = [
        np.maximum(scores, 1e-3) ** CERTAINTY * [plausibility(box, size) for box in found]
        for (_, _, scores), found in zip(looks, boxes, strict=True)
    ]
    expected = [np.zeros(len(logits)) for logits, _, _ in looks]
    for one, other in combinations_with_replacement(range(len(looks)), 2):
        overlaps = _overlaps(*looks[one][:2], *looks[other][:2])
        expected[one] += overlaps @ weights[other]
        if one != other:
            expected[other] += weights[one] @ overlaps
    total = sum(float(w.sum()) for w in weights)
    for overlap, found, kept, there in zip(expected, boxes, parts, spots, strict=True):
        overlap *= np.where([_is_tiny(box, size) for box in found], IMPLAUSIBLE, 1.0) / total
        central = np.array([centrality(part, there) for part in kept])
        overlap *= (OFF_CENTRE + (1 - OFF_CENTRE) * central) ** CENTRED
    return expected


def _overlaps(
    logits: np.ndarray, field: Field, others: np.ndarray, other_field: Field
) -> np.ndarray:
    """IoU of each of M masks with each of N, (M, N), in the wider of their fields."""
    if other_field.width > field.width:
        logits, field = np.stack([move_logits(x, field, other_field) for x in logits]), other_field
    elif other_field != field:
        others = np.stack([move_logits(x, other_field, field) for x in others])
    first, second = ((x.reshape(len(x), -1) > 0).astype(np.float32) for x in (logits, others))
    common = first @ second.T
    union = first.sum(1)[:, None] + second.sum(1)[None] - common
    return common / np.maximum(union, 1)


def corrected_field(
    logits: np.ndarray | None,
    field: Field,
    points: tuple[Point, ...],
    plane_shape: tuple[int, int],
    aspect: float,
) -> Field:
    """The same field if it holds all points, otherwise one around them and the mask."""
    height, width = plane_shape
    wanted = [
        (max(y0, 0.0), max(x0, 0.0), min(y1, height), min(x1, width))
        for y0, x0, y1, x1 in map(pixel_box, points)
    ]
    if all(map(field.contains, wanted)):
        return field
    found = None if logits is None else logits_box(logits, field)
    if found is not None:
        wanted.append(found)
    return field_around(union(*wanted), plane_shape, pixel_aspect=aspect)


def pixel_box(yx: Point) -> Box:
    """The half-open box of the pixel at a point."""
    y, x = yx
    return (y, x, y + 1.0, x + 1.0)


def square_around(center: Point, width: float, aspect: float) -> Box:
    """A box around a point, `width` wide and as high in millimetres."""
    (y, x), height = center, width / aspect
    return (y + 0.5 - height / 2, x + 0.5 - width / 2, y + 0.5 + height / 2, x + 0.5 + width / 2)


def grown(box: Box, share: float) -> Box:
    """A box made larger on each side by a share of its extent."""
    y0, x0, y1, x1 = box
    dy, dx = share * (y1 - y0), share * (x1 - x0)
    return (y0 - dy, x0 - dx, y1 + dy, x1 + dx)


def union(*boxes: Box) -> Box:
    """The smallest box that holds all."""
    starts_y, starts_x, ends_y, ends_x = zip(*boxes, strict=True)
    return (min(starts_y), min(starts_x), max(ends_y), max(ends_x))


def box_to_field(box: Box, field: Field, size: int) -> Box:
    """A half-open box in a field's (size, size) grid; pixel edges, not centres, are mapped."""
    y0, x0, y1, x1 = box
    sy, sx = size / field.height, size / field.width
    return ((y0 - field.y) * sy, (x0 - field.x) * sx, (y1 - field.y) * sy, (x1 - field.x) * sx)
