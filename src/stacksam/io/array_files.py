"""Computed arrays on disk, shared by programs: the least recently used ones go first."""

from __future__ import annotations

import os
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

SUFFIX = ".arrays"
CLEAN_EVERY = 32
"""Files that are written between two clean-ups."""


class ArrayFiles:
    """Keep tuples of arrays in files of a folder, up to a budget of bytes.

    Any number of programs may use a folder at the same time: a file appears complete or not at all,
    one that is gone or damaged was never there, and whoever writes cleans up.

    Parameters
    ----------
    folder : path-like
        Made when something is kept.
    budget : int
        In bytes; exceeded by what is written between two clean-ups.

    Examples
    --------
    >>> files = ArrayFiles(getfixture("tmp_path"), budget=10_000)
    >>> files.put("ab12", (np.arange(3),))
    >>> files.get("ab12"), files.get("ab13")
    ((array([0, 1, 2]),), None)
    """

    def __init__(self, folder: str | os.PathLike[str], budget: int) -> None:
        if budget < 0:
            raise ValueError(f"budget is {budget} bytes; it has to be at least 0")
        self.folder, self.budget = Path(folder), budget
        self._written = 0

    def get(self, key: str) -> tuple[np.ndarray, ...] | None:
        """The arrays of a key (a digest in hexadecimal), None where there are none."""
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as found:  # a ZIP file: it has checksums
                arrays = tuple(found[f"arr_{number}"] for number in range(len(found.files)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)  # used just now
        return arrays

    def put(self, key: str, arrays: tuple[np.ndarray, ...]) -> None:
        """Keep arrays; nothing happens where they cannot be written, as on a full disk."""
        path = self._path(key)
        temporary = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                np.savez(file, *arrays)
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        self._written += 1
        if self._written % CLEAN_EVERY == 0:
            self.clean()

    def used(self) -> tuple[int, int]:
        """How many files there are, and their bytes."""
        sizes = [size for _, size, _ in self._files()]
        return len(sizes), sum(sizes)

    def clean(self, budget: int | None = None) -> int:
        """Remove the files used longest ago until the rest fits.

        Parameters
        ----------
        budget : int, optional
            In bytes, instead of the store's own; 0 removes all.

        Returns
        -------
        freed : int
            Bytes.
        """
        budget = self.budget if budget is None else budget
        files = sorted(self._files())
        left, freed = sum(size for _, size, _ in files), 0
        for _, size, path in files:
            if left <= budget:
                break
            with suppress(OSError):  # in use, on Windows, or another program was faster
                path.unlink()
                freed += size
            left -= size
        return freed

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file was used, its size and its path; leftovers of programs that ended, too."""
        found = []
        for pattern in (f"*/*{SUFFIX}", "*/.*.part"):
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    facts = path.stat()
                    found.append((facts.st_mtime, facts.st_size, path))
        return found

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{SUFFIX}"
