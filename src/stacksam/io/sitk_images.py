"""NIfTI, NRRD and MetaImage through SimpleITK, with the checks ITK leaves out."""

from __future__ import annotations

import gzip
import math
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.geometry import affine_from_itk
from stacksam.io.lazy_view import LazyView

if TYPE_CHECKING:
    import SimpleITK

IMAGE_IO = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
_BLOCK = 2**20
_display_lock = threading.Lock()


def read_sitk(path: Path, suffix: str, channel: Choice, time: int | None, series: Choice) -> Volume:
    """Read a file SimpleITK knows; voxels equal `SimpleITK.GetArrayFromImage`.

    A 2D file becomes one slice. Its thickness is taken from the header where the format has one
    (NIfTI), and is 1 mm otherwise, as when ITK reads it into three dimensions.
    """
    import SimpleITK as sitk

    pick_index(series, 1, "series", path.name)
    if suffix in (".nii", ".nii.gz"):
        _check_nifti(path)
    elif suffix == ".mha":
        _check_compressed_meta(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(IMAGE_IO[suffix])
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise ReadError(
                f"{path.name} has a sheared voxel grid, which NIfTI readers cannot place; resample "
                "it to a regular grid first"
            ) from error
        raise
    return _volume_from_image(image, path, suffix, channel, time)


def _volume_from_image(
    image: SimpleITK.Image, path: Path, suffix: str, channel: Choice, time: int | None
) -> Volume:
    import SimpleITK as sitk

    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(image.GetDimension())
    if axes is None:
        raise ReadError(f"{path.name} has {image.GetDimension()} axes; save one 3D volume of it")
    samples = image.GetNumberOfComponentsPerPixel()
    array = sitk.GetArrayFromImage(image)
    is_colour = samples == 3 and array.dtype in (np.uint8, np.uint16)
    stack, rgb, is_timelapse = pick_stack(
        LazyView(array),
        axes + ("S" if samples > 1 else ""),
        name=path.name,
        channel=channel,
        time=time,
        is_colour=is_colour,
    )
    data = stack.read()
    if is_timelapse or not _has_spacing(path, suffix):
        return make_volume(data, path.name, rgb=rgb)
    affine = _affine_of(image)
    spacing = (*reversed(image.GetSpacing()[:3]),)
    if len(spacing) == 2:
        spacing = (float(affine[0, 0]), *spacing)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    exact = spacing if np.allclose(lengths, spacing, rtol=1e-4, atol=0) else None
    return make_volume(data, path.name, rgb=rgb, spacing_zyx=exact, affine=affine)


def _affine_of(image: SimpleITK.Image) -> np.ndarray:
    """Build the affine of a 2D, 3D or 4D image; a 2D image lies in the x-y plane."""
    dimension = image.GetDimension()
    origin, spacing = list(image.GetOrigin()), list(image.GetSpacing())
    direction = np.reshape(image.GetDirection(), (dimension, dimension))
    if dimension == 2:
        full = np.eye(3)
        full[:2, :2] = direction
        direction = full
        origin.append(0.0)
        spacing.append(_slice_thickness(image))
    return affine_from_itk(origin[:3], spacing[:3], direction[:3, :3].ravel().tolist())


def _slice_thickness(image: SimpleITK.Image) -> float:
    if image.HasMetaDataKey("pixdim[3]"):
        thickness = abs(float(image.GetMetaData("pixdim[3]")))
        if math.isfinite(thickness) and thickness > 0:
            return thickness
    return 1.0


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK's warnings off the terminal."""
    import SimpleITK as sitk

    with _display_lock:
        before = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _has_spacing(path: Path, suffix: str) -> bool:
    """Say whether the text header of NRRD or MetaImage gives a spacing; ITK would assume 1 mm."""
    words = {
        ".nrrd": (b"spacings:", b"space directions:"),
        ".mha": (b"elementspacing", b"elementsize"),
    }
    words[".nhdr"], words[".mhd"] = words[".nrrd"], words[".mha"]
    if suffix not in words:
        return True
    with open(path, "rb") as file:
        for line in _header_lines(file):
            if line.lower().lstrip().startswith(words[suffix]):
                return True
    return False


def _header_lines(file: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a text header up to an empty line or ElementDataFile."""
    for _ in range(10_000):
        line = file.readline(_BLOCK)
        yield line
        if not line.strip() or line.lower().lstrip().startswith(b"elementdatafile"):
            return


def _check_nifti(path: Path) -> None:
    """Refuse an incomplete file: ITK would fill the missing part with zeros and say nothing."""
    damaged = f"{path.name} is damaged or incomplete; copy or export it again"
    with open(path, "rb") as probe:
        is_zipped = probe.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_zipped else open(path, "rb") as file:
            header = file.read(540)
            expected = _nifti_bytes(header)
            if expected is None:
                raise ReadError(f"{path.name} is not a NIfTI file, or its header is damaged")
            available = len(header) + _count_rest(file) if is_zipped else path.stat().st_size
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadError(damaged) from error
    if available < expected:
        raise ReadError(f"{damaged} ({available} of {expected} bytes are there)")


def _nifti_bytes(header: bytes) -> int | None:
    """Return the length of a single-file NIfTI-1 or NIfTI-2 that its header promises."""
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(order + "i", header)[0] == 348:
            dims = struct.unpack_from(order + "8h", header, 40)
            bits = struct.unpack_from(order + "h", header, 72)[0]
            offset = int(struct.unpack_from(order + "f", header, 108)[0])
        elif len(header) >= 540 and struct.unpack_from(order + "i", header)[0] == 540:
            dims = struct.unpack_from(order + "8q", header, 16)
            bits = struct.unpack_from(order + "h", header, 14)[0]
            offset = struct.unpack_from(order + "q", header, 168)[0]
        else:
            continue
        if 1 <= dims[0] <= 7 and min(dims[1 : dims[0] + 1]) >= 1 and bits > 0:
            return offset + math.prod(dims[1 : dims[0] + 1]) * bits // 8
    return None


def _count_rest(file: BinaryIO | gzip.GzipFile) -> int:
    """Count the bytes up to the end; gzip verifies its checksum there."""
    count = 0
    while block := file.read(_BLOCK):
        count += len(block)
    return count


def _check_compressed_meta(path: Path) -> None:
    """Refuse a damaged zlib part of an .mha; ITK reads on with wrong values."""
    with open(path, "rb") as file:
        lines = [line.lower().replace(b" ", b"").strip() for line in _header_lines(file)]
        if b"compresseddata=true" not in lines or b"elementdatafile=local" not in lines:
            return
        inflater = zlib.decompressobj()
        try:
            while not inflater.eof and (block := file.read(_BLOCK)):
                inflater.decompress(block)
        except zlib.error as error:
            raise ReadError(f"{path.name} is damaged; copy or export it again") from error
        if not inflater.eof:
            raise ReadError(f"{path.name} is damaged or incomplete; copy or export it again")
