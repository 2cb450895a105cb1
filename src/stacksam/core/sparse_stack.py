"""A stack of planes of which only tiles with content take memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

DENSE_VOXELS = 2**30
"""Up to so many voxels labels and masks are plain arrays."""

TILE = 256

Shape = tuple[int, int, int]


class SparseStack:
    """An array-like of shape (Z, Y, X), zero where nothing was written.

    Parameters
    ----------
    shape : (Z, Y, X)
    dtype : dtype

    Notes
    -----
    Reading gives copies. Indices are integers and slices, or one array of positions for each axis,
    as napari's brushes use them.

    Examples
    --------
    >>> stack = SparseStack((4096, 1600, 1600), np.uint8)
    >>> stack[7] = np.eye(1600, dtype=np.uint8)
    >>> stack.planes, int(stack[7, 5:8, 5:8].sum()), stack.nbytes
    ([7], 3, 397312)
    """

    ndim = 3

    def __init__(self, shape: Shape, dtype: Any) -> None:
        self.shape: Shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype = np.dtype(dtype)
        self._tiles: dict[int, dict[tuple[int, int], np.ndarray]] = {}

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def planes(self) -> list[int]:
        """Indices of planes that hold anything, in ascending order."""
        return sorted(self._tiles)

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(tile.nbytes for tiles in self._tiles.values() for tile in tiles.values())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [slice(None)] * (2 - len(rest)) + rest
        if isinstance(first, slice):
            chosen = range(self.shape[0])[first]
            empty = self._plane(-1)[tuple(rest)]
            out = np.zeros((len(chosen), *empty.shape), self.dtype)
            for at, index in enumerate(chosen):
                if index in self._tiles:
                    out[at] = self._plane(index)[tuple(rest)]
            return out
        if isinstance(first, int | np.integer):
            return self._plane(range(self.shape[0])[first])[tuple(rest)]
        positions = np.broadcast_arrays(first, *rest)
        out = np.zeros(positions[0].shape, self.dtype)
        for index in np.unique(positions[0]).tolist():
            here = positions[0] == index
            out[here] = self._plane(index)[positions[1][here], positions[2][here]]
        return out

    def __setitem__(self, key: Any, values: Any) -> None:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            self._change(range(self.shape[0])[first], tuple(rest), values)
        elif isinstance(first, slice):
            chosen = range(self.shape[0])[first]
            target = self._plane(-1)[tuple(rest)].shape
            for index, plane in zip(
                chosen, np.broadcast_to(values, (len(chosen), *target)), strict=True
            ):
                self._change(index, tuple(rest), plane)
        else:
            *places, values = np.broadcast_arrays(first, *rest, values)
            for index in np.unique(places[0]).tolist():
                here = places[0] == index
                self._change(index, (places[1][here], places[2][here]), values[here])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def astype(self, dtype: Any) -> SparseStack:
        """A copy of another type."""
        other = SparseStack(self.shape, dtype)
        for index, tiles in self._tiles.items():
            other._tiles[index] = {place: tile.astype(dtype) for place, tile in tiles.items()}
        return other

    def reshape(self, *shape: Any) -> Any:
        """The stack itself if the shape is its own; otherwise a plain array."""
        wanted = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self if wanted == self.shape else np.asarray(self).reshape(wanted)

    def any(self) -> bool:
        """Whether anything is not zero."""
        return bool(self._tiles)

    def max(self) -> Any:
        """The largest value."""
        tiles = [tile.max() for tiles in self._tiles.values() for tile in tiles.values()]
        return max(tiles, default=self.dtype.type(0))

    def _plane(self, index: int) -> np.ndarray:
        plane = np.zeros(self.shape[1:], self.dtype)
        for (y, x), tile in self._tiles.get(index, {}).items():
            plane[y : y + TILE, x : x + TILE] = tile
        return plane

    def _change(self, index: int, key: tuple[Any, ...], values: Any) -> None:
        plane = self._plane(index)
        plane[key] = values
        tiles = {}
        for y in range(0, self.shape[1], TILE):
            for x in range(0, self.shape[2], TILE):
                tile = plane[y : y + TILE, x : x + TILE]
                if tile.any():
                    tiles[(y, x)] = tile.copy()
        self._tiles.pop(index, None)
        if tiles:
            self._tiles[index] = tiles


Stack = np.ndarray | SparseStack


def empty_stack(shape: Shape, dtype: Any) -> Any:
    """Zeros: a plain array, or a `SparseStack` where that may not fit into memory."""
    is_vast = math.prod(shape) > DENSE_VOXELS
    return SparseStack(shape, dtype) if is_vast else np.zeros(shape, dtype)


def planes_of(*stacks: Any) -> Iterable[int]:
    """Planes on which one of the stacks may hold anything, in ascending order."""
    if all(isinstance(stack, SparseStack) for stack in stacks):
        return sorted({index for stack in stacks for index in stack.planes})
    return range(len(stacks[0]))


def add_plane(mask: Any, axis: int, index: int, plane: np.ndarray) -> None:
    """Add a plane (H, W) across any axis to a bool stack."""
    if not isinstance(mask, SparseStack):
        np.moveaxis(mask, axis, 0)[index] |= plane
    elif axis == 0:
        mask[index] = mask[index] | plane
    else:
        for row in np.flatnonzero(plane.any(1)).tolist():
            key = (row, index) if axis == 1 else (row, slice(None), index)
            mask[key] = mask[key] | plane[row]
