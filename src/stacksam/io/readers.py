"""`read`: any supported file to a `Volume`, any problem to one sentence."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io import dicom, pictures, sitk_images, tiff, zarr_images
from stacksam.io.atomic import full_suffix
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.dicom_files import SEGMENTATIONS, STRUCTURE_SET, is_dicom, storage_class
from stacksam.io.dicom_seg import read_segmentation
from stacksam.io.lazy_view import LazyView
from stacksam.io.remote import Address, located
from stacksam.io.rtstruct import read_structures

Reader = Callable[[Any, str, Choice, int | None, Choice], Volume]


def read(
    path: str | os.PathLike[str],
    channel: int | str | None = None,
    time: int | None = None,
    series: int | str | None = None,
) -> Volume:
    """Read an image file or folder; voxels are never flipped or reordered.

    NIfTI, NRRD and MetaImage (``.nii .nii.gz .nrrd .nhdr .mha .mhd``) keep their geometry and equal
    `SimpleITK.GetArrayFromImage`; TIFF, ImageJ and OME-TIFF (``.tif .tiff .btf .tf8 .lsm``) follow
    their axes metadata; ``.png .jpg .jpeg .bmp`` are one slice; ``.npy`` is (Z, Y, X). A folder is
    a DICOM series, whose slices ascend along their normal, or an OME-Zarr image or Zarr array; a
    single DICOM file (``.dcm .dicom .ima``) is the image it holds, a ``.zip`` the series in it.

    Parameters
    ----------
    path : str or path-like
        The file or folder, or the address of an OME-Zarr image or Zarr array: https, http or s3
        (extra ``remote``). Only metadata is fetched, and later the chunks that are needed.
    channel : int or str, optional
        Which channel, where there are several; by name if OME metadata has names.
    time : int, optional
        Which time point. Without it a time-lapse of single planes keeps time as axis 0.
    series : int or str, optional
        Which image of a TIFF that holds several; which series of a DICOM folder, by its index in
        the listing or its SeriesInstanceUID; which level of an OME-Zarr image (0, the finest,
        without it).

    Returns
    -------
    volume : Volume
        (Z, Y, X), or (Z, Y, X, 3) with `rgb`. Unknown spacing is None. Zarr is never loaded but
        read where needed, and so are TIFF and npy files above 1 GiB. Where the slice distance of a
        DICOM series changes, `Volume.notes` (and a `UserWarning`) says so.

    Raises
    ------
    ReadError
        If the file is missing, damaged, of an unknown kind, or holds several channels, time points
        or series and none is chosen. The message says what to do.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> np.save(folder / "stack.npy", np.zeros((3, 4, 5), np.uint8))
    >>> read(folder / "stack.npy")
    Volume((3, 4, 5), uint8, spacing_zyx=None)
    """
    source = located(path)
    kind, reader = _reader_of(source)
    volume = _in_a_sentence(source, kind, lambda: reader(source, kind, channel, time, series))
    for note in volume.notes:
        warnings.warn(f"{source.name}: {note}", UserWarning, stacklevel=2)
    return volume


def read_labels(
    path: str | os.PathLike[str], like: Volume | None = None, channel: int | str | None = None
) -> Volume:
    """Read labels, in the grid of the image they belong to.

    Parameters
    ----------
    path : str or path-like
        A label image of any format `read` knows, a DICOM SEG, or an RTSTRUCT.
    like : Volume, optional
        The image. A DICOM SEG, which may leave out empty slices, is completed to its grid; the
        contours of an RTSTRUCT need it.
    channel : int or str, optional
        One segment or structure, by its place in the file or its name.

    Returns
    -------
    labels : Volume of shape (Z, Y, X), integer
        Names, where the file holds some, in ``scan.label_names``.

    Raises
    ------
    ReadError
        As for `read`, or if the labels hold no integers or do not fit `like`.
    """
    source = located(path)
    kind, _ = _reader_of(source)
    volume = _in_a_sentence(source, kind, lambda: _read_labels(source, like, channel))
    known = () if like is None else like.notes
    for note in volume.notes:
        if note not in known:
            warnings.warn(f"{source.name}: {note}", UserWarning, stacklevel=2)
    return volume


def _read_labels(path: Path | Address, like: Volume | None, channel: Choice) -> Volume:
    if isinstance(path, Path) and path.is_file():
        object_class = storage_class(path)
        if object_class in SEGMENTATIONS:
            return read_segmentation(path, like=like, channel=channel)
        if object_class == STRUCTURE_SET and like is not None:
            return read_structures(path, like, channel=channel)
    kind, reader = _reader_of(path)
    volume = reader(path, kind, channel, None, None)
    if volume.rgb or volume.dtype.kind not in "biu":
        volume = _whole_numbers(volume, path.name)
    if like is not None and volume.shape != like.shape:
        raise ReadError(
            f"{path.name} has shape {volume.shape}, but the image has {like.shape}; choose the "
            "image the labels belong to"
        )
    return volume


def _whole_numbers(volume: Volume, name: str) -> Volume:
    """Turn labels that a program stored as real numbers back into integers."""
    values = np.asarray(volume.data)
    with np.errstate(invalid="ignore"):
        is_whole = bool((values == np.trunc(values)).all()) and values.min() >= 0
    if volume.rgb or not is_whole or values.max() >= 2**32:
        raise ReadError(
            f"{name} holds {volume.dtype} values{' in colour' if volume.rgb else ''}; labels are "
            "whole numbers from 0 on"
        )
    labels = values.astype(np.min_scalar_type(int(values.max())))
    return Volume(
        labels, volume.spacing_zyx, volume.affine, False, volume.name, volume.notes, volume.scan
    )


def _in_a_sentence(path: Path | Address, kind: str, work: Callable[[], Volume]) -> Volume:
    """Run a reader; whatever it raises becomes a `ReadError` of one sentence."""
    try:
        return work()
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError(
            f"{path.name} does not fit into memory; close other programs or crop it"
        ) from error
    except PermissionError as error:
        raise ReadError(f"{path.name} cannot be opened: no permission") from error
    except Exception as error:  # parsers raise anything on bytes they did not expect
        raise ReadError(
            f"{path.name} is damaged or not a {kind} {'folder' if path.is_dir() else 'file'}; open "
            "it in the program it comes from and export it again"
        ) from error


def _reader_of(path: Path | Address) -> tuple[str, Reader]:
    """Return the kind of a file or folder, for messages, and its reader."""
    if isinstance(path, Address):
        if full_suffix(Path(path.name)) in _READERS:
            raise ReadError(
                f"only Zarr is read from an address; download {path.name} and open the file"
            )
        return "Zarr", zarr_images.read_zarr
    if path.is_dir():
        is_zarr = zarr_images.is_zarr(path)
        return ("Zarr", zarr_images.read_zarr) if is_zarr else ("DICOM", dicom.read_dicom)
    if not path.is_file():
        raise ReadError(f"{path.name} does not exist; check the path")
    if path.stat().st_size == 0:
        raise ReadError(f"{path.name} is empty (0 bytes); copy or export it again")
    suffix = full_suffix(path)
    if suffix in _READERS:
        return suffix, _READERS[suffix]
    if is_dicom(path):  # its files often have no extension
        return "DICOM", dicom.read_dicom
    raise ReadError(
        f"{path.name} has an extension StackSAM does not know; supported are "
        f"{', '.join(sorted(_READERS))}"
    )


def _read_npy(path: Path, suffix: str, channel: Choice, time: int | None, series: Choice) -> Volume:
    """Read (Y, X), (Z, Y, X) or (T, Z, Y, X); a last axis of 3 in uint8 is colour."""
    pick_index(series, 1, "series", path.name)
    array = np.load(path, mmap_mode="r", allow_pickle=False)  # checks the length it declares
    is_large = array.nbytes > tiff.LAZY_BYTES
    if not is_large:
        array = np.array(array)
    is_colour = array.ndim > 2 and array.shape[-1] == 3 and array.dtype == np.uint8
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(array.ndim - int(is_colour))
    if axes is None:
        raise ReadError(
            f"{path.name} has shape {array.shape}; save (Y, X), (Z, Y, X) or (T, Z, Y, X)"
        )
    stack, rgb, _ = pick_stack(
        LazyView(array),
        axes + ("S" if is_colour else ""),
        name=path.name,
        channel=channel,
        time=time,
        is_colour=is_colour,
    )
    return make_volume(stack if is_large else stack.read(), path.name, rgb=rgb)


_READERS: dict[str, Reader] = {
    **dict.fromkeys(sitk_images.IMAGE_IO, sitk_images.read_sitk),
    **dict.fromkeys(tiff.SUFFIXES, tiff.read_tiff),
    **dict.fromkeys(pictures.SUFFIXES, pictures.read_picture),
    **dict.fromkeys(dicom.SUFFIXES, dicom.read_dicom),
    ".zip": dicom.read_zip,
    ".npy": _read_npy,
}
