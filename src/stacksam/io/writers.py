"""`write_labels`: labels in the geometry of the image they belong to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.volume import Volume
from stacksam.io import sitk_images
from stacksam.io.atomic import atomic_path, full_suffix
from stacksam.io.geometry import is_orthonormal, itk_from_volume
from stacksam.io.readers import read

_IMAGEJ_BYTES = 2**31  # larger stacks are written as BigTIFF with OME metadata


def write_labels(path: str | os.PathLike[str], labels: Any, like: Volume | None = None) -> None:
    """Write a label image, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        The extension chooses the format: ``.nii .nii.gz .nrrd .mha`` keep spacing, origin and
        direction; ``.tif .tiff`` (ImageJ) and ``.ome.tif .ome.tiff`` keep the spacing; ``.png``
        holds a single slice and no spacing. An existing file is replaced.
    labels : array-like of shape (Z, Y, X) or (Y, X), integer or bool
        0 is background. Stored in the smallest of uint8, uint16 and uint32 that holds them.
    like : Volume, optional
        The image the labels belong to; its geometry is written.

    Raises
    ------
    ValueError
        If shapes differ, or labels are negative, fractional or above 4294967295.
    WriteError
        If the format cannot hold the labels, or the disk is full or write-protected.

    Examples
    --------
    >>> from stacksam.io import read
    >>> folder = getfixture("tmp_path")
    >>> image = Volume(np.zeros((4, 5, 6), np.int16), spacing_zyx=(3.0, 0.5, 0.5))
    >>> write_labels(folder / "labels.nrrd", image.data > 0, like=image)
    >>> read(folder / "labels.nrrd")
    Volume((4, 5, 6), uint8, spacing_zyx=(3.0, 0.5, 0.5))
    """
    path = Path(path)
    suffix = full_suffix(path)
    write = _WRITERS.get(suffix)
    if write is None:
        raise WriteError(
            f"{path.name} has an extension labels cannot be written to; use one of "
            f"{', '.join(sorted(_WRITERS))}"
        )
    stack = _checked_labels(labels, like)
    with atomic_path(path) as temporary:
        try:
            write(temporary, stack, like)
            _verify(temporary, stack)
        except (RuntimeError, ReadError) as error:
            raise WriteError(
                f"{path.name} was not written: the disk may be full or the folder write-protected; "
                "free some space or choose another folder"
            ) from error


def _checked_labels(labels: Any, like: Volume | None) -> np.ndarray:
    """Return the labels as (Z, Y, X) in the smallest fitting type."""
    stack = np.asarray(labels)
    if stack.ndim == 2:
        stack = stack[np.newaxis]
    if stack.ndim != 3 or stack.size == 0:
        raise ValueError(f"labels have shape {np.shape(labels)}; expected (Z, Y, X), none of it 0")
    if like is not None and stack.shape != like.shape:
        raise ValueError(f"labels have shape {stack.shape}, but the image has {like.shape}")
    if stack.dtype.kind not in "biu":
        _refuse_fractions(stack)
    low, high = stack.min(), stack.max()
    if low < 0:
        raise ValueError(f"labels hold {low}; label ids are 0 (background) or positive")
    for dtype in (np.uint8, np.uint16, np.uint32):
        if high <= np.iinfo(dtype).max:
            return stack.astype(dtype)
    raise ValueError(f"labels hold {high}; the largest id a file can hold is 4294967295")


def _refuse_fractions(stack: np.ndarray) -> None:
    if stack.dtype.kind != "f" or not np.isfinite(stack).all() or (stack != np.trunc(stack)).any():
        raise ValueError(
            f"labels of dtype {stack.dtype} hold values that are not whole numbers; pass integers"
        )


def _verify(path: Path, stack: np.ndarray) -> None:
    """Read the file back; ITK's NIfTI writer reports success on a full disk."""
    if not np.array_equal(np.asarray(read(path).data), stack):
        raise WriteError("the written labels differ from the given ones; the disk may be failing")


def _write_sitk(path: Path, stack: np.ndarray, like: Volume | None) -> None:
    import SimpleITK as sitk

    origin, spacing, direction = itk_from_volume(like)
    if full_suffix(path).startswith(".nii") and not is_orthonormal(direction):
        raise WriteError("NIfTI cannot hold the image's sheared voxel grid; write .nrrd instead")
    image = sitk.GetImageFromArray(stack)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    with sitk_images.quiet_itk():
        sitk.WriteImage(image, str(path), useCompression=True)


def _write_tiff(path: Path, stack: np.ndarray, like: Volume | None) -> None:
    if stack.dtype == np.uint32 or stack.nbytes > _IMAGEJ_BYTES:
        _write_ome_tiff(path, stack, like)
        return
    import tifffile

    # All six of ImageJ's axes: a last axis of length 1 would be taken for samples.
    metadata: dict[str, Any] = {"axes": "TZCYXS"}
    resolution = None
    if like is not None and like.spacing_zyx is not None:
        unit, scale = ("mm", 1.0) if min(like.spacing_zyx) >= 0.1 else ("micron", 1000.0)
        z, y, x = (step * scale for step in like.spacing_zyx)
        metadata |= {"spacing": z, "unit": unit}
        resolution = (1 / x, 1 / y)
    tifffile.imwrite(
        path,
        stack[np.newaxis, :, np.newaxis, ..., np.newaxis],
        imagej=True,
        metadata=metadata,
        resolution=resolution,
        photometric="minisblack",
        compression="zlib",
    )


def _write_ome_tiff(path: Path, stack: np.ndarray, like: Volume | None) -> None:
    import tifffile

    metadata: dict[str, Any] = {"axes": "ZYX"}
    if like is not None and like.spacing_zyx is not None:
        for letter, step in zip("ZYX", like.spacing_zyx, strict=True):
            metadata |= {f"PhysicalSize{letter}": step, f"PhysicalSize{letter}Unit": "mm"}
    tifffile.imwrite(
        path,
        stack,
        ome=True,
        bigtiff=stack.nbytes > _IMAGEJ_BYTES,
        metadata=metadata,
        photometric="minisblack",
        compression="zlib",
    )


def _write_png(path: Path, stack: np.ndarray, like: Volume | None) -> None:
    from PIL import Image

    if stack.shape[0] != 1:
        raise WriteError(f"PNG holds one slice, not {stack.shape[0]}; write .tif or .nii.gz")
    if stack.dtype == np.uint32:
        raise WriteError("PNG holds label ids up to 65535; write .tif or .nii.gz")
    Image.fromarray(stack[0]).save(path)


_Writer = Callable[[Path, np.ndarray, Volume | None], None]
_WRITERS: dict[str, _Writer] = {
    **dict.fromkeys((".nii", ".nii.gz", ".nrrd", ".mha"), _write_sitk),
    **dict.fromkeys((".tif", ".tiff"), _write_tiff),
    **dict.fromkeys((".ome.tif", ".ome.tiff"), _write_ome_tiff),
    ".png": _write_png,
}
