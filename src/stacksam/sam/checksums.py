"""Checksums of the kinds in which publishers give them.

``sha256``, ``sha1``, ``md5``: of the file, hexadecimal. ``KIND-prefix``: its first digits, as some
publishers put them into the file's name. ``git``: the object id of the file in a git repository.
``xxh128``: needs the package xxhash.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHUNK = 1 << 20

KINDS = ("sha256", "sha1", "md5", "git", "xxh128", "sha256-prefix", "sha1-prefix", "md5-prefix")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def can_check(checksum: str) -> bool:
    """Whether this computer can compute a checksum of that kind.

    Examples
    --------
    >>> can_check("md5-prefix:01ec64")
    True
    """
    kind = _parts(checksum)[0]
    return kind != "xxh128" or find_spec("xxhash") is not None


def check_file(path: Path, checksums: tuple[str, ...]) -> tuple[str, ...]:
    """Compare a file with published checksums.

    Parameters
    ----------
    path : Path
    checksums : tuple of ``KIND:DIGEST``

    Returns
    -------
    checked : tuple of str
        Those that could be computed, all of which agree; empty says that nothing is verified.

    Raises
    ------
    ValueError
        If one differs, "its SHA-256 is X where Y is published", or a kind is unknown.
    """
    checkable = tuple(checksum for checksum in checksums if can_check(checksum))
    hashers = {kind: _hasher(kind, path.stat().st_size) for kind in map(_base_kind, checkable)}
    if hashers:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                for hasher in hashers.values():
                    hasher.update(chunk)
    for checksum in checkable:
        kind, digest = _parts(checksum)
        found = hashers[_base_kind(checksum)].hexdigest()
        if kind.endswith("-prefix"):
            found = found[: len(digest)]
        if found != digest:
            raise ValueError(f"its {kind} is {found} where {digest} is published")
    return checkable


def _parts(checksum: str) -> tuple[str, str]:
    kind, separator, digest = checksum.partition(":")
    if kind not in KINDS or not separator or not digest:
        raise ValueError(f"checksum {checksum!r} is not KIND:DIGEST with one of {', '.join(KINDS)}")
    return kind, digest.lower()


def _base_kind(checksum: str) -> str:
    return _parts(checksum)[0].removesuffix("-prefix")


def _hasher(kind: str, size: int) -> Any:
    if kind == "xxh128":
        import xxhash

        return xxhash.xxh128()
    if kind == "git":
        return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    return hashlib.new(kind, usedforsecurity=kind == "sha256")
