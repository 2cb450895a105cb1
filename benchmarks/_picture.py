"""A benchmark's figures as bars, one chart for each unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from stacksam.evaluation.drawing import COLOURS, TEXT, below, font, page, text_line

UNITS = ("_seconds", "_ms", "_mb", "_per_second", "_per_slice")
"""Ends of the names of figures that are drawn."""

WIDTH, ROW, LABELS = 460, 22, 400


def write_picture(path: Path, title: str, figures: Mapping[str, float]) -> None:
    """Draw the figures that have one of `UNITS` into a PNG file."""
    charts = []
    for unit, colour in zip(UNITS, COLOURS, strict=False):
        chosen = {name: value for name, value in figures.items() if name.endswith(unit)}
        if chosen:
            charts += [text_line(unit.strip("_").replace("_", " "), TEXT), _bars(chosen, colour)]
    picture = page([text_line(title, TEXT + 6), *charts], footer=f"benchmarks/run.py {title}")
    picture.save(path)


def _bars(figures: Mapping[str, float], colour: tuple[int, int, int]) -> Image.Image:
    largest = max(max(figures.values()), 1e-9)
    rows = []
    for name, value in figures.items():
        row = Image.new("RGB", (LABELS + WIDTH + 100, ROW), "white")
        draw = ImageDraw.Draw(row)
        draw.text((0, 2), name, fill=(0, 0, 0), font=font(TEXT - 2))
        end = LABELS + WIDTH * max(value, 0) / largest
        draw.rectangle((LABELS, 3, end, ROW - 4), fill=colour)
        draw.text((end + 6, 2), f"{value:.3g}", fill=(60, 60, 60), font=font(TEXT - 2))
        rows.append(row)
    return below(rows, gap=0)
