"""Real DICOM against the files beside it: voxels, places, contours, and segmentations of ours.

``voxels`` is the largest difference between a series and its NIfTI in the stored unit (HU, SUV),
``corners_mm`` the largest distance between a corner voxel in both. ``dice`` compares an RTSTRUCT or
SEG, read onto its series, with the reference mask. ``seg_voxels`` counts voxels that differ after
labels were written as DICOM SEG and read again, by us, by pydicom, by SimpleITK and by highdicom.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk

import stacksam
from stacksam.core.metrics import dice


def measure(data: str = "") -> dict[str, float]:
    """Differences and agreements by series.

    Parameters
    ----------
    data : str
        Folder of the data; by default the shared data beside the checkout.
    """
    home = Path(data or os.environ.get("STACKSAM_SHARED_DATA") or _beside()) / "radiology"
    series = sorted(path for path in home.glob("*/dicom/*") if path.is_dir())
    if not series:
        raise SystemExit("no DICOM series found; name the folder with --data")
    figures: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # changing slice distances
        for folder in series:
            for key, value in _figures_of(folder):
                figures[f"{folder.parent.parent.name}/{folder.name}_{key}"] = value
    return figures | {"series": float(len(series))}


def _beside() -> str:
    return str(Path(__file__).resolve().parents[2] / "shared" / "data")


def _figures_of(folder: Path) -> Iterator[tuple[str, float]]:
    home, name = folder.parent.parent, folder.name
    volume = stacksam.read(folder)
    nifti = home / "volumes" / f"{name}.nii.gz"
    truth = home / "volume_masks" / f"{name}.nii.gz"
    if nifti.is_file():
        expected = stacksam.read(nifti)
        yield "voxels", float(np.abs(volume.data.astype(float) - expected.data).max())
        yield "corners_mm", _apart(volume, expected)
    for path in sorted((home / "dicom_rtstruct" / name).glob("*.dcm")):
        labels = stacksam.read_labels(path, like=volume)
        yield "rtstruct_dice", dice(stacksam.read(truth).data > 0, labels.data > 0)
    if name == "ct_3slice":
        labels = stacksam.read_labels(home / "dicom_seg" / "liver" / "liver.dcm", like=volume)
        reference = stacksam.read(truth).data  # the heart (3) wins where both overlap
        yield "seg_dice", dice(reference == 1, (labels.data > 0) & (reference != 3))
    yield from _round_trip(volume)


def _apart(volume: stacksam.Volume, other: stacksam.Volume) -> float:
    corners = np.array(list(product(*[(0, n - 1) for n in volume.shape])))
    return float(np.abs(volume.positions_mm(corners) - other.positions_mm(corners)).max())


def _round_trip(volume: stacksam.Volume) -> Iterator[tuple[str, float]]:
    labels = np.zeros(volume.shape, np.uint8)
    z, y, x = (n // 2 for n in volume.shape)
    labels[z:, y : y + 9, x : x + 12], labels[: z + 1, y - 5 : y, x - 7 : x] = 1, 2
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "labels.dcm"
        stacksam.write_labels(path, labels, like=volume)
        own = stacksam.read(path)
        yield "seg_voxels_stacksam", float(np.count_nonzero(own.data != labels))
        yield "seg_corners_mm", _apart(own, volume)
        for program, load in (("pydicom", _pydicom_frames), ("simpleitk", _itk_frames)):
            found = _assembled(path, load, volume)
            yield f"seg_voxels_{program}", float(np.count_nonzero(found != labels))
        found = _highdicom_labels(path, volume)
        yield "seg_voxels_highdicom", float(np.count_nonzero(found != labels))


def _highdicom_labels(path: Path, volume: stacksam.Volume) -> np.ndarray:
    """Ask for the segments of each file of the series."""
    headers = (pydicom.dcmread(s.path, stop_before_pixels=True) for s in volume.scan.sources)
    return highdicom.seg.segread(path).get_pixels_by_source_instance(
        [header.SOPInstanceUID for header in headers],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )


def _pydicom_frames(path: Path) -> np.ndarray:
    return pydicom.dcmread(path).pixel_array


def _itk_frames(path: Path) -> np.ndarray:
    """Read the frames by GDCM, which leaves up to seven voxels behind the last full byte unset."""
    frames = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    frames.reshape(-1)[frames.size // 8 * 8 :] = 0
    return frames


def _assembled(
    path: Path, load: Callable[[Path], np.ndarray], volume: stacksam.Volume
) -> np.ndarray:
    """Put frames into their slices by what the file says about them."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    starts = volume.positions_mm([[z, 0, 0] for z in range(volume.shape[0])])[:, ::-1]
    found = np.zeros(volume.shape, np.uint8)
    groups = dataset.PerFrameFunctionalGroupsSequence
    for frame, group in zip(load(path), groups, strict=True):
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        z = np.linalg.norm(starts - place, axis=1).argmin()
        found[z][frame > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return found
