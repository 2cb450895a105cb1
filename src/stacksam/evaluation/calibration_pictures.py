"""Predicted against true IoU by bins: the reliability plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from stacksam.evaluation.drawing import COLOURS, below, beside, font, page, text_line

if TYPE_CHECKING:
    from stacksam.evaluation.calibration import Bin, Calibration

POINT_COLOUR = COLOURS[2]
_SIDE, _LEFT, _BELOW = 300, 44, 40
_GREY, _PALE = (120, 120, 120), (225, 225, 225)
_SMALL, _MEDIUM, _LARGE = 12, 14, 20


def reliability_picture(calibration: Calibration, title: str = "") -> Image.Image:
    """Draw mean true over mean predicted IoU of each bin: as predicted, and as calibrated.

    A point on the diagonal is right, one below it too confident.

    Parameters
    ----------
    calibration : Calibration
    title : str

    Returns
    -------
    picture : PIL.Image.Image, RGB
    """
    kinds = {"as predicted": False}
    if calibration.scaling is not None:
        kinds[f"calibrated on {calibration.scaling.n} other predictions"] = True
    plots = []
    for name, is_scaled in kinds.items():
        caption = f"{name}: expected calibration error {calibration.error(is_scaled):.3f}"
        plot = _plot(calibration.bins(is_scaled))
        plots.append(below([text_line(caption, _MEDIUM), plot], gap=4))
    head = title or "Predicted and true IoU"
    count = f"{len(calibration.predicted)} predictions in bins of equal count"
    return page([text_line(head, _LARGE), text_line(count, _MEDIUM), beside(plots)])


def _plot(bins: Sequence[Bin]) -> Image.Image:
    plot = Image.new("RGB", (_LEFT + _SIDE + 20, _SIDE + _BELOW + 10), "white")
    draw = ImageDraw.Draw(plot)
    for fifth in range(6):
        value = fifth / 5
        draw.line([_at(0, value), _at(1, value)], fill=_PALE)
        draw.line([_at(value, 0), _at(value, 1)], fill=_PALE)
        draw.text((8, _at(0, value)[1] - 7), f"{value:.1f}", fill=_GREY, font=font(_SMALL))
        draw.text((_at(value, 0)[0] - 8, _SIDE + 14), f"{value:.1f}", fill=_GREY, font=font(_SMALL))
    draw.line([_at(0, 0), _at(1, 1)], fill=_GREY, width=2)
    points = [_at(b.predicted, b.true) for b in bins]
    if len(points) > 1:
        draw.line(points, fill=POINT_COLOUR, width=2)
    for (x, y), b in zip(points, bins, strict=True):
        draw.line([(x, y), _at(b.predicted, b.predicted)], fill=POINT_COLOUR)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=POINT_COLOUR)
    text = "mean true IoU (up) over mean predicted IoU"
    draw.text((_LEFT, _SIDE + 30), text, fill="black", font=font(_SMALL))
    return plot


def _at(x: float, y: float) -> tuple[float, float]:
    return _LEFT + x * _SIDE, 10 + (1 - y) * _SIDE
