"""Pictures to look at: three planes of a stack with outlines, a legend and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.segmentation import find_boundaries

from stacksam.core.windows import WindowSpec, apply_window, resolve_window
from stacksam.evaluation.drawing import COLOURS, GAP, TEXT, below, beside, font, text_line

if TYPE_CHECKING:
    from stacksam.core.volume import Volume

_SIDE = 380  # px, the longest side of a plane
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
    picture = beside([*planes, _legend(ids, names or {}, scores or {})])
    return below([text_line(title, 20), picture]) if title else picture


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
    line = TEXT + 9
    column = 2 * GAP + TEXT + round(max((font(TEXT).getlength(t) for t in texts), default=0))
    legend = Image.new("RGB", (columns * column, max(1, rows * line)), "white")
    draw = ImageDraw.Draw(legend)
    for place, (label_id, text) in enumerate(zip(ids, texts, strict=True)):
        x, y = place // rows * column, place % rows * line
        draw.rectangle((x, y + 3, x + TEXT, y + 3 + TEXT), fill=colour_of(label_id))
        draw.text((x + TEXT + 8, y), text, fill="black", font=font(TEXT))
    return legend


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    return below([picture, text_line(caption, TEXT)], gap=4)
