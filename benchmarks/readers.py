"""Largest differences between DICOM series and the NIfTI files beside them, as we read both.

``voxels`` is in the stored unit (HU, SUV), ``relative`` to the largest value of the NIfTI,
``corners_mm`` how far apart the two put a corner voxel of the volume, ``spacing_mm`` the difference
of the voxel sizes. A pair is ``DATASET/dicom/NAME`` and ``DATASET/volumes/NAME.nii.gz``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

import stacksam


def measure(data: str = "") -> dict[str, float]:
    """Differences by series, and the largest ones.

    Parameters
    ----------
    data : str
        Folder of the data; by default the shared data beside the checkout.
    """
    figures: dict[str, float] = {}
    found: list[dict[str, float]] = []
    for series, nifti in pairs(Path(data or shared_data()) / "radiology"):
        found.append(differences(stacksam.read(series), stacksam.read(nifti)))
        name = f"{series.parent.parent.name}/{series.name}"
        figures |= {f"{name}_{key}": value for key, value in found[-1].items()}
    if not found:
        raise SystemExit("no DICOM series has a NIfTI beside it; name the folder with --data")
    figures |= {f"largest_{key}": max(each[key] for each in found) for key in found[0]}
    return figures | {"series": float(len(found))}


def shared_data() -> str:
    """Where the shared data is: STACKSAM_SHARED_DATA, or beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return os.environ.get("STACKSAM_SHARED_DATA", str(beside))


def pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Series that have a NIfTI beside them."""
    for series in sorted(folder.glob("*/dicom/*")):
        nifti = series.parent.parent / "volumes" / f"{series.name}.nii.gz"
        if nifti.is_file():
            yield series, nifti


def differences(volume: stacksam.Volume, expected: stacksam.Volume) -> dict[str, float]:
    """How far two readings of one image differ.

    Raises
    ------
    ValueError
        If they cannot be compared.
    """
    if volume.shape != expected.shape or volume.affine is None or expected.affine is None:
        raise ValueError(f"shapes {volume.shape} and {expected.shape} or places are not the same")
    reference = np.asarray(expected.data, np.float64)
    voxels = float(np.abs(np.asarray(volume.data, np.float64) - reference).max())
    corners = np.array([[*c, 1] for c in product(*((0, n - 1) for n in volume.shape))])
    spacings = np.subtract(volume.spacing_zyx, expected.spacing_zyx)
    return {
        "voxels": voxels,
        "relative": voxels / float(np.abs(reference).max()),
        "corners_mm": float(np.abs(corners @ (volume.affine - expected.affine).T).max()),
        "spacing_mm": float(np.abs(spacings).max()),
    }
