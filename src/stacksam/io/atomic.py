"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stacksam.core.errors import WriteError

_DOUBLE_SUFFIXES = (".nii.gz", ".ome.tiff", ".ome.tif")


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
    if not target.parent.is_dir():
        raise WriteError(f"{target.name} cannot be written: its folder does not exist; create it")
    if target.is_dir():
        raise WriteError(f"{target.name} cannot be written: it is a folder; choose a file name")
    temporary = target.with_name(f".stacksam-{uuid.uuid4().hex[:12]}{full_suffix(target)}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{target.name} was not written: {_reason(error)}") from error
    finally:
        _remove(temporary)


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
