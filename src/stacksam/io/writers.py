"""`write_labels`: labels in the geometry of the image they belong to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.volume import Volume
from stacksam.io import sitk_images, zarr_labels
from stacksam.io.atomic import atomic_folder, atomic_path, full_suffix
from stacksam.io.dicom_seg_writer import write_segmentation
from stacksam.io.geometry import is_orthonormal, itk_from_volume
from stacksam.io.readers import read_labels

_IMAGEJ_BYTES = 2**31  # larger stacks are written as BigTIFF with OME metadata


def write_labels(
    path: str | os.PathLike[str],
    labels: Any,
    like: Volume | None = None,
    names: Mapping[int, str] | None = None,
) -> None:
    """Write a label image, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        The extension chooses the format: ``.nii .nii.gz .nrrd .mha`` keep spacing, origin and
        direction; ``.tif .tiff`` (ImageJ) and ``.ome.tif .ome.tiff`` keep the spacing; ``.png``
        holds a single slice and no spacing. ``.ome.zarr`` is an OME-Zarr 0.4 label image in levels
        and keeps the spacing for every reader, direction and origin for ours; ``.zarr`` is a plain
        array with the geometry in its attributes. ``image.ome.zarr/labels/NAME`` adds the labels to
        an existing image. ``.dcm`` is a DICOM SEG, for an image read from DICOM (extra ``dicom``).
        An existing file is replaced; a folder only if it holds such labels.
    labels : array-like of shape (Z, Y, X) or (Y, X), integer or bool
        0 is background. Stored in the smallest of uint8, uint16 and uint32 that holds them. Zarr
        formats take a lazy array a few slices at a time.
    like : Volume, optional
        The image the labels belong to; its geometry is written.
    names : mapping of label id to name, optional
        Kept by DICOM SEG; the other formats hold numbers only.

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
    if zarr_labels.is_zarr_target(path):
        _write_folder(path, labels, like)
        return
    if write is None:
        raise WriteError(
            f"{path.name} has an extension labels cannot be written to; use one of "
            f"{', '.join(sorted((*_WRITERS, '.zarr', '.ome.zarr')))}"
        )
    stack = np.asarray(_as_stack(labels, like))
    stack = stack.astype(_smallest_type(stack))
    with atomic_path(path) as temporary, _explained(path):
        if suffix == ".dcm":
            write_segmentation(temporary, stack, like, names)
        else:
            write(temporary, stack, like)
        _verify(temporary, stack, like)


def _write_folder(path: Path, labels: Any, like: Volume | None) -> None:
    stack = _as_stack(labels, like)
    dtype = _smallest_type(stack)
    with _explained(path):
        zarr_labels.check_target(path)
        zarr_labels.prepare_labels_group(path)
        with atomic_folder(path) as temporary:
            zarr_labels.write_zarr(temporary, path, stack, dtype, like)
            _verify(temporary, stack, like)
        zarr_labels.register_label(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what format libraries raise into one sentence."""
    try:
        yield
    except (RuntimeError, ReadError) as error:
        raise WriteError(
            f"{path.name} was not written: the disk may be full or the folder write-protected; "
            "free some space or choose another folder"
        ) from error


def _as_stack(labels: Any, like: Volume | None) -> Any:
    """Return the labels as an array-like (Z, Y, X), lazy if they are."""
    stack = labels if hasattr(labels, "dtype") and np.ndim(labels) == 3 else np.asarray(labels)
    if stack.ndim == 2:
        stack = stack[np.newaxis]
    if stack.ndim != 3 or 0 in stack.shape:
        raise ValueError(f"labels have shape {np.shape(labels)}; expected (Z, Y, X), none of it 0")
    if like is not None and stack.shape != like.shape:
        raise ValueError(f"labels have shape {stack.shape}, but the image has {like.shape}")
    return stack


def _smallest_type(stack: Any) -> type[np.unsignedinteger]:
    """Return the smallest type that holds the labels, which are looked through slab by slab."""
    low, high = 0, 0
    for _, slab in zarr_labels.slabs(stack):
        if slab.dtype.kind not in "biu":
            _refuse_fractions(slab)
        low, high = min(low, slab.min()), max(high, slab.max())
    if low < 0:
        raise ValueError(f"labels hold {low}; label ids are 0 (background) or positive")
    for dtype in (np.uint8, np.uint16, np.uint32):
        if high <= np.iinfo(dtype).max:
            return dtype
    raise ValueError(f"labels hold {high}; the largest id a file can hold is 4294967295")


def _refuse_fractions(stack: np.ndarray) -> None:
    if stack.dtype.kind != "f" or not np.isfinite(stack).all() or (stack != np.trunc(stack)).any():
        raise ValueError(
            f"labels of dtype {stack.dtype} hold values that are not whole numbers; pass integers"
        )


def _verify(path: Path, stack: Any, like: Volume | None) -> None:
    """Read the file back; ITK's NIfTI writer reports success on a full disk."""
    again = read_labels(path, like if full_suffix(path) == ".dcm" else None).data
    if not all(np.array_equal(again[part], slab) for part, slab in zarr_labels.slabs(stack)):
        raise WriteError("the written labels differ from the given ones; the disk may be failing")


def _write_sitk(path: Path, stack: np.ndarray, like: Volume | None) -> None:
    import SimpleITK as sitk

    origin, spacing, direction = itk_from_volume(like)
    is_sheared = not is_orthonormal(direction)
    image = sitk.GetImageFromArray(stack)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    if not is_sheared or not full_suffix(path).startswith(".nii"):
        image.SetDirection(direction)
    with sitk_images.quiet_itk():
        sitk.WriteImage(image, str(path), useCompression=True)
    if is_sheared and like is not None and full_suffix(path).startswith(".nii"):
        sitk_images.set_sform(path, like)


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
    ".dcm": write_segmentation,
}
