"""PNG, JPEG and BMP pictures: one slice without a spacing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.lazy_view import LazyView
from stacksam.io.limits import DEFLATE, check_declared

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_MOST_PER_BYTE = 4000.0  # JPEG: at least one bit for each block of 8 x 8; BMP: runs of 255
_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I": 16, "F": 32}
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


def read_picture(
    path: Path, suffix: str, channel: Choice, time: int | None, series: Choice
) -> Volume:
    """Read a picture as stored: 8 or 16 bit, grey or colour; alpha is dropped, no EXIF rotation.

    A resolution in dots per inch is meant for printing and gives no spacing.
    """
    pick_index(series, 1, "series", path.name)
    array = _read_pixels(path)
    axes = "YXS" if array.ndim == 3 else "YX"
    if array.ndim == 3 and array.shape[2] == 2:  # grey and alpha
        array, axes = array[..., 0], "YX"
    stack, rgb, _ = pick_stack(
        LazyView(array), axes, name=path.name, channel=channel, time=time, is_colour=True
    )
    return make_volume(stack.read(), path.name, rgb=rgb)


def _read_pixels(path: Path) -> np.ndarray:
    from PIL import Image as pil

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pil.DecompressionBombWarning)
        try:
            with pil.open(path) as picture:
                _check_size(path, picture)
                return _read_with_sitk(path) if _is_deep_colour(picture) else _pixels(picture)
        except pil.DecompressionBombError as error:
            raise ReadError(
                f"{path.name} is too large for a picture file; save it as tiled TIFF"
            ) from error


def _check_size(path: Path, picture: ImageFile) -> None:
    """Refuse a header that declares more than the file can hold."""
    ratio = DEFLATE if picture.format == "PNG" else _MOST_PER_BYTE
    bits = _BITS.get(picture.mode, 8 * len(picture.getbands()))
    declared = picture.width * picture.height * bits // 8
    check_declared(path.name, declared, path.stat().st_size, ratio)


def _is_deep_colour(picture: ImageFile) -> bool:
    """Say whether this is a 16 bit colour PNG, which Pillow would cut to 8 bit."""
    modes = [tile[3] for tile in picture.tile]
    return picture.mode in ("RGB", "RGBA", "LA") and any("16" in str(mode) for mode in modes)


def _pixels(picture: Image) -> np.ndarray:
    """Return the values as stored; a palette becomes grey if it holds only grey, else colour."""
    if picture.mode not in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
        return np.array(picture)
    colours = np.array(picture.convert("RGB"))
    is_grey = picture.mode == "P" and (colours == colours[..., :1]).all()
    return colours[..., 0] if is_grey else colours


def _read_with_sitk(path: Path) -> np.ndarray:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("PNGImageIO")
    reader.SetFileName(str(path))
    return sitk.GetArrayFromImage(reader.Execute())
