"""Small honest files, one for each reader and variant."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

PERSON = "Secret^Fuzz"  # must never appear in a message or on the terminal


def write_seeds(folder: Path) -> list[Path]:
    """Write one small file or folder for each reader and variant; they are the seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    for write in (
        _write_itk,
        _write_tiffs,
        _write_pictures,
        _write_dicom,
        _write_dicom_objects,
        _write_zarr,
        _write_prompts,
        _write_checkpoints,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(folder)
    return sorted(folder.iterdir())


def stack(shape: tuple[int, ...] = (6, 20, 24), dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


def _write_itk(folder: Path) -> None:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(stack())
    image.SetSpacing((0.5, 0.6, 2.0))
    for suffix in (".nii", ".nii.gz"):
        sitk.WriteImage(image, str(folder / f"itk{suffix}"))
    for suffix in (".nrrd", ".mha"):
        for is_zipped in (False, True):
            sitk.WriteImage(image, str(folder / f"itk{int(is_zipped)}{suffix}"), is_zipped)
    for suffix in (".nhdr", ".mhd"):
        pair = folder / f"pair{suffix}.folder"
        pair.mkdir()
        sitk.WriteImage(image, str(pair / f"pair{suffix}"))


def _write_tiffs(folder: Path) -> None:
    import tifffile

    options = {"imagej": True, "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(folder / "imagej.tif", stack(dtype=np.uint16), **options)
    tifffile.imwrite(folder / "zlib.tif", stack(dtype=np.uint8), compression="zlib")
    tifffile.imwrite(folder / "lzw.tif", stack(dtype=np.uint8), compression="lzw", tile=(16, 16))
    tifffile.imwrite(folder / "zstd.tif", stack(dtype=np.uint8), compression="zstd")
    ome = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(folder / "stack.ome.tif", stack(dtype=np.uint16), ome=True, metadata=ome)


def _write_pictures(folder: Path) -> None:
    from PIL import Image

    grey = Image.fromarray(stack((40, 50), np.uint8))
    for suffix in ("png", "jpg", "bmp"):
        grey.save(folder / f"grey.{suffix}")
    Image.fromarray(stack((40, 50), np.uint16)).save(folder / "deep.png")
    Image.fromarray(stack((40, 50, 3), np.uint8)).save(folder / "colour.png")
    np.save(folder / "stack.npy", stack())


def _write_dicom(folder: Path) -> None:
    import pydicom

    series = folder / "series"
    series.mkdir()
    for number in range(4):
        _slice(number).save_as(series / f"{number}.dcm", enforce_file_format=True)
    with zipfile.ZipFile(folder / "series.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(series.iterdir()):
            archive.write(path, f"study/{path.name}")
    _slice(0).save_as(folder / "plain.dcm", enforce_file_format=True)
    for name in ("RLELossless", "JPEG2000Lossless", "JPEGLSLossless"):
        dataset = _slice(0, 64)  # JPEG 2000 halves an image several times
        dataset.compress(getattr(pydicom.uid, name))
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)


def _slice(number: int, side: int = 20) -> Any:
    import pydicom

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    values = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128",
        "SOPInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": "1.2.4",
        "StudyInstanceUID": "1.2.5",
        "FrameOfReferenceUID": "1.2.6",
        "PatientName": PERSON,
        "PatientID": "Secret-ID",
        "PatientWeight": 70,
        "Modality": "PT",
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY"],
        "DecayCorrection": "ADMIN",
        "ImagePositionPatient": [0, 0, 3 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.6],
        "SliceThickness": 3,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "WindowCenter": 40,
        "WindowWidth": 400,
        "Rows": side,
        "Columns": side + 4,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": stack((side, side + 4), np.uint16).tobytes(),
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    tracer = pydicom.Dataset()
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = 4e8, 6586.2
    dataset.RadiopharmaceuticalInformationSequence = [tracer]
    return dataset


def _write_dicom_objects(folder: Path) -> None:
    import pydicom

    import stacksam

    image = stacksam.read(folder / "series")
    labels = np.zeros(image.shape, np.uint8)
    labels[1:3, 5:12, 6:14], labels[0, 2:4, 2:4] = 1, 2
    stacksam.write_labels(folder / "segments.dcm", labels, like=image, names={1: "liver"})
    contour = pydicom.Dataset()
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.ContourData = [1, 1, 3, 8, 1, 3, 8, 7, 3, 1, 7, 3]
    drawn, named = pydicom.Dataset(), pydicom.Dataset()
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, [contour]
    named.ROINumber, named.ROIName = 1, "liver"
    structures = _slice(9)
    structures.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    del structures.PixelData
    structures.StructureSetROISequence, structures.ROIContourSequence = [named], [drawn]
    structures.save_as(folder / "structures.dcm", enforce_file_format=True)
    _enhanced().save_as(folder / "enhanced.dcm", enforce_file_format=True)


def _enhanced() -> Any:
    import pydicom

    def group(**values: object) -> pydicom.Dataset:
        item = pydicom.Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return item

    dataset = _slice(0)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.NumberOfFrames = 3
    dataset.PixelData = stack((3, 20, 24), np.uint16).tobytes()
    dataset.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence=[group(PixelSpacing=[0.5, 0.6], SliceThickness=3)],
            PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence=[group(ImagePositionPatient=[0, 0, 3 * i])],
            PixelValueTransformationSequence=[group(RescaleSlope=i + 1, RescaleIntercept=0)],
        )
        for i in range(3)
    ]
    return dataset


def _write_zarr(folder: Path) -> None:
    import zarr

    import stacksam

    for version in (2, 3):
        zarr.create_array(
            folder / f"format{version}.zarr", data=stack(), chunks=(3, 8, 8), zarr_format=version
        )
    labels = (stack() > 60).astype(np.uint8)
    image = stacksam.Volume(stack(), spacing_zyx=(2.0, 0.5, 0.5))
    stacksam.write_labels(folder / "labels.ome.zarr", labels, like=image)


def _write_prompts(folder: Path) -> None:
    import tifffile

    home = folder / "prompts.json.folder"
    home.mkdir()
    tifffile.imwrite(home / "mask.tif", np.ones((20, 24), np.uint8))
    prompts = [
        {"kind": "box", "axis": 0, "index": 2, "yxyx": [2, 2, 9, 9]},
        {"kind": "point", "zyx": [2, 5, 5], "positive": True},
        {"kind": "scribble", "axis": 0, "index": 1, "points_yx": [[2, 2], [8, 9]], "width": 3},
        {"kind": "mask", "axis": 0, "index": 3, "path": "mask.tif"},
    ]
    content = {"version": 1, "window": "auto"}
    content["objects"] = [{"id": 1, "name": "liver", "prompts": prompts}]
    (home / "prompts.json").write_text(json.dumps(content), encoding="utf-8")


def _write_checkpoints(folder: Path) -> None:
    import torch

    from stacksam.sam.checkpoints import save_compact
    from stacksam.sam.model import CompactConfig, build_compact
    from stacksam.sam.official import SamConfig, build_sam

    torch.manual_seed(0)
    small = CompactConfig(64, 16, (4, 4, 8, 8, 8), (1, 1, 1, 1), 1, 2, 16, 8, 1, 1)
    save_compact(folder / "compact.safetensors", build_compact(small), small, {})
    config = SamConfig(
        "custom", 32, 2, 2, (1,), 2, 16, 4.0, 64, 16, 1, 2, 32, 4, iou_head_hidden_dim=16
    )
    torch.save(build_sam(config).state_dict(), folder / "official.pth")
