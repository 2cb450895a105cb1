"""One program at a time in a session folder; the second one is told."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from stacksam.core.errors import StackSAMError, WriteError

LOCK = "session.lock"

STALE_AFTER = 120.0
"""Seconds without a sign of life after which a lock of another computer counts no more."""

_LOCKED_BYTE = 2**20  # beyond the text, so that others can read who holds the lock on Windows too


class FolderInUseError(StackSAMError):
    """Another program works in this session folder."""


class FolderLock:
    """Hold a folder until `release`, or until the program ends in any way.

    The operating system's lock on the file says whether its owner lives, so a lock that a crash
    left behind is free. Its text, process number and hash of the computer's name, is for folders on
    servers whose file systems do not pass such locks on.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Raises
    ------
    FolderInUseError
        If another program, or another session of this one, holds the folder.
    WriteError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        try:
            mode = "r+" if self._path.exists() else "x+"
            self._file = open(self._path, mode, encoding="utf-8")  # noqa: SIM115
        except FileExistsError:
            raise FolderInUseError(_told(folder)) from None
        except OSError as error:
            raise WriteError(
                f"the folder {folder.name} cannot be written to ({error.strerror}); choose another"
            ) from error
        if _is_held(self._path, self._file):
            self._file.close()
            raise FolderInUseError(_told(folder))
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "host": _host()}, self._file)
        self._file.flush()

    def touch(self) -> None:
        """Give a sign of life."""
        with suppress(OSError):
            os.utime(self._path)

    def release(self) -> None:
        """Let others in; calling it again does nothing."""
        if self._file.closed:
            return
        if sys.platform != "win32":  # before it is unlocked, so that nobody else's is removed
            self._path.unlink(missing_ok=True)
        self._file.close()
        if sys.platform == "win32":  # which refuses while somebody else has it open
            with suppress(OSError):
                self._path.unlink()


def is_in_use(folder: Path) -> bool:
    """Whether a program, this one included, holds a folder."""
    path = folder / LOCK
    try:
        with open(path, "r+", encoding="utf-8") as file:
            return _is_held(path, file)
    except OSError:
        return False


def _is_held(path: Path, file: IO[str]) -> bool:
    """Try to take the operating system's lock, and believe the text where that cannot tell."""
    is_free = _lock(file)
    file.seek(0)
    try:
        owner = json.loads(file.read() or "{}")
        host, pid = owner.get("host"), int(owner.get("pid", 0))
        age = time.time() - path.stat().st_mtime
        is_same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        is_same, host, pid, age = False, None, 0, 0.0
    except (OSError, ValueError, TypeError, AttributeError):
        is_same, host, pid, age = True, None, 0, 0.0
    if not is_same:  # its owner has just removed it
        return True
    if host is not None and host != _host():
        return is_free is False or age < STALE_AFTER
    return not is_free and (is_free is False or _is_alive(pid))


def _lock(file: IO[str]) -> bool | None:
    """Lock the open file for this process: True if that went well, None if the system cannot."""
    file.seek(_LOCKED_BYTE)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK) else None
    return True


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32" or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _host() -> str:
    return hashlib.blake2b(platform.node().encode(), digest_size=8).hexdigest()


def _told(folder: Path) -> str:
    return (
        f"the session folder {folder.name} is in use by another program; close it there, or choose "
        "another folder"
    )
