"""DICOM files in a ZIP archive, unpacked for a moment and within bounds."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from stacksam.core.errors import ReadError
from stacksam.io.dicom_files import SUFFIXES, starts_like_dicom
from stacksam.io.limits import DEFLATE, check_declared

_BLOCK = 2**20
_PEEK = 132
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError)


@contextmanager
def unpacked(path: Path) -> Iterator[dict[Path, str]]:
    """Unpack the DICOM files of an archive into a temporary folder under names of our own.

    Yields
    ------
    members : dict of Path to str
        Each unpacked file and its name in the archive. They are deleted when the block ends.

    Raises
    ------
    ReadError
        If the archive is damaged, encrypted, names files outside of itself, or holds more than may
        be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="stacksam-") as folder:
        yield _unpack(path, Path(folder))


def read_member(archive: str, member: str) -> bytes:
    """Return one file of an archive that `unpacked` has accepted."""
    with zipfile.ZipFile(archive) as opened:
        return opened.read(member)


def _unpack(path: Path, folder: Path) -> dict[Path, str]:
    members = {}
    try:
        with zipfile.ZipFile(path) as archive:
            chosen = _dicom_members(path, archive)
            for number, info in enumerate(chosen, start=1):
                target = folder / f"{path.stem} {number:05}.dcm"
                with archive.open(info) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, _BLOCK)
                members[target] = info.filename
    except ReadError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ReadError(
                f"{path.name} cannot be unpacked ({error.strerror}); free space in the folder for "
                "temporary files or unpack it yourself"
            ) from error
        raise ReadError(f"{path.name} is damaged or incomplete; copy it again") from error
    return members


def _dicom_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if any(_leads_out(info.filename) for info in infos):
        raise ReadError(
            f"{path.name} names files outside of itself, as no honest archive does; it was not "
            "opened"
        )
    if any(info.flag_bits & 1 for info in infos):
        raise ReadError(f"{path.name} is encrypted; unpack it and open the folder")
    if any(info.compress_type not in _METHODS for info in infos):
        raise ReadError(
            f"{path.name} is compressed in a way that is unusual for DICOM; unpack it and open the "
            "folder"
        )
    check_declared(path.name, sum(i.file_size for i in infos), path.stat().st_size, DEFLATE)
    return [info for info in infos if _is_dicom(archive, info)]


def _leads_out(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return posix.is_absolute() or bool(windows.anchor) or ".." in (*posix.parts, *windows.parts)


def _is_dicom(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename).name
    if name.startswith(".") or info.file_size == 0:
        return False
    with archive.open(info) as file:
        return starts_like_dicom(file.read(_PEEK)) or name.lower().endswith(SUFFIXES)
