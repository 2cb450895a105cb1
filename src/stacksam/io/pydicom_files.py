"""DICOM through pydicom, for what SimpleITK does not read; its complaints may name patients."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError

HOW_TO_INSTALL = 'pip install "napari-stacksam[dicom]" brings it'


def read_header(path: Path, kind: str = "a DICOM object of its kind") -> Any:
    """Return the dataset of a file without its pixels.

    Raises
    ------
    ReadError
        If pydicom is missing or the file is damaged.
    """
    return _read(path, path.name, kind)


def header_from_bytes(content: bytes, name: str) -> Any:
    """Return the dataset of a file's content without its pixels, as `read_header`."""
    return _read(BytesIO(content), name, "a DICOM object of its kind")


def _read(source: Path | BytesIO, name: str, kind: str) -> Any:
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise ReadError(f"{name} is {kind}; reading it needs pydicom: {HOW_TO_INSTALL}") from error
    try:
        with quiet_pydicom():
            dataset = dcmread(source, stop_before_pixels=True)
            dataset.walk(lambda _, element: element.value)  # decodes what would fail later
    except Exception as error:  # a parser raises anything on bytes it did not expect
        raise ReadError(
            f"{name} is damaged or not a DICOM file; copy or export it again"
        ) from error
    return dataset


def iterate_frames(path: Path, name: str, raw: bool = False) -> Iterator[np.ndarray]:
    """Give one frame after the other, (Y, X) or (Y, X, samples).

    Raises
    ------
    ReadError
        If the pixels are damaged or compressed in a way no installed decoder knows.
    """
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels

    frames: Iterator[np.ndarray] | None = None
    while True:
        try:
            with quiet_pydicom():
                if frames is None:
                    dataset = dcmread(path)
                    is_packed = not dataset.file_meta.TransferSyntaxUID.is_encapsulated
                    is_packed = is_packed and dataset.BitsAllocated == 1
                    frames = _bits(dataset) if is_packed else iter_pixels(dataset, raw=raw)
                frame = next(frames, None)
        except Exception as error:  # each decoder has its own
            raise ReadError(
                f"{name} is damaged, or compressed in a way that needs another decoder; export it "
                "again without compression"
            ) from error
        if frame is None:
            return
        yield frame


def _bits(dataset: Any) -> Iterator[np.ndarray]:
    """Unpack frames of single bits, of which several share a byte (PS3.5, 8.1.1)."""
    size = dataset.Rows * dataset.Columns
    content = np.frombuffer(dataset.PixelData, np.uint8)
    if 8 * content.size < size * int(dataset.NumberOfFrames):
        raise ValueError("pixels are missing")
    for start in range(0, size * int(dataset.NumberOfFrames), size):
        part = np.unpackbits(content[start // 8 : -(-(start + size) // 8)], bitorder="little")
        yield part[start % 8 :][:size].reshape(dataset.Rows, dataset.Columns)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings, which quote header values, off terminals and logs."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
