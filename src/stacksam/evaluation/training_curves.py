"""A training's log as one picture: the loss, and the IoU of each kind of prompt on val."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from stacksam.core.errors import ReadError
from stacksam.evaluation.drawing import COLOURS, TEXT, below, beside, font, page, text_line

PLOT = (520, 300)
LEFT, RIGHT, TOP, BOTTOM = 46, 160, 10, 28
VALIDATED = "val_"
Curve = list[tuple[int, float]]


def training_picture(log: str | Path) -> Image.Image:
    """Draw the curves of a run.

    Parameters
    ----------
    log : path of a run folder's log.jsonl
        One JSON object a line, each with ``step``.

    Returns
    -------
    picture : PIL.Image.Image, RGB

    Raises
    ------
    ReadError
        If the log is missing, damaged, or tells no figures.
    """
    curves = read_curves(log)
    losses = {"loss": curves["loss"], "smoothed": _smoothed(curves["loss"])}
    trained = {k: _smoothed(v) for k, v in curves.items() if not _is_other(k)}
    told = {k.removeprefix(VALIDATED): v for k, v in curves.items() if k.startswith(VALIDATED)}
    parts = [("loss of a step's prompts", losses), ("IoU while training, smoothed", trained)]
    if told:
        parts.append(("IoU on val, averaged weights", told))
    plots = [below([text_line(title, TEXT), _plot(some)], gap=4) for title, some in parts]
    last = max(step for curve in curves.values() for step, _ in curve)
    return page([text_line(f"training, {last} steps", TEXT + 5), beside(plots)])


def read_curves(log: str | Path) -> dict[str, Curve]:
    """Figures of a log by name, each as (step, value) in the order of the steps.

    Steps that were run again after a stop count as they were run last.
    """
    path, figures = Path(log), dict[str, dict[int, float]]()
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            step = int(told.pop("step"))
            for name, value in told.items():
                figures.setdefault(name, {})[step] = float(value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReadError(f"{path.name} is not the log of a training; give a run folder's") from error
    if "loss" not in figures:
        raise ReadError(f"{path.name} tells of no step yet; train for a while first")
    return {name: sorted(found.items()) for name, found in figures.items()}


def _is_other(name: str) -> bool:
    """Whether a figure is no IoU of training."""
    return name.startswith(VALIDATED) or name in ("loss", "norm", "seconds_per_step")


def _smoothed(curve: Curve, window: int = 9) -> Curve:
    """Means over a few neighbours on each side, fewer at the ends."""
    values = np.array([value for _, value in curve])
    half = min(window // 2, (len(values) - 1) // 2)
    ends = [(max(0, i - half), i + half + 1) for i in range(len(values))]
    means = [float(values[start:stop].mean()) for start, stop in ends]
    return [(step, mean) for (step, _), mean in zip(curve, means, strict=True)]


def _plot(curves: dict[str, Curve]) -> Image.Image:
    """Curves over the steps; the names stand at their ends, moved apart where they would touch."""
    plot = Image.new("RGB", PLOT, "white")
    draw = ImageDraw.Draw(plot)
    points = [point for curve in curves.values() for point in curve]
    first, last = min(s for s, _ in points), max(s for s, _ in points)
    low, high = min(v for _, v in points), max(v for _, v in points)
    width, height = PLOT[0] - LEFT - RIGHT, PLOT[1] - TOP - BOTTOM

    def at(step: float, value: float) -> tuple[float, float]:
        x = LEFT + width * (step - first) / max(last - first, 1)
        return x, TOP + height * (high - value) / max(high - low, 1e-9)

    for part in range(5):
        value = low + (high - low) * part / 4
        y = at(first, value)[1]
        draw.line((LEFT, y, LEFT + width, y), fill=(225, 225, 225))
        draw.text((4, y - 7), f"{value:.2f}", fill=(110, 110, 110), font=font(TEXT - 3))
        step = first + (last - first) * part // 4
        x = at(step, low)[0]
        draw.text((x - 12, TOP + height + 6), str(step), fill="black", font=font(TEXT - 3))
    lowest = float("-inf")
    for number, (name, curve) in enumerate(
        sorted(curves.items(), key=lambda item: -item[1][-1][1])
    ):
        colour = COLOURS[number % len(COLOURS)]
        line = [at(step, value) for step, value in curve]
        if len(line) > 1:
            draw.line(line, fill=colour, width=2)
        x, y = line[-1]
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        lowest = max(lowest + TEXT, y - 8)
        text = f"{name.replace('_', ' ')} {curve[-1][1]:.2f}"
        draw.text((LEFT + width + 8, lowest), text, fill=colour, font=font(TEXT - 3))
    return plot
