"""RTSTRUCT: contours drawn on a series, turned into labels on its grid."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume
from stacksam.io.axes import Choice, pick_index
from stacksam.io.label_grids import LabelGrid
from stacksam.io.limits import check_declared
from stacksam.io.pydicom_files import read_header

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_structures(path: Path, like: Volume, *, channel: Choice = None) -> Volume:
    """Read the closed contours of an RTSTRUCT as labels on the grid of their image.

    A voxel belongs to a structure if its centre lies inside of an odd number of the structure's
    contours in its slice, so that a contour within another one is a hole.

    Parameters
    ----------
    path : Path
    like : Volume
        The image the contours were drawn on, with an affine.
    channel : int or str, optional
        Only this structure, by its place in the file or its name.

    Returns
    -------
    labels : Volume of shape (Z, Y, X), uint8 or uint16
        ROI numbers, or 1, 2, 3 ... where those do not fit; names in ``scan.label_names``. Where
        structures overlap the later one in the file wins and `notes` says so.

    Raises
    ------
    ReadError
        If pydicom is missing, the file is damaged or without closed contours, or the contours do
        not lie in the slices of `like`.
    """
    name = path.name
    dataset = read_header(path, "a DICOM structure set")
    try:
        structures = _structures(dataset)
    except (AttributeError, TypeError, ValueError) as error:
        raise ReadError(f"{name} lacks names or contours; export it again") from error
    structures = [structure for structure in structures if structure[2]]
    if not structures:
        raise ReadError(f"{name} holds no closed contour")
    if channel is not None:
        labels = [structure[1] for structure in structures]
        structures = [structures[pick_index(channel, len(structures), "channel", name, labels)]]
    numbers = [structure[0] for structure in structures]
    if len(set(numbers)) < len(numbers) or not all(0 < n < 2**16 for n in numbers):
        numbers = list(range(1, len(numbers) + 1))
    data, notes = _draw(structures, numbers, LabelGrid(like, name))
    names = tuple((n, s[1]) for n, s in zip(numbers, structures, strict=True))
    return Volume(
        data,
        like.spacing_zyx,
        like.affine,
        name=name,
        notes=(*like.notes, *notes),
        scan=ScanInfo(slice_positions=like.scan.slice_positions, label_names=names),
    )


_Structure = tuple[int, str, list[np.ndarray]]


def _structures(dataset: Any) -> list[_Structure]:
    """Return number, name and contours (N, 3) in mm (z, y, x) of each structure."""
    contours = {
        int(item.ReferencedROINumber): _contours(item)
        for item in dataset.get("ROIContourSequence") or []
    }
    return [
        (int(item.ROINumber), str(item.get("ROIName", "")), contours.get(int(item.ROINumber), []))
        for item in dataset.StructureSetROISequence
    ]


def _contours(item: Any) -> list[np.ndarray]:
    found = []
    for contour in item.get("ContourSequence") or []:
        if str(contour.get("ContourGeometricType", "CLOSED_PLANAR")) not in _CLOSED:
            continue
        points = np.array(contour.ContourData, float).reshape(-1, 3)[:, ::-1]
        if not np.isfinite(points).all():
            raise ValueError("contours are not numbers")
        if len(points) >= 3:
            found.append(points)
    return found


def _draw(
    structures: list[_Structure], numbers: list[int], grid: LabelGrid
) -> tuple[np.ndarray, list[str]]:
    from skimage.draw import polygon2mask

    shape = grid.volume.shape
    check_declared(grid.name, int(np.prod(shape, dtype=np.int64)) * 2)
    data = np.zeros(shape, np.min_scalar_type(max(numbers)))
    overlapping, outside = 0, 0
    for (_, _, contours), number in zip(structures, numbers, strict=True):
        planes: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(shape[1:], bool))
        for contour in contours:
            index, points_yx = grid.locate(contour)
            if index is None:
                outside += 1
            else:
                planes[index] ^= polygon2mask(shape[1:], points_yx)
        for index, mask in planes.items():
            overlapping += int(np.count_nonzero(data[index][mask]))
            data[index][mask] = number
    if not data.any():
        raise ReadError(f"{grid.name} lies outside of the image; choose the image it was drawn on")
    return data, _notes(overlapping, outside)


def _notes(overlapping: int, outside: int) -> list[str]:
    notes = []
    if overlapping:
        notes.append(
            f"{overlapping} voxels lie in more than one structure and went to the later one"
        )
    if outside:
        notes.append(f"{outside} contours lie outside of the image and were left out")
    return notes
