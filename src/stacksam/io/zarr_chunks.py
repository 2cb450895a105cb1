"""What the chunks of a Zarr array declare, compared with what a chunk of that array can be."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.io.limits import DEFLATE, check_declared

if TYPE_CHECKING:
    import zarr

SPARE = 2**20  # filters and checksums may add to a chunk
_ZSTD_MAGIC = 0xFD2FB528


def check_chunks(array: zarr.Array, key: Sequence[int | slice], name: str) -> None:
    """Refuse chunks on disk that would decode to far more than the array's chunk size.

    Parameters
    ----------
    array : zarr.Array
        Chunks are looked at in local folders; `RemoteStore` looks at those that arrive.
    key : sequence of int or slice
        Which part is going to be read, one entry per axis.
    name : str
        For messages.

    Raises
    ------
    ReadError
        If a chunk is a bomb, or chunks or part are too large to be loaded.
    """
    itemsize = np.dtype(array.dtype).itemsize
    size = math.prod(array.chunks) * itemsize
    check_declared(name, size)
    parts = zip(key, array.shape, strict=True)
    wanted = math.prod(len(range(n)[p]) if isinstance(p, slice) else 1 for p, n in parts)
    check_declared(name, wanted * itemsize)
    root = getattr(array.store, "root", None)
    if root is None or getattr(array, "shards", None) is not None:
        return
    folder = Path(root) / array.path
    for place in _places(array, key):
        path = folder / array.metadata.encode_chunk_key(place)
        if path.is_file() and _decoded(path, size) > 2 * size + SPARE:
            raise ReadError(
                f"{name} has a chunk that would decode to far more than the array can hold; it was "
                "not opened"
            )


def _places(array: zarr.Array, key: Sequence[int | slice]) -> Iterator[tuple[int, ...]]:
    """Give the coordinates of the chunks that a key touches."""
    ranges = []
    for part, length, step in zip(key, array.shape, array.chunks, strict=True):
        touched = range(length)[part] if isinstance(part, slice) else range(part, part + 1)
        if not len(touched):
            return
        ranges.append(range(min(touched) // step, max(touched) // step + 1))
    yield from product(*ranges)


def _decoded(path: Path, expected: int) -> float:
    with open(path, "rb") as file:
        return declared_size(file.read(18), path.stat().st_size, expected)


def declared_size(head: bytes, stored: int, expected: int) -> float:
    """Return the decoded size that a chunk declares, 0 where it does not say.

    Parameters
    ----------
    head : bytes
        Its first 18 bytes.
    stored, expected : int
        Bytes of the chunk as it is, and as it should decode to.
    """
    if stored * DEFLATE <= expected:
        return 0.0
    if len(head) >= 16 and head[0] in (1, 2) and struct.unpack_from("<I", head, 12)[0] == stored:
        return float(struct.unpack_from("<I", head, 4)[0])  # Blosc
    if len(head) >= 14 and struct.unpack_from("<I", head)[0] == _ZSTD_MAGIC:
        return float(_zstd_size(head))
    return 0.0


def _zstd_size(head: bytes) -> int:
    """Return the content size of a Zstandard frame header (RFC 8878, 3.1.1.1), 0 if unknown."""
    flags = head[4]
    is_single = bool(flags & 0x20)
    at = 5 + (0 if is_single else 1) + (0, 1, 2, 4)[flags & 3]
    form = {0: "<B" if is_single else "", 1: "<H", 2: "<I", 3: "<Q"}[flags >> 6]
    if not form or at + struct.calcsize(form) > len(head):
        return 0
    size = struct.unpack_from(form, head, at)[0]
    return size + 256 if form == "<H" else size


def full_key(key: Any, ndim: int) -> tuple[int | slice, ...]:
    """Write an index of integers and slices out with one entry per axis."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (ndim - len(parts) + 1)
    parts += [slice(None)] * (ndim - len(parts))
    return tuple(part if isinstance(part, slice) else int(part) for part in parts)
