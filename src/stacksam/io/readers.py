"""`read`: any supported file to a `Volume`, any problem to one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io import pictures, sitk_images, tiff
from stacksam.io.atomic import full_suffix
from stacksam.io.axes import Choice, make_volume, pick_index, pick_stack
from stacksam.io.lazy_view import LazyView

Reader = Callable[[Path, str, Choice, int | None, int | None], Volume]


def read(
    path: str | os.PathLike[str],
    channel: int | str | None = None,
    time: int | None = None,
    series: int | None = None,
) -> Volume:
    """Read an image file; voxels are never flipped or reordered.

    NIfTI, NRRD and MetaImage (``.nii .nii.gz .nrrd .nhdr .mha .mhd``) keep their geometry and equal
    `SimpleITK.GetArrayFromImage`; TIFF, ImageJ and OME-TIFF (``.tif .tiff .btf .tf8 .lsm``) follow
    their axes metadata; ``.png .jpg .jpeg .bmp`` are one slice; ``.npy`` is (Z, Y, X).

    Parameters
    ----------
    path : str or path-like
        The file.
    channel : int or str, optional
        Which channel, where there are several; by name if OME metadata has names.
    time : int, optional
        Which time point. Without it a time-lapse of single planes keeps time as axis 0.
    series : int, optional
        Which image of a TIFF that holds several.

    Returns
    -------
    volume : Volume
        (Z, Y, X), or (Z, Y, X, 3) with `rgb`. Unknown spacing is None. TIFF and npy files above
        1 GiB are not loaded but read where needed.

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
    suffix = full_suffix(path)
    _check_file(path)
    reader = _READERS.get(suffix)
    if reader is None:
        raise ReadError(
            f"{path.name} has an extension StackSAM does not know; supported are "
            f"{', '.join(sorted(_READERS))}"
        )
    try:
        return reader(path, suffix, channel, time, series)
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
            f"{path.name} is damaged or not a {suffix} file; open it in the program it comes from "
            "and export it again"
        ) from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ReadError(
            f"{path.name} is a folder; DICOM series and OME-Zarr cannot be read yet, so convert it "
            "to NIfTI, NRRD or TIFF"
        )
    if not path.is_file():
        raise ReadError(f"{path.name} does not exist; check the path")
    if path.stat().st_size == 0:
        raise ReadError(f"{path.name} is empty (0 bytes); copy or export it again")


def _read_npy(
    path: Path, suffix: str, channel: Choice, time: int | None, series: int | None
) -> Volume:
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
    ".npy": _read_npy,
}
