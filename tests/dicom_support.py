"""Small DICOM files for tests, written with SimpleITK."""

from __future__ import annotations

import itertools

import numpy as np
import SimpleITK as sitk

CT = "1.2.840.10008.5.1.4.1.1.2"
UPRIGHT = (1, 0, 0, 0, 1, 0)
_instances = itertools.count(1)


def write_slice(
    path,
    array,
    *,
    position=None,
    orientation=UPRIGHT,
    spacing=(0.5, 0.7),
    rescale=None,
    series="1.2.3",
    **tags,
):
    """Write one file; other header values as t0020_0013="4"."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    header = {
        "0008|0016": CT,
        "0008|0018": f"1.2.826.{next(_instances)}",
        "0008|0060": "CT",
        "0020|000d": "1.2",
        "0020|000e": series,
        "0010|0010": "Secret^Name",
    }
    if position is not None:
        header["0020|0032"] = "\\".join(f"{v:.9g}" for v in position)
        header["0020|0037"] = "\\".join(f"{v:.9g}" for v in orientation)
    if rescale is not None:
        header["0028|1053"], header["0028|1052"] = map(str, rescale)
    header |= {name[1:].replace("_", "|"): value for name, value in tags.items()}
    for tag, value in header.items():
        image.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    writer.Execute(image)
    return path


def write_series(folder, stack, *, start=(-10, -20, 30), step=(0, 0, 3), order=None, **options):
    """Write a folder of slices, `order` being the slices' sequence by file name."""
    folder.mkdir(exist_ok=True)
    for number, z in enumerate(order or range(len(stack))):
        position = np.asarray(start) + z * np.asarray(step)
        write_slice(folder / f"{number:03}.dcm", stack[z], position=position, **options)
    return folder
