"""A DICOM series, from a folder or a file, as one volume in its place in the patient."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, make_volume, pick_stack
from stacksam.io.dicom_headers import (
    SUFFIXES,
    Frame,
    find_files,
    holds_no_image,
    normal_of,
    read_frames,
)
from stacksam.io.dicom_series import pick_images, pick_series
from stacksam.io.geometry import affine_from_itk
from stacksam.io.lazy_view import LazyView
from stacksam.io.sitk_images import quiet_itk

__all__ = ["SUFFIXES", "read_dicom"]

_OFF_GRID = 0.1  # of the slice distance; a slice farther from its place on the grid is reported


class _Geometry(NamedTuple):
    affine: np.ndarray | None = None
    spacing_zyx: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = ()


def read_dicom(
    path: Path, suffix: str, channel: Choice, time: int | None, series: Choice
) -> Volume:
    """Read one series of a folder, or the image or images of one file.

    Slices ascend along the normal of the plane (row direction × column direction), stored values
    are rescaled (CT: Hounsfield units), and a tilted gantry stays in the affine. Where the slice
    distance changes the affine holds the mean and `Volume.notes` says so.

    Several images at each position (time points, echoes, b-values) need `time` or `channel`.
    """
    frames = pick_series(_all_frames(path), series, path.name)
    axis, geometry = "T", _Geometry()
    if not _is_film(frames):
        _refuse_missing_positions(frames, path.name)
        frames, channel, time = pick_images(frames, channel, time, path.name)
        axis, geometry = "Z", _geometry(frames)
    pixels = _read_pixels(frames)
    stack, rgb, _ = pick_stack(
        LazyView(pixels),
        axis + ("YXS" if pixels.ndim == 4 else "YX"),
        name=path.name,
        channel=channel,
        time=time,
        is_colour=pixels.dtype in (np.uint8, np.uint16),
    )
    return make_volume(
        stack.read(),
        path.name,
        rgb=rgb,
        spacing_zyx=geometry.spacing_zyx,
        affine=geometry.affine,
        notes=geometry.notes,
    )


def _all_frames(path: Path) -> list[Frame]:
    """Return the frames of all images of a folder or file; copies of a file count once."""
    import SimpleITK as sitk

    paths = find_files(path) if path.is_dir() else [path]
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    frames: dict[tuple[str, int], Frame] = {}
    for file in paths:
        for frame in read_frames(file, reader):
            frames.setdefault((frame.instance, frame.index), frame)
    if frames:
        return list(frames.values())
    if paths and all(holds_no_image(file) for file in paths):
        raise ReadError(
            f"{path.name} holds no DICOM image but another object (segmentation, structure set, "
            "report); open the image series it belongs to"
        )
    raise ReadError(f"{path.name} is a folder without DICOM or Zarr images; choose another one")


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


def _read_pixels(frames: list[Frame]) -> np.ndarray:
    """Read the frames in their order as (N, Y, X) or (N, Y, X, samples).

    SimpleITK rescales 16 bit CT to 32 bit to be on the safe side; the values mostly fit into 16.
    """
    import SimpleITK as sitk

    kinds = {f.pixel_id for f in frames}
    dtypes = [sitk.GetArrayViewFromImage(sitk.Image([1, 1], kind)).dtype for kind in kinds]
    dtype = np.result_type(*dtypes)
    rows, columns, samples = frames[0].shape
    shape = (len(frames), rows, columns) + ((samples,) if samples > 1 else ())
    pixels = np.empty(shape, np.int16 if dtype == np.int32 else dtype)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    last, array = None, np.empty(0)
    for index, frame in enumerate(frames):
        if frame.path != last:
            last, array = frame.path, _read_file(reader, frame.path).reshape(-1, *shape[1:])
        plane = array[frame.index]
        if pixels.dtype != dtype and (plane.min() < -(2**15) or plane.max() >= 2**15):
            pixels = pixels.astype(dtype)
        pixels[index] = plane
    return pixels


def _read_file(reader: Any, path: Path) -> np.ndarray:
    import SimpleITK as sitk

    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise ReadError(
            f"{path.name} is damaged or compressed in an unknown way; copy or export it again"
        ) from error


def _geometry(frames: list[Frame]) -> _Geometry:
    """Place sorted slices; the step between them may be oblique to their plane (gantry tilt)."""
    first = frames[0]
    if first.pixel_spacing is None:
        return _Geometry()
    between_rows, between_columns = first.pixel_spacing
    thickness = first.thickness if first.thickness and first.thickness > 0 else 1.0
    if first.position is None or first.orientation is None:
        return _Geometry(spacing_zyx=(thickness, between_rows, between_columns))
    positions = np.array([frame.position for frame in frames], float)
    step = normal_of(first.orientation) * thickness
    if len(frames) > 1:
        step = (positions[-1] - positions[0]) / (len(frames) - 1)
    distance = float(np.linalg.norm(step))
    axes = np.reshape(first.orientation, (2, 3))
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    direction = np.column_stack([*axes, step / distance])
    affine = affine_from_itk(
        positions[0].tolist(), (between_columns, between_rows, distance), direction.ravel().tolist()
    )
    spacing = (distance, between_rows, between_columns)
    return _Geometry(affine, spacing, _notes_on(positions, step))


def _notes_on(positions: np.ndarray, step: np.ndarray) -> tuple[str, ...]:
    """Say it where slices are not where an even step puts them."""
    even = positions[0] + np.arange(len(positions))[:, np.newaxis] * step
    distance = float(np.linalg.norm(step))
    if np.linalg.norm(positions - even, axis=1).max() <= _OFF_GRID * distance:
        return ()
    gaps = [float(np.linalg.norm(b - a)) for a, b in pairwise(positions)]
    note = (
        f"the slice distance changes from {min(gaps):.4g} to {max(gaps):.4g} mm; the mean of "
        f"{distance:.4g} mm is used, so positions and volumes between the first and the last "
        "slice are approximate"
    )
    return (note,)
