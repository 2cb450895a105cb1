"""Pictures to look at: three planes of a stack with outlines, a legend and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.segmentation import find_boundaries

from stacksam.core.windows import WindowSpec, apply_window, resolve_window

if TYPE_CHECKING:
    from stacksam.core.volume import Volume

FOOTER = "Research use only, not a medical device"
COLOURS = (
    (230, 60, 60),
    (70, 200, 90),
    (80, 140, 255),
    (255, 190, 40),
    (210, 90, 230),
    (60, 210, 220),
    (255, 130, 60),
    (170, 220, 60),
    (255, 120, 170),
    (160, 150, 255),
)
_SIDE = 380  # px, the longest side of a plane
_GAP = 16
_TEXT = 15
_LEGEND_ROWS = 16


def colour_of(label_id: int) -> tuple[int, int, int]:
    """The outline's red, green and blue, 0 to 255; they repeat after `COLOURS`."""
    return COLOURS[(label_id - 1) % len(COLOURS)]


def three_planes(
    volume: Volume,
    labels: np.ndarray,
    *,
    window: WindowSpec = "auto",
    names: Mapping[int, str] | None = None,
    scores: Mapping[int, float] | None = None,
    title: str = "",
) -> Image.Image:
    """Draw one plane along each axis in true proportions, with the labels' outlines and a legend.

    Each plane is the one that meets the most labels. With a known place in the patient they are
    turned as radiologists look at them: head up, anterior up or left, the patient's right on the
    left.

    Parameters
    ----------
    volume : Volume
    labels : ndarray of shape (Z, Y, X), integer
        0 is background.
    window : str, (low, high) or Window
        As `stacksam.core.windows.resolve_window` takes it.
    names, scores : mapping from label id, optional
        For the legend; scores are Dice coefficients.
    title : str

    Returns
    -------
    picture : PIL.Image.Image, RGB

    Raises
    ------
    ValueError
        If shapes differ.
    """
    labels = np.asarray(labels)
    if labels.shape != volume.shape:
        raise ValueError(f"labels have shape {labels.shape}, but the image has {volume.shape}")
    limits = resolve_window(volume, window)
    scale = _pixels_per_mm(volume)
    planes = []
    for axis in range(3):
        index = _fullest_slice(labels, axis)
        grey = apply_window(volume.read_slice(index, axis), limits)
        outlined = _outlined(grey, np.take(labels, index, axis), volume, axis, scale)
        planes.append(_captioned(outlined, f"{_plane_names(volume)[axis]}, slice {index}"))
    ids = [int(i) for i in np.unique(labels) if i] if names is None else sorted(names)
    picture = _beside([*planes, _legend(ids, names or {}, scores or {})])
    return _below([_line(title, 20), picture]) if title else picture


def page(pictures: Sequence[Image.Image], footer: str = FOOTER) -> Image.Image:
    """Put pictures under each other on white, with a margin and a footer.

    Returns
    -------
    picture : PIL.Image.Image, RGB
    """
    content = _below([*pictures, _line(footer, _TEXT, (110, 110, 110))])
    sheet = Image.new("RGB", (content.width + 2 * _GAP, content.height + 2 * _GAP), "white")
    sheet.paste(content, (_GAP, _GAP))
    return sheet


def _pixels_per_mm(volume: Volume) -> float:
    spacing = volume.spacing_zyx or (1.0, 1.0, 1.0)
    return _SIDE / max(n * step for n, step in zip(volume.shape, spacing, strict=True))


def _plane_names(volume: Volume) -> tuple[str, str, str]:
    is_patient = volume.affine is not None
    return ("axial", "coronal", "sagittal") if is_patient else ("xy", "xz", "yz")


def _fullest_slice(labels: np.ndarray, axis: int) -> int:
    """The slice that meets the most labels, among equals the one with the most labelled voxels."""

    def fullness(index: int) -> tuple[int, int]:
        present, counts = np.unique(np.take(labels, index, axis), return_counts=True)
        return len(present[present > 0]), int(counts[present > 0].sum())

    counts = [fullness(index) for index in range(labels.shape[axis])]
    if max(counts) == (0, 0):
        return labels.shape[axis] // 2
    return counts.index(max(counts))


def _outlined(
    grey: np.ndarray, labels: np.ndarray, volume: Volume, axis: int, scale: float
) -> Image.Image:
    """Enlarge a slice to square pixels and draw the labels' inner edges into it."""
    step_y, step_x = volume.plane_spacing(axis) or (1.0, 1.0)
    height, width = labels.shape
    size = (max(1, round(width * step_x * scale)), max(1, round(height * step_y * scale)))
    picture = Image.fromarray((grey * 255).astype(np.uint8)).convert("RGB")
    pixels = np.array(picture.resize(size, Image.Resampling.BICUBIC))
    ids = np.array(Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    for label_id in np.unique(ids[ids > 0]):
        mask = ids == label_id
        edge = ndimage.binary_dilation(find_boundaries(mask, mode="inner")) & mask
        pixels[edge] = colour_of(int(label_id))
    rows, columns = (a for a in range(3) if a != axis)
    turned = _is_turned(volume)
    pixels = pixels[:: -1 if turned[rows] else 1, :: -1 if turned[columns] else 1]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _is_turned(volume: Volume) -> tuple[bool, bool, bool]:
    """Whether z, y and x have to be reversed: z shows up, y and x along LPS."""
    if volume.affine is None:
        return (False, False, False)
    z, y, x = (volume.affine[a, a] for a in range(3))
    return (z > 0, y < 0, x < 0)


def _legend(
    ids: Sequence[int], names: Mapping[int, str], scores: Mapping[int, float]
) -> Image.Image:
    """Colour, name and score of each label, in as many columns as needed."""
    texts = [names.get(i) or f"object {i}" for i in ids]
    texts = [
        f"{t}  Dice {scores[i]:.2f}" if i in scores else t for i, t in zip(ids, texts, strict=True)
    ]
    columns = -(-len(ids) // _LEGEND_ROWS) or 1
    rows = -(-len(ids) // columns)
    line = _TEXT + 9
    column = 2 * _GAP + _TEXT + round(max((_font(_TEXT).getlength(t) for t in texts), default=0))
    legend = Image.new("RGB", (columns * column, max(1, rows * line)), "white")
    draw = ImageDraw.Draw(legend)
    for place, (label_id, text) in enumerate(zip(ids, texts, strict=True)):
        x, y = place // rows * column, place % rows * line
        draw.rectangle((x, y + 3, x + _TEXT, y + 3 + _TEXT), fill=colour_of(label_id))
        draw.text((x + _TEXT + 8, y), text, fill="black", font=_font(_TEXT))
    return legend


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    return _below([picture, _line(caption, _TEXT)], gap=4)


def _line(text: str, size: int, colour: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    _, _, right, bottom = _font(size).getbbox(text)
    line = Image.new("RGB", (max(1, round(right)), round(bottom) + 4), "white")
    ImageDraw.Draw(line).text((0, 0), text, fill=colour, font=_font(size))
    return line


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    width = sum(p.width for p in pictures) + _GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width + _GAP
    return sheet


def _below(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    height = sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (max(p.width for p in pictures), height), "white")
    y = 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height + gap
    return sheet
