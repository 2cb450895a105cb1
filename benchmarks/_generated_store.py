"""A Zarr store whose chunks are made when they are read: volumes larger than any disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

SHIFTS = 400

Shape = tuple[int, int, int]


class GeneratedStore(Store):
    """A bright body along z in noise, uint16, without compression.

    Parameters
    ----------
    shape, chunks : (Z, Y, X)
    center, radii : (z, y, x)
        Of the body, an ellipsoid.

    Attributes
    ----------
    n_read : int
        Chunks that were made.
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, shape: Shape, chunks: Shape, center: Shape, radii: Shape) -> None:
        super().__init__(read_only=True)
        self.shape, self.chunks, self.center, self.radii = shape, chunks, center, radii
        self.n_read = 0
        side = (shape[1] + chunks[1], shape[2] + chunks[2] + SHIFTS)
        noise = np.random.default_rng(0).normal(1000, 60, (512, 512)).clip(0, 4000)
        repeats = [-(-n // 512) for n in side]
        self._noise = np.tile(noise.astype(np.uint16), repeats)
        memory = zarr.storage.MemoryStore()
        zarr.create_array(memory, shape=shape, chunks=chunks, dtype=np.uint16, compressors=None)
        self._metadata = memory._store_dict["zarr.json"].to_bytes()

    def array(self) -> zarr.Array:
        """The volume, lazily."""
        return zarr.open_array(self, mode="r")

    def chunk(self, place: Shape) -> np.ndarray:
        """Make one chunk."""
        starts = [p * c for p, c in zip(place, self.chunks, strict=True)]
        z, y, x = (np.arange(s, s + c) for s, c in zip(starts, self.chunks, strict=True))
        disc = ((y[:, None] - self.center[1]) / self.radii[1]) ** 2
        disc = disc + ((x[None, :] - self.center[2]) / self.radii[2]) ** 2
        has_body = bool((disc < 1).any())
        out = np.empty(self.chunks, np.uint16)
        for plane, index in zip(out, z, strict=True):
            shift = int(index) * 37 % SHIFTS  # each slice has other noise
            plane[:] = self._noise[y[0] : y[-1] + 1, x[0] + shift : x[-1] + 1 + shift]
            left = 1 - ((index - self.center[0]) / self.radii[0]) ** 2
            if has_body and left > 0:
                plane += 900 * (disc < left).astype(np.uint16)
        return out

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        assert byte_range is None
        buffers = prototype or default_buffer_prototype()
        if key == "zarr.json":
            return buffers.buffer.from_bytes(self._metadata)
        if not key.startswith("c/"):
            return None
        z, y, x = (int(part) for part in key.split("/")[1:])
        self.n_read += 1
        return buffers.buffer.from_array_like(self.chunk((z, y, x)).reshape(-1).view("u1"))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return key == "zarr.json" or key.startswith("c/")

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        yield "zarr.json"

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        if "zarr.json".startswith(prefix):
            yield "zarr.json"

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        yield "zarr.json"


def generated(shape: Shape, chunks: Shape, depth: int, **where: Any) -> GeneratedStore:
    """A volume with a body over `depth` slices in the middle, 300 pixels wide."""
    center = (shape[0] // 2, shape[1] // 2, shape[2] // 2)
    return GeneratedStore(shape, chunks, center, (depth // 2, 130, 150), **where)
