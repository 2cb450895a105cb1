"""TIFF, ImageJ and OME-TIFF through tifffile, axes and spacing from the metadata."""

from __future__ import annotations

import logging
import math
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.lazy_view import LazyView
from stacksam.io.limits import DEFLATE, check_declared
from stacksam.io.units import in_mm

if TYPE_CHECKING:
    import tifffile

SUFFIXES = (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".btf", ".tf8", ".lsm")
_MOST_PER_BYTE = {
    1: 1.0,  # none
    5: 1400.0,  # LZW: 4094 strings of growing length in 12 bits each
    7: 4000.0,  # JPEG: at least one bit for each block of 8 x 8
    8: DEFLATE,
    32946: DEFLATE,
    32773: 64.0,  # PackBits
}
_MAX_TILE = 2**26
LAZY_BYTES = 2**30  # larger series are read page by page when needed


def read_tiff(path: Path, suffix: str, channel: Choice, time: int | None, series: Choice) -> Volume:
    """Read one series of a TIFF file.

    The spacing is known only where z, y and x are: ImageJ and OME metadata count, the resolution
    tags alone (often a screen's 72 dpi) do not. A time-lapse of single planes has none.
    """
    import tifffile

    with _collected_complaints() as complaints:
        tif = tifffile.TiffFile(path)
        try:
            _refuse_other_folders(path, tif)
            index = pick_index(series, len(tif.series), "series", path.name, _series_names(tif))
            chosen = tif.series[index]
            _refuse_incomplete(path, complaints)
            _check_size(path, tif, chosen)
            is_lazy = chosen.nbytes > LAZY_BYTES
            view = _lazy_view(tif, chosen) if is_lazy else LazyView(chosen.asarray())
            spacing = _spacing_of(tif, index)
            names, is_colour = _channel_names(tif, index), _is_colour(chosen)
        except BaseException:
            tif.close()
            raise
        if not is_lazy:
            tif.close()
        _refuse_incomplete(path, complaints)
    stack, rgb, is_timelapse = pick_stack(
        view,
        chosen.axes,
        name=path.name,
        channel=channel,
        time=time,
        channel_names=names,
        is_colour=is_colour,
    )
    data = stack if is_lazy else stack.read()
    return make_volume(data, path.name, rgb=rgb, spacing_zyx=None if is_timelapse else spacing)


@contextmanager
def _collected_complaints() -> Iterator[list[str]]:
    """Collect what tifffile would log instead of letting it reach the terminal."""
    complaints: list[str] = []
    logger = logging.getLogger("tifffile")
    handler = logging.Handler()
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield complaints
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _refuse_incomplete(path: Path, complaints: list[str]) -> None:
    """Refuse a file whose pages end early; tifffile would return the pages that are left."""
    signs = ("invalid page offset", "failed to reshape", "corrupted file", "missing data")
    if any(sign in complaint for complaint in complaints for sign in signs):
        raise ReadError(f"{path.name} is damaged or incomplete; copy or export it again")


def _refuse_other_folders(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse OME metadata that send the reader to files elsewhere."""
    names = re.findall(r'FileName="([^"]*)"', (tif.is_ome and tif.ome_metadata) or "")
    if any(PurePosixPath(n).name != n or PureWindowsPath(n).name != n for n in names):
        raise ReadError(
            f"{path.name} names parts outside of its own folder, which are not opened; put all "
            "parts into one folder and save them again"
        )


def _check_size(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse pages that declare more than the file can hold, or than may be loaded at once."""
    page = series.keyframe
    check_declared(path.name, page.nbytes)  # one page is loaded even where the stack is lazy
    tile = page.tilewidth * page.tilelength * page.tiledepth * page.dtype.itemsize
    if page.is_tiled and tile > max(page.nbytes, _MAX_TILE):
        raise ReadError(
            f"{path.name} is damaged: its tiles are larger than its pages; copy it again"
        )
    ratio = _MOST_PER_BYTE.get(int(page.compression))
    is_one_file = not tif.is_ome or "FileName=" not in (tif.ome_metadata or "")
    if ratio is None or not is_one_file or 0 in page.databytecounts:  # 0: empty parts are left out
        return
    if math.prod(series.shape) * series.dtype.itemsize > path.stat().st_size * ratio:
        raise ReadError(
            f"{path.name} is damaged or incomplete; copy or export it again (its header declares "
            "more than the file can hold)"
        )


def _lazy_view(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> LazyView:
    """Open a series page by page; its file stays open as long as the array lives."""
    import zarr

    stored = zarr.open_array(series.aszarr(level=0), mode="r")
    view = LazyView(stored)
    weakref.finalize(view.source, tif.close)
    return view


def _series_names(tif: tifffile.TiffFile) -> list[str]:
    return ["x".join(str(n) for n in series.shape) for series in tif.series]


def _is_colour(series: tifffile.TiffPageSeries) -> bool:
    """Say whether samples are colours; photometric 2 is RGB, 6 YCbCr."""
    page = series.keyframe
    return int(page.photometric) in (2, 6)


def _spacing_of(tif: tifffile.TiffFile, index: int) -> tuple[float, ...] | None:
    """Return (z, y, x) in mm if the metadata gives all three."""
    if tif.is_ome:
        spacing = _ome_spacing(tif, index)
    elif tif.is_lsm:
        metadata = tif.lsm_metadata or {}
        spacing = [1e3 * float(metadata.get(f"VoxelSize{a}") or 0) for a in "ZYX"]
    elif tif.is_imagej:
        spacing = _imagej_spacing(tif)
    else:
        return None
    if any(not math.isfinite(step) or step <= 0 for step in spacing):
        return None
    return tuple(spacing)


def _imagej_spacing(tif: tifffile.TiffFile) -> list[float]:
    metadata = tif.imagej_metadata or {}
    scale = in_mm(str(metadata.get("unit", "")))
    tags = tif.pages[0].tags
    steps = [float(metadata.get("spacing") or math.nan)]
    for name in ("YResolution", "XResolution"):
        pixels, units = tags[name].value if name in tags else (0, 1)
        steps.append(units / pixels if pixels else math.nan)
    return [step * scale for step in steps]


def _ome_image(tif: tifffile.TiffFile, index: int) -> tuple[ElementTree.Element | None, str]:
    """Return the Pixels element of the series and its XML name space."""
    root = ElementTree.fromstring(tif.ome_metadata or "<OME/>")
    space = root.tag[: root.tag.index("}") + 1] if "}" in root.tag else ""
    images = root.findall(f"{space}Image/{space}Pixels")
    return (images[index] if index < len(images) else None), space


def _ome_spacing(tif: tifffile.TiffFile, index: int) -> list[float]:
    pixels, _ = _ome_image(tif, index)
    attributes = {} if pixels is None else pixels.attrib
    return [
        float(attributes.get(f"PhysicalSize{a}", "nan"))
        * in_mm(attributes.get(f"PhysicalSize{a}Unit", "µm"))
        for a in "ZYX"
    ]


def _channel_names(tif: tifffile.TiffFile, index: int) -> list[str]:
    """Return the names OME metadata gives to the channels, or nothing."""
    if not tif.is_ome:
        return []
    pixels, space = _ome_image(tif, index)
    channels = [] if pixels is None else pixels.findall(f"{space}Channel")
    names = [channel.get("Name", "") for channel in channels]
    return names if all(names) else []
