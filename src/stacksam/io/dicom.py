"""A DICOM series, from a folder, a file or a ZIP archive, as one volume in its place."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.scan_info import ScanInfo, SourceSlice
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_stack
from stacksam.io.dicom_files import (
    SEGMENTATIONS,
    STRUCTURE_SET,
    SUFFIXES,
    find_files,
    holds_no_image,
    storage_class,
)
from stacksam.io.dicom_geometry import SliceGrid, place_slices
from stacksam.io.dicom_headers import Frame, read_frames
from stacksam.io.dicom_seg import read_segmentation
from stacksam.io.dicom_series import pick_images, pick_series
from stacksam.io.dicom_values import suv_factor
from stacksam.io.lazy_view import LazyView
from stacksam.io.limits import check_declared
from stacksam.io.pydicom_files import iterate_frames, read_header
from stacksam.io.sitk_images import quiet_itk
from stacksam.io.zips import unpacked

__all__ = ["SUFFIXES", "read_dicom", "read_zip"]

_ACQUISITION_TIME = -1  # its place among `Frame.splitters`


def read_dicom(
    path: Path, suffix: str, channel: Choice, time: int | None, series: Choice
) -> Volume:
    """Read one series of a folder, or the image or images of one file.

    Slices ascend along the normal of the plane (row direction × column direction), stored values
    are rescaled (CT: Hounsfield units), and a tilted gantry stays in the affine. Where the slice
    distance changes the affine holds the mean, `Volume.scan` each slice's own position, and
    `Volume.notes` says so. `Volume.scan` also holds unit, display window and, for PET, the factor
    to standardised uptake values.

    Several images at each position (time points, echoes, b-values) need `time` or `channel`.
    A segmentation object gives its labels.
    """
    if path.is_file() and storage_class(path) in SEGMENTATIONS:
        return read_segmentation(path, channel=channel)
    return _read_series(_all_frames(path), path.name, channel, time, series)


def read_zip(path: Path, suffix: str, channel: Choice, time: int | None, series: Choice) -> Volume:
    """Read a series from the DICOM files of a ZIP archive, unpacked for as long as it takes."""
    with unpacked(path) as members:
        frames = _frames_of(list(members))
        if not frames:
            raise ReadError(f"{path.name} holds no DICOM image; unpack it and open what is inside")
        return _read_series(frames, path.name, channel, time, series, path, members)


def _read_series(
    frames: list[Frame],
    name: str,
    channel: Choice,
    time: int | None,
    series: Choice,
    archive: Path | None = None,
    members: Mapping[Path, str] | None = None,
) -> Volume:
    frames = pick_series(frames, series, name)
    axis, geometry = "T", SliceGrid()
    if not _is_film(frames):
        _refuse_missing_positions(frames, name)
        frames, channel, time = pick_images(frames, channel, time, name)
        axis, geometry = "Z", _geometry(frames)
    pixels = _read_pixels(frames, name)
    stack, rgb, _ = pick_stack(
        LazyView(pixels),
        axis + ("YXS" if pixels.ndim == 4 else "YX"),
        name=name,
        channel=channel,
        time=time,
        is_colour=pixels.dtype in (np.uint8, np.uint16),
    )
    return make_volume(
        stack.read(),
        name,
        rgb=rgb,
        spacing_zyx=geometry.spacing_zyx,
        affine=geometry.affine,
        notes=geometry.notes,
        scan=ScanInfo(
            unit=frames[0].unit,
            suv_factor=_suv_factor(frames),
            window=frames[len(frames) // 2].window,
            slice_positions=geometry.slice_positions,
            sources=tuple(_source(frame, archive, members or {}) for frame in frames),
        ),
    )


def _source(frame: Frame, archive: Path | None, members: Mapping[Path, str]) -> SourceSlice:
    if archive is None:
        return SourceSlice(str(frame.path.absolute()), "", frame.index)
    return SourceSlice(str(archive.absolute()), members[frame.path], frame.index)


def _all_frames(path: Path) -> list[Frame]:
    """Return the frames of all images of a folder or file."""
    paths = find_files(path) if path.is_dir() else [path]
    frames = _frames_of(paths)
    if frames:
        return frames
    if path.is_file() and storage_class(path) == STRUCTURE_SET:
        raise ReadError(
            f"{path.name} holds contours, no image; read them onto their image with "
            "stacksam.read_labels(path, like=image)"
        )
    if paths and all(holds_no_image(file) for file in paths):
        raise ReadError(
            f"{path.name} holds no DICOM image but another object (segmentation, structure set, "
            "report); open the image series it belongs to"
        )
    raise ReadError(f"{path.name} is a folder without DICOM or Zarr images; choose another one")


def _frames_of(paths: list[Path]) -> list[Frame]:
    """Return the frames of all images; copies of a file count once."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    frames: dict[tuple[str, int], Frame] = {}
    for file in paths:
        for frame in read_frames(file, reader):
            frames.setdefault((frame.instance, frame.index), frame)
    return list(frames.values())


def _is_film(frames: list[Frame]) -> bool:
    """Say whether these are the frames of one file without positions: an ultrasound clip."""
    is_one_file = len({frame.path for frame in frames}) == 1
    return is_one_file and len(frames) > 1 and all(frame.position is None for frame in frames)


def _refuse_missing_positions(frames: list[Frame], name: str) -> None:
    missing = [f for f in frames if f.position is None or f.orientation is None]
    if missing and len(frames) > 1:
        raise ReadError(
            f"{name}: {len(missing)} of {len(frames)} slices have no position in their header, so "
            "their order is unknown; export the series again or open a single file"
        )


def _read_pixels(frames: list[Frame], name: str) -> np.ndarray:
    """Read the frames in their order as (N, Y, X) or (N, Y, X, samples).

    SimpleITK rescales 16 bit CT to 32 bit to be on the safe side; the values mostly fit into 16.
    """
    import SimpleITK as sitk

    kinds = {f.pixel_id for f in frames}
    dtypes = [sitk.GetArrayViewFromImage(sitk.Image([1, 1], kind)).dtype for kind in kinds]
    dtype = np.result_type(*dtypes)
    rows, columns, samples = frames[0].shape
    shape = (len(frames), rows, columns) + ((samples,) if samples > 1 else ())
    check_declared(name, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    pixels = np.empty(shape, np.int16 if dtype == np.int32 else dtype)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    last, array = None, np.empty(0)
    for index, frame in enumerate(frames):
        if frame.path != last:
            last, array = frame.path, _read_file(reader, frame).reshape(-1, *shape[1:])
        plane = array[frame.index]
        if frame.rescale is not None:
            plane = plane * np.float32(frame.rescale[0]) + np.float32(frame.rescale[1])
        if pixels.dtype != dtype and (plane.min() < -(2**15) or plane.max() >= 2**15):
            pixels = pixels.astype(dtype)
        pixels[index] = plane
    return pixels


def _read_file(reader: Any, frame: Frame) -> np.ndarray:
    if frame.rescale is not None:
        return _read_stored(frame.path)
    import SimpleITK as sitk

    reader.SetFileName(str(frame.path))
    try:
        with quiet_itk():
            return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise ReadError(
            f"{frame.path.name} is damaged or compressed in an unknown way; copy or export it again"
        ) from error


def _read_stored(path: Path) -> np.ndarray:
    """Read values before rescaling, which SimpleITK applies to all frames alike."""
    frames = list(iterate_frames(path, path.name, raw=True))
    return np.stack(frames)


def _suv_factor(frames: list[Frame]) -> float | None:
    """Return the factor to SUV of a PET series, None without pydicom or what it takes."""
    if frames[0].modality != "PT":
        return None
    if find_spec("pydicom") is None:
        return 1.0 if frames[0].unit == "SUVbw" else None
    times = [frame.splitters[_ACQUISITION_TIME] for frame in frames]
    earliest = min((time for time in times if time), default="")
    return suv_factor(read_header(frames[0].path), earliest)


def _geometry(frames: list[Frame]) -> SliceGrid:
    first = frames[0]
    if first.pixel_spacing is None:
        return SliceGrid()
    thickness = first.thickness if first.thickness and first.thickness > 0 else 1.0
    if first.position is None or first.orientation is None:
        return SliceGrid(spacing_zyx=(thickness, *first.pixel_spacing[:2]))
    positions = np.array([frame.position for frame in frames], float)
    return place_slices(positions, first.orientation, first.pixel_spacing, thickness)
