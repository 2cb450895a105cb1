"""A report as one picture: curves over the steps, a chart of the data sets, sample objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from stacksam.evaluation.drawing import COLOURS, below, beside, font, page, text_line

if TYPE_CHECKING:
    from stacksam.evaluation.report import Report, View

Colour = tuple[int, int, int]

TRUTH_COLOUR: Colour = (60, 220, 90)
RESULT_COLOUR: Colour = (255, 70, 70)
PER_ROW = 4
_TILE = 216
_PLOT = (330, 260)
_CURVE_GROUPS = ("all", "microscopy", "radiology")
_GREY = (120, 120, 120)
_PALE = (225, 225, 225)
_SMALL, _MEDIUM, _LARGE = 12, 14, 20


@dataclass(frozen=True)
class _Axes:
    """Where numbers lie in a plot's pixels; y runs from 0 to 1."""

    x_low: float
    x_high: float
    left: int = 44
    top: int = 12
    width: int = _PLOT[0] - 60
    height: int = _PLOT[1] - 56

    def at(self, x: float, y: float) -> tuple[float, float]:
        part = (x - self.x_low) / max(self.x_high - self.x_low, 1e-9)
        return self.left + part * self.width, self.top + (1 - y) * self.height


def report_picture(report: Report) -> Image.Image:
    """Draw a report.

    From top to bottom: the main figure; where the protocol has steps, curves of means over data
    sets with 95 % intervals, microscopy and radiology apart; a chart of the main figure by data
    set; the best, the median and the worst objects, one of a data set in each row, with the truth's
    outline in green and the result's in red.

    Returns
    -------
    picture : PIL.Image.Image, RGB
    """
    mean = report.mean(report.subject)
    title = f"{report.protocol} on {report.split}, model {report.model}"
    if mean is not None:
        title += (
            f": {report.main} {mean.value:.3f} ({mean.low:.3f} - {mean.high:.3f}), "
            f"{mean.n_datasets} data sets, {mean.n} objects"
        )
    parts = [text_line(title, _LARGE), _legend(report)]
    if report.step:
        parts.append(_curves(report))
    parts.append(_chart(report))
    if report.views:
        parts += _sheet(report.views)
    return page(parts)


def colour_of_method(report: Report, method: str) -> Colour:
    """The colour that stands for a method in curves and chart."""
    return COLOURS[(2 + report.methods.index(method)) % len(COLOURS)]


def _legend(report: Report) -> Image.Image:
    entries = [(m.replace("_", " "), colour_of_method(report, m)) for m in report.methods]
    if report.views:
        entries += [("truth's outline", TRUTH_COLOUR), ("result's outline", RESULT_COLOUR)]
    pieces = []
    for text, colour in entries:
        dot = Image.new("RGB", (_MEDIUM, _MEDIUM), colour)
        pieces += [dot, text_line(text, _MEDIUM)]
    return beside(pieces)


def _curves(report: Report) -> Image.Image:
    name = report.main.partition("@")[0]
    plots = []
    for group in _CURVE_GROUPS:
        curves = {m: report.curve(m, name, group) for m in report.methods}
        curves = {m: curve for m, curve in curves.items() if curve}
        if curves:
            plots.append(_curve_plot(report, group, curves))
    return beside(plots) if plots else Image.new("RGB", (1, 1), "white")


def _curve_plot(report: Report, group: str, curves: dict) -> Image.Image:
    plot = Image.new("RGB", _PLOT, "white")
    steps = [k for curve in curves.values() for k in curve]
    axes = _Axes(min(steps), max(steps))
    draw = ImageDraw.Draw(plot, "RGBA")
    _draw_grid(draw, axes)
    for step in sorted(set(steps)):
        x, y = axes.at(step, 0)
        draw.text((x - 4, y + 4), str(step), fill="black", font=font(_SMALL))
    for method, curve in reversed(curves.items()):
        colour = colour_of_method(report, method)
        low = [axes.at(k, mean.low) for k, mean in curve.items()]
        high = [axes.at(k, mean.high) for k, mean in curve.items()]
        if len(curve) > 1:
            draw.polygon([*low, *reversed(high)], fill=(*colour, 40))
            draw.line([axes.at(k, m.value) for k, m in curve.items()], fill=colour, width=2)
        for k, mean in curve.items():
            x, y = axes.at(k, mean.value)
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    n = max(m.n for curve in curves.values() for m in curve.values())
    sets = max(m.n_datasets for curve in curves.values() for m in curve.values())
    name = report.main.partition("@")[0]
    caption = f"{name} over {report.step}, {group}: {sets} sets, {n} objects"
    return below([text_line(caption, _SMALL), plot], gap=2)


def _draw_grid(draw: ImageDraw.ImageDraw, axes: _Axes) -> None:
    for tenth in range(0, 11, 2):
        left, right = axes.at(axes.x_low, tenth / 10), axes.at(axes.x_high, tenth / 10)
        draw.line([left, right], fill=_PALE)
        draw.text((8, left[1] - 7), f"{tenth / 10:.1f}", fill=_GREY, font=font(_SMALL))


def _chart(report: Report) -> Image.Image:
    """A row for each data set: the methods' means as dots, the subject's interval as a line."""
    tables = {m: report.dataset_means(m) for m in report.methods}
    spans = report.dataset_intervals(report.subject)
    groups = {s.dataset: (s.group, s.dataset, s.is_unseen) for s in report.scores}
    names = [name for _, name, _ in sorted(groups.values())]
    row, left, width = 18, 290, 480
    top = max([1.0, *(v for t in tables.values() for v, _ in t.values())])
    chart = Image.new("RGB", (left + width + 40, row * len(names) + 30), "white")
    draw = ImageDraw.Draw(chart)
    for place, name in enumerate(names):
        y = place * row + row // 2 + 2
        n = max((t[name][1] for t in tables.values() if name in t), default=0)
        star = " *" if groups[name][2] else ""
        text = f"{name}{star} ({n})"
        draw.text((0, y - 8), text, fill="black", font=font(_SMALL))
        draw.line((left, y, left + width, y), fill=_PALE)
        if name in spans:
            low, high = (left + width * v / top for v in spans[name])
            draw.line((low, y, high, y), fill=colour_of_method(report, report.subject), width=3)
        for method, table in reversed(tables.items()):
            if name in table:
                x = left + width * table[name][0] / top
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour_of_method(report, method))
    for fifth in range(6):
        x, value = left + width * fifth / 5, top * fifth / 5
        draw.text((x - 8, row * len(names) + 6), f"{value:.1f}", fill=_GREY, font=font(_SMALL))
    caption = f"{report.main} by data set (objects); * unseen in training"
    return below([text_line(caption, _MEDIUM), chart], gap=4)


def _sheet(views: Sequence[View]) -> list[Image.Image]:
    ordered = sorted(views, key=lambda v: (v.value, v.title))
    middle = sorted(ordered, key=lambda v: abs(ordered.index(v) - len(ordered) // 2))
    rows = {"best": ordered[::-1], "median": middle, "worst": ordered}
    parts = []
    for name, candidates in rows.items():
        parts.append(text_line(name, _LARGE))
        parts.append(beside([_drawn(view) for view in _one_of_each(candidates)]))
    return parts


def _one_of_each(views: Sequence[View]) -> list[View]:
    """The first few, as far as possible of different data sets."""
    chosen: dict[str, View] = {}
    for view in views:
        chosen.setdefault(view.dataset, view)
    return list(chosen.values())[:PER_ROW]


def _drawn(view: View) -> Image.Image:
    tiles = [
        _outlined(image, truth, result)
        for image, truth, result in zip(view.images, view.truths, view.results, strict=True)
    ]
    captions = [text_line(line, _SMALL) for line in view.title.split("\n")]
    return below([beside(tiles), *captions], gap=2)


def _outlined(image: np.ndarray, truth: np.ndarray, result: np.ndarray) -> Image.Image:
    """Enlarge or reduce to a tile and draw both outlines, the result's over the truth's."""
    scale = _TILE / max(image.shape)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    enlarged = Image.fromarray(image).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    pixels = np.array(enlarged)
    for mask, colour in ((truth, TRUTH_COLOUR), (result, RESULT_COLOUR)):
        grown = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        pixels[grown & ~ndimage.binary_erosion(grown)] = colour
    return Image.fromarray(pixels)
