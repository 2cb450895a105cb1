"""`read`: any supported file to a `Volume`, any problem to one sentence."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io import dicom, pictures, sitk_images, tiff, zarr_images
from stacksam.io.atomic import full_suffix
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.dicom_headers import is_dicom
from stacksam.io.lazy_view import LazyView

Reader = Callable[[Path, str, Choice, int | None, Choice], Volume]


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
    single DICOM file (``.dcm .dicom .ima``) is the image it holds.

    Parameters
    ----------
    path : str or path-like
        The file or folder.
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
    path = Path(path)
    kind, reader = _reader_of(path)
    try:
        volume = reader(path, kind, channel, time, series)
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
    for note in volume.notes:
        warnings.warn(f"{path.name}: {note}", UserWarning, stacklevel=2)
    return volume


def _reader_of(path: Path) -> tuple[str, Reader]:
    """Return the kind of a file or folder, for messages, and its reader."""
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
    is_large = path.stat().st_size > tiff.LAZY_BYTES
    array = np.load(path, mmap_mode="r" if is_large else None, allow_pickle=False)
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
    ".npy": _read_npy,
}
