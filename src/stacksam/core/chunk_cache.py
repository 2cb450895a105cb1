"""Decoded chunks of an array on disk, kept while neighbouring slices are read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import product
from threading import Lock
from typing import Any

import numpy as np

SMALLEST_BUDGET = 2**27
LARGEST_BUDGET = 2**30
"""Bytes to keep; between them what lies under one slice decides, and a quarter more."""

Place = tuple[int, ...]


class ChunkCache:
    """An array-like that reads its source chunk by chunk, and each chunk once.

    A slice through chunks of 64 slices costs the decoding of all 64; so do the 63 beside it,
    unless somebody keeps what was decoded.

    Parameters
    ----------
    source : array-like
        Has shape, dtype and chunks (one size per axis, or one size per chunk and axis) and is
        indexed with slices.
    budget : int
        Bytes to keep. The chunks used longest ago go first.

    Examples
    --------
    >>> import dask.array
    >>> cache = ChunkCache(dask.array.arange(24, chunks=6).reshape(4, 6), budget=10_000)
    >>> cache[1:3, 2].tolist(), cache[-1].tolist(), cache.n_read
    ([8, 14], [18, 19, 20, 21, 22, 23], 3)
    """

    def __init__(self, source: Any, budget: int) -> None:
        self.source, self.budget = source, budget
        self.shape = tuple(int(n) for n in source.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(source.dtype)
        self.chunks = source.chunks
        self.used = self.n_read = 0
        self._edges = [_edges(c, n) for c, n in zip(source.chunks, self.shape, strict=True)]
        self._kept: OrderedDict[Place, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read; integers, slices of step 1 and an ellipsis come from chunks, others directly."""
        ranges, is_kept = [], []
        for part, length in zip(_expanded(key, self.ndim), self.shape, strict=True):
            is_slice = isinstance(part, slice)
            if not is_slice and not isinstance(part, int | np.integer):
                return np.asarray(self.source[key])
            at = None if is_slice else range(length)[part]  # IndexError beyond the end
            chosen = range(length)[part] if at is None else range(at, at + 1)
            if chosen.step != 1:
                return np.asarray(self.source[key])
            ranges.append(chosen)
            is_kept.append(is_slice)
        out = np.empty([len(chosen) for chosen in ranges], self.dtype)
        for place in self._places(ranges):
            inside, target = [], []
            for at, edges, chosen in zip(place, self._edges, ranges, strict=True):
                start, stop = max(edges[at], chosen.start), min(edges[at + 1], chosen.stop)
                inside.append(slice(start - edges[at], stop - edges[at]))
                target.append(slice(start - chosen.start, stop - chosen.start))
            out[tuple(target)] = self._chunk(place)[tuple(inside)]
        return out[tuple(slice(None) if kept else 0 for kept in is_kept)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.source, dtype=dtype)

    def _places(self, ranges: Sequence[range]) -> Iterator[Place]:
        """Which chunks lie under some ranges."""
        touched = []
        for edges, chosen in zip(self._edges, ranges, strict=True):
            first = int(np.searchsorted(edges, chosen.start, "right")) - 1
            touched.append(range(first, int(np.searchsorted(edges, chosen.stop, "left"))))
        return product(*touched) if all(ranges) else iter(())

    def _chunk(self, place: Place) -> np.ndarray:
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
        part = tuple(slice(e[at], e[at + 1]) for at, e in zip(place, self._edges, strict=True))
        chunk = np.asarray(self.source[part])
        with self._lock:
            self.n_read += 1
            if place not in self._kept and chunk.nbytes <= self.budget:
                self._kept[place] = chunk
                self.used += chunk.nbytes
            while self.used > self.budget:
                self.used -= self._kept.popitem(last=False)[1].nbytes
        return chunk


def with_chunk_cache(data: Any) -> Any:
    """The array itself, or a `ChunkCache` of it where chunks hold more than one slice (axis 0)."""
    chunks = getattr(data, "chunks", None)
    if isinstance(data, ChunkCache) or chunks is None or len(chunks) != len(data.shape):
        return data
    edges = [_edges(c, int(n)) for c, n in zip(chunks, data.shape, strict=True)]
    largest = [int(np.diff(e).max()) for e in edges]
    itemsize = np.dtype(data.dtype).itemsize
    under_a_slice = largest[0] * int(np.prod(data.shape[1:])) * itemsize
    if largest[0] == 1 or np.prod(largest) * itemsize > LARGEST_BUDGET // 2:
        return data
    budget = min(max(SMALLEST_BUDGET, under_a_slice * 5 // 4), LARGEST_BUDGET)
    return ChunkCache(data, budget)


def _edges(chunks: int | Sequence[int], length: int) -> list[int]:
    """Where chunks begin, and where the last one ends."""
    if isinstance(chunks, int | np.integer):
        return [*range(0, length, int(chunks)), length]
    return [0, *np.cumsum(chunks).tolist()]


def _expanded(key: Any, ndim: int) -> list[Any]:
    """An index with one entry per axis."""
    parts = list(key) if isinstance(key, tuple) else [key]
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    if at is None:
        return parts + [slice(None)] * (ndim - len(parts))
    missing = ndim - len(parts) + 1
    return [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]
