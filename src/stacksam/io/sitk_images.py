"""NIfTI, NRRD and MetaImage through SimpleITK, with the checks ITK leaves out."""

from __future__ import annotations

import gzip
import math
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.geometry import affine_from_itk
from stacksam.io.itk_headers import check_header, has_spacing, spacing_scale
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
NIFTI_UNITS = {1: 1000.0, 2: 1.0, 3: 1e-3}
"""Millimetres per unit by NIfTI's code; 0, unknown, is taken for mm as everywhere."""

_display_lock = threading.Lock()


def read_sitk(path: Path, suffix: str, channel: Choice, time: int | None, series: Choice) -> Volume:
    """Read a file SimpleITK knows; voxels equal `SimpleITK.GetArrayFromImage`.

    A 2D file becomes one slice. Its thickness is taken from the header where the format has one
    (NIfTI), and is 1 mm otherwise, as when ITK reads it into three dimensions.
    """
    import SimpleITK as sitk

    pick_index(series, 1, "series", path.name)
    check_header(path, suffix)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(IMAGE_IO[suffix])
    reader.SetFileName(str(path))
    sheared = None
    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise
        with quiet_itk(), _permissive_nifti():
            image = reader.Execute()
        sheared = _sform_affine(image)
    return _volume_from_image(image, path, suffix, channel, time, sheared)


@contextmanager
def _permissive_nifti() -> Iterator[None]:
    """Let ITK read a NIfTI whose axes are not at right angles; it would turn them to be."""
    name = "ITK_NIFTI_SFORM_PERMISSIVE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _sform_affine(image: SimpleITK.Image) -> np.ndarray:
    """Return the affine a NIfTI's sform describes, from (i, j, k) and RAS to (z, y, x) and LPS."""
    rows = [image.GetMetaData(f"srow_{axis}").split() for axis in "xyz"]
    sform = np.array(rows, float) * NIFTI_UNITS.get(int(image.GetMetaData("xyzt_units")) & 7, 1.0)
    sform[:2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = sform[::-1, 2::-1]
    affine[:3, 3] = sform[::-1, 3]
    return affine


def _volume_from_image(
    image: SimpleITK.Image,
    path: Path,
    suffix: str,
    channel: Choice,
    time: int | None,
    sheared: np.ndarray | None = None,
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
    if is_timelapse or not has_spacing(path, suffix):
        return make_volume(data, path.name, rgb=rgb)
    if sheared is not None:
        return make_volume(data, path.name, rgb=rgb, affine=sheared)
    scale = spacing_scale(path, suffix)
    affine = np.diag([scale, scale, scale, 1.0]) @ _affine_of(image)
    spacing = tuple(step * scale for step in reversed(image.GetSpacing()[:3]))
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


def set_sform(path: Path, volume: Volume) -> None:
    """Give a NIfTI-1 file of ours the place of a sheared volume, which only an sform can hold."""
    assert volume.affine is not None
    rows = volume.affine[:3][::-1][:, [2, 1, 0, 3]]
    rows[:2] *= -1
    is_zipped = path.name.endswith(".gz")
    content = bytearray(gzip.decompress(path.read_bytes()) if is_zipped else path.read_bytes())
    struct.pack_into("<2h", content, 252, 0, 1)  # no qform, sform of the scanner
    struct.pack_into("<12f", content, 280, *rows.ravel().tolist())
    path.write_bytes(gzip.compress(content, 6) if is_zipped else content)


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
