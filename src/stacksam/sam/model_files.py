"""The files of models on this computer: fetched, copied, unpacked, and the same as on arrival."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from threading import Event
from urllib.parse import quote

from stacksam.core.errors import CheckpointError
from stacksam.io.atomic import atomic_path
from stacksam.sam.checksums import sha256_of
from stacksam.sam.downloads import DownloadCancelled, DownloadError, Progress, fetch_file
from stacksam.sam.model_list import MIRROR_VARIABLE, ModelEntry, models_folder

RECORD = ".sha256"
"""Added to a checkpoint's name: the file that holds its hash on arrival, as sha256sum writes it."""


def fetch_model(
    entry: ModelEntry, progress: Progress | None = None, cancel: Event | None = None
) -> Path:
    """Fetch a model's file from its publisher, or from the mirror that the user has named.

    Raises
    ------
    DownloadError
        With the file to fetch by hand and where to put it.
    WriteError
        If the folder cannot be written to or the disk is full.
    """
    address = address_of(entry)
    if not address:
        raise DownloadError(
            f"{entry.name} has no address that a program can fetch; {by_hand(entry)}"
        )
    path = models_folder() / entry.file_name
    try:
        fetch_file(
            address,
            path,
            size=entry.size,
            checksums=entry.checksums,
            progress=progress,
            cancel=cancel,
        )
    except DownloadCancelled:
        raise
    except DownloadError as error:
        raise DownloadError(f"{error}. Otherwise: {by_hand(entry)}") from error
    record(path)
    return path


def copy_model(file: Path, entry: ModelEntry) -> None:
    """Put a file into the models folder as that of an entry."""
    target = models_folder() / entry.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.exists() and target.samefile(file)):
        with atomic_path(target) as temporary:
            shutil.copyfile(file, temporary)
    record(target)


def unpacked(path: Path) -> Path:
    """The checkpoint inside a ``.pt.zip``, unpacked into the models folder; others as they are.

    Raises
    ------
    CheckpointError
        If the archive does not hold a file of its own name.
    """
    if path.suffix != ".zip":
        return path
    target = models_folder() / path.stem
    if target.is_file():
        return target
    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = (i for i in archive.infolist() if Path(i.filename).name == path.stem)
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                atomic_path(target) as temporary,
                archive.open(member) as source,
                open(temporary, "wb") as file,
            ):
                shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path.name} does not hold {path.stem}; get it again") from error
    return target


def record(path: Path) -> None:
    """Write down the hash of a file that has just arrived."""
    with atomic_path(path.with_name(path.name + RECORD)) as temporary:
        temporary.write_text(f"{sha256_of(path)}  {path.name}\n", encoding="utf-8")


def check_record(path: Path, digest: str) -> None:
    """CheckpointError if a file is not what it was on arrival; `digest` is its SHA-256 now."""
    noted = path.with_name(path.name + RECORD)
    if noted.is_file() and noted.read_text(encoding="utf-8").split()[:1] != [digest]:
        raise CheckpointError(
            f"the checkpoint {path.name} has changed since it was downloaded; get it again, or "
            f"delete {noted.name} if you changed it yourself"
        )


def address_of(entry: ModelEntry) -> str:
    """Where a program fetches the file from: the mirror, the publisher, or nowhere."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    return f"{mirror.rstrip('/')}/{quote(entry.file_name)}" if mirror else entry.url


def by_hand(entry: ModelEntry) -> str:
    """What to do where a program may not use the network."""
    return (
        f"fetch {entry.file_name} by hand from {address_of(entry) or entry.page} and put it into "
        f"{shown(models_folder())} under that name, or run: stacksam models import FILE "
        f"--name {entry.name}"
    )


def not_here(entry: ModelEntry) -> str:
    """Why a model cannot be loaded yet, and how to get it."""
    if not entry.file_name:
        return (
            f"the checkpoint of {entry.name} is missing; install the package again or correct the "
            "list of models"
        )
    size = f"{entry.size / 1e6:.0f} MB, " if entry.size else ""
    get = f"get it with: stacksam models download {entry.name} ({size}{entry.licence_text}), or "
    return (
        f"the checkpoint of {entry.name} is not on this computer; "
        f"{get if address_of(entry) else ''}{by_hand(entry)}"
    )


def shown(folder: Path) -> str:
    """A folder without the user's name in it."""
    try:
        return str(Path("~") / folder.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(folder)
