"""Objects in their stacks: three planes with truth and result, confidence and error by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from stacksam.evaluation.drawing import TEXT, below, beside, font, page, text_line
from stacksam.evaluation.report_pictures import RESULT_COLOUR, TRUTH_COLOUR

if TYPE_CHECKING:
    from stacksam.evaluation.report import Report
    from stacksam.evaluation.views import Plane, StackView

PER_ROW = 2
UNSURE_COLOUR, SURE_COLOUR, ERROR_COLOUR = (240, 120, 20), (40, 90, 200), (150, 30, 110)
_SIDE = 220  # px, the longest side of a plane
_STRIP = 560  # px, for the slices
_BAR = 56
_NOTHING = (235, 235, 235)
_GREY = (120, 120, 120)
_SMALL, _LARGE = 12, 20


def stack_picture(report: Report) -> Image.Image:
    """Draw the best, the median and the worst objects of a report with stack views.

    In each row objects of different data sets, as far as there are some. Of each three planes in
    true proportions, the truth's outline in green and the result's in red over it; below, slice by
    slice, the confidence as a strip of colours and the error, 1 - IoU, as bars.

    Returns
    -------
    picture : PIL.Image.Image, RGB
    """
    parts = [_legend()]
    ordered = sorted(report.stack_views, key=lambda v: (v.value, v.title))
    middle = sorted(ordered, key=lambda v: abs(ordered.index(v) - len(ordered) // 2))
    for name, views in {"best": ordered[::-1], "median": middle, "worst": ordered}.items():
        chosen: dict[str, StackView] = {}
        for view in views:
            chosen.setdefault(view.dataset, view)
        panels = [draw_stack_view(view) for view in list(chosen.values())[:PER_ROW]]
        parts += [text_line(name, _LARGE), beside(panels)]
    return page(parts)


def draw_stack_view(view: StackView) -> Image.Image:
    """One object: a title, three planes beside each other, confidence above error by slice."""
    longest = max(max(_size_mm(plane)) for plane in view.planes)
    planes = [draw_plane(plane, _SIDE / longest) for plane in view.planes]
    return below([text_line(view.title, TEXT), beside(planes), _strips(view)], gap=6)


def _size_mm(plane: Plane) -> tuple[float, float]:
    (height, width), (row, column) = plane.image.shape, plane.pixel_mm
    return height * row, width * column


def draw_plane(plane: Plane, scale: float) -> Image.Image:
    """A plane with both outlines, the result's over the truth's; `scale` is in pixels per mm."""
    height, width = (max(1, round(mm * scale)) for mm in _size_mm(plane))
    enlarged = Image.fromarray(plane.image).convert("RGB")
    pixels = np.array(enlarged.resize((width, height), Image.Resampling.BICUBIC))
    for mask, colour in ((plane.truth, TRUTH_COLOUR), (plane.result, RESULT_COLOUR)):
        grown = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        pixels[grown & ~ndimage.binary_erosion(grown)] = colour
    return Image.fromarray(pixels)


def _strips(view: StackView) -> Image.Image:
    """A column for each slice: its confidence as a colour, its error as a bar."""
    first, stop = view.extent
    left, height = 96, 18
    strips = Image.new("RGB", (left + _STRIP + 4, height + _BAR + 26), "white")
    draw = ImageDraw.Draw(strips)
    top, base = height + 6, height + 6 + _BAR

    def column(index: int) -> tuple[int, int]:
        start, end = (
            left + round((i - first) * _STRIP / (stop - first)) for i in (index, index + 1)
        )
        return start, max(start, end - (2 if end - start >= 6 else 1))

    draw.rectangle((left, 0, left + _STRIP, height), fill=_NOTHING)
    draw.line((left, base, left + _STRIP, base), fill=_GREY)
    for score in view.slices:
        x0, x1 = column(score.index)
        draw.rectangle((x0, 0, x1, height), fill=colour_of_confidence(score.confidence))
        if score.iou < 1:
            draw.rectangle((x0, base - _BAR * (1 - score.iou), x1, base), fill=ERROR_COLOUR)
    for text, y in (("confidence", 2), ("error, 1 - IoU", top + _BAR // 2 - 7)):
        draw.text((0, y), text, fill="black", font=font(_SMALL))
    for index in sorted({first, view.index, stop - 1}):
        name = f"{index} prompted" if index == view.index else f"{index}"
        place = min(column(index)[0], left + _STRIP - font(_SMALL).getlength(name))
        if index == view.index or abs(column(index)[0] - column(view.index)[0]) > 90:
            draw.text((place, base + 4), name, fill=_GREY, font=font(_SMALL))
    return strips


def colour_of_confidence(confidence: float) -> tuple[int, int, int]:
    """From `UNSURE_COLOUR` at 0 to `SURE_COLOUR` at 1; both are told apart by the colour-blind."""
    part = min(max(confidence, 0.0), 1.0)
    red, green, blue = (
        round((1 - part) * low + part * high)
        for low, high in zip(UNSURE_COLOUR, SURE_COLOUR, strict=True)
    )
    return red, green, blue


def _legend() -> Image.Image:
    entries = {
        "truth's outline": TRUTH_COLOUR,
        "result's outline": RESULT_COLOUR,
        "confidence 0": UNSURE_COLOUR,
        "confidence 1": SURE_COLOUR,
        "error": ERROR_COLOUR,
    }
    pieces = []
    for text, colour in entries.items():
        pieces += [Image.new("RGB", (TEXT, TEXT), colour), text_line(text, TEXT)]
    return beside(pieces)
