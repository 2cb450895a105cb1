"""Write a file or folder completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stacksam.core.errors import WriteError

_DOUBLE_SUFFIXES = (".nii.gz", ".ome.tiff", ".ome.tif", ".ome.zarr")


def full_suffix(path: str | os.PathLike[str]) -> str:
    """Return the extension in lower case, ``.nii.gz`` and ``.ome.tif`` as one.

    Examples
    --------
    >>> full_suffix("Leber links.NII.GZ"), full_suffix("v1.2 labels.tif")
    ('.nii.gz', '.tif')
    """
    name = Path(path).name.lower()
    for suffix in _DOUBLE_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    return Path(name).suffix


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it once the block has finished.

    Parameters
    ----------
    path : str or path-like
        The file to write. Its folder has to exist. A file already there stays as it is until the
        new one is complete.

    Yields
    ------
    temporary : Path
        In the same folder and with the same extension; removed if the block raises.

    Raises
    ------
    WriteError
        If the folder is missing, or an `OSError` (disk full, no permission) ends the writing.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> with atomic_path(folder / "notes.txt") as temporary:
    ...     _ = temporary.write_text("complete", encoding="utf-8")
    >>> [file.name for file in folder.iterdir()]
    ['notes.txt']
    """
    target = Path(path)
    if target.is_dir():
        raise WriteError(f"{target.name} cannot be written: it is a folder; choose a file name")
    temporary = _beside(target)
    with explained(target):
        try:
            yield temporary
            _flush_to_disk(temporary)
            os.replace(temporary, target)
        finally:
            _remove(temporary)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty temporary folder beside `path` that replaces it once the block has finished.

    Whether an existing folder may be replaced is for the caller to decide. It is set aside by one
    renaming, the new one takes its place by another, and only then is the old one deleted.

    Parameters
    ----------
    path : str or path-like
        The folder to write, in an existing folder.

    Yields
    ------
    temporary : Path
        Removed if the block raises.

    Raises
    ------
    WriteError
        If `path` is a file, or as for `atomic_path`.
    """
    target = Path(path)
    if target.is_file():
        raise WriteError(f"{target.name} cannot be written: a file has that name; choose another")
    temporary = _beside(target)
    with explained(target):
        try:
            temporary.mkdir()
            yield temporary
            _replace_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, target: Path) -> None:
    if not target.exists():
        os.replace(new, target)
        return
    old = new.with_name(f"{new.name}-old")
    os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path) -> Path:
    if not target.parent.is_dir():
        raise WriteError(f"{target.name} cannot be written: its folder does not exist; create it")
    return target.with_name(f".stacksam-{uuid.uuid4().hex[:12]}{full_suffix(target)}")


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn an operating system error into one sentence."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{target.name} was not written: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """Say what an operating system error means and what helps."""
    if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", -1)):
        return "the disk is full; free some space or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no permission (or another program has it open); close it or choose another folder"
    return f"{error.strerror or 'the system refused'}; choose another folder"


def _flush_to_disk(path: Path) -> None:
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    # If it is still open elsewhere, that must not hide the error that brought us here.
    with suppress(OSError):
        path.unlink(missing_ok=True)
