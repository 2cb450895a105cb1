"""DICOM SEG out: labels as segments that refer to the series they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import WriteError
from stacksam.core.scan_info import SourceSlice
from stacksam.core.volume import Volume
from stacksam.io.dicom_codes import codes_of
from stacksam.io.dicom_seg import PROGRAM
from stacksam.io.pydicom_files import HOW_TO_INSTALL, header_from_bytes, quiet_pydicom
from stacksam.io.zips import read_member

NOTE = "Research use only, not a medical device"
_MAX_FULL_BYTES = 2**25  # up to this size empty frames are written too
_NEEDED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)


def write_segmentation(
    path: Path, stack: np.ndarray, like: Volume | None, names: Mapping[int, str] | None = None
) -> None:
    """Write labels as a DICOM SEG of the series they were drawn on.

    Each label becomes a binary segment, made semi-automatically by this version of StackSAM; its
    id is kept in the tracking identifier. Patient and study are those of the series.

    Parameters
    ----------
    path : Path
    stack : ndarray of shape (Z, Y, X), unsigned
    like : Volume
        Read from a DICOM series, file or ZIP archive that is still in its place.
    names : mapping of label id to name, optional
        English anatomical names give DICOM's codes for them.

    Raises
    ------
    WriteError
        If `like` does not come from DICOM, its files are gone, highdicom is missing, or there is
        no label at all.
    """
    if like is None or not like.scan.sources:
        raise WriteError(
            "DICOM SEG refers to the DICOM series the labels were drawn on, and this image was "
            "not read from one; write .nii.gz or .nrrd"
        )
    if find_spec("highdicom") is None:
        raise WriteError(f"writing DICOM SEG needs highdicom: {HOW_TO_INSTALL}")
    label_ids = [int(i) for i in np.unique(stack) if i]
    if not label_ids:
        raise WriteError("the labels are empty, and DICOM SEG needs one object at least")
    sources, frames = _source_headers(like.scan.sources, stack)
    segments = np.searchsorted(label_ids, frames) + 1
    segments = np.where(frames > 0, segments, 0).astype(np.uint16)
    try:
        with quiet_pydicom():
            dataset = _build(sources, segments, label_ids, dict(names or {}), like)
            dataset.save_as(path, enforce_file_format=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WriteError(
            "the series lacks header values that a DICOM SEG needs; write .nii.gz or .nrrd"
        ) from error


def _source_headers(
    sources: Sequence[SourceSlice], stack: np.ndarray
) -> tuple[list[Any], np.ndarray]:
    """Return the source images' headers and the labels in their order of frames."""
    files = list(dict.fromkeys((source.path, source.member) for source in sources))
    headers = [_source_header(*file) for file in files]
    counts = [int(header.get("NumberOfFrames", 1) or 1) for header in headers]
    if max(counts) == 1:
        return headers, stack
    if len(files) > 1:
        raise WriteError(
            "the image is spread over several multi-frame files, which a DICOM SEG cannot refer "
            "to; write .nii.gz or .nrrd"
        )
    frames = np.zeros((counts[0], *stack.shape[1:]), stack.dtype)
    frames[[source.frame for source in sources]] = stack
    return headers, frames


def _source_header(path: str, member: str) -> Any:
    name = Path(path).name
    try:
        content = read_member(path, member) if member else Path(path).read_bytes()
    except (OSError, KeyError) as error:
        raise WriteError(
            f"the DICOM file {name} is no longer where it was read from; put it back, or write "
            ".nii.gz or .nrrd"
        ) from error
    dataset = header_from_bytes(content, name)
    for keyword in _NEEDED:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if not dataset.get("SpecificCharacterSet"):
        dataset.SpecificCharacterSet = "ISO_IR 100"
    return dataset


def _build(
    sources: list[Any],
    segments: np.ndarray,
    label_ids: list[int],
    names: dict[int, str],
    like: Volume,
) -> Any:
    from highdicom import PixelMeasuresSequence
    from highdicom.seg import Segmentation, SegmentationTypeValues
    from highdicom.uid import UID

    from stacksam import __version__

    size = segments.size * len(label_ids) // 8
    distance, between_rows, between_columns = like.spacing_zyx or (1.0, 1.0, 1.0)
    is_even = like.scan.slice_positions is None
    for source in sources:  # highdicom takes these over
        source.SpacingBetweenSlices = distance
        if not is_even:
            del source.SpacingBetweenSlices
        if source.get("SliceThickness") is None:
            source.SliceThickness = distance
    return Segmentation(
        source_images=sources,
        pixel_array=segments,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, label_id, names.get(label_id, ""), __version__)
            for number, label_id in enumerate(label_ids, start=1)
        ],
        series_instance_uid=UID(),
        series_number=_series_number(sources[0]),
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=PROGRAM,
        software_versions=__version__,
        device_serial_number="none",
        content_label="SEGMENTATION",
        content_description=NOTE,
        series_description=f"{PROGRAM} segmentation",
        pixel_measures=PixelMeasuresSequence(
            pixel_spacing=(between_rows, between_columns),
            slice_thickness=distance,
            spacing_between_slices=distance if is_even else None,
        ),
        omit_empty_frames=size > _MAX_FULL_BYTES,
    )


def _description(number: int, label_id: int, name: str, version: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.uid import UID
    from pydicom.sr.codedict import codes

    category, kind = codes_of(name)
    return SegmentDescription(
        segment_number=number,
        segment_label=(name or f"object {label_id}")[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=PROGRAM, family=codes.cid7162.ArtificialIntelligence, version=version
        ),
        tracking_uid=UID(),
        tracking_id=f"label {label_id}",
    )


def _series_number(source: Any) -> int:
    number = source.get("SeriesNumber")
    return min(int(number or 0) + 1000, 2**31 - 1) if number is None or number >= 0 else 1000
