"""A 2D image, 3D stack or 2D time-lapse with its geometry, read slice by slice."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from stacksam.core.chunk_cache import with_chunk_cache
from stacksam.core.scan_info import ScanInfo

AXIS_NAMES = ("z", "y", "x")
_MAX_SAMPLED_SLICES = 32
_MAX_PLANE_VALUES = 2**22  # a larger plane is sampled in tiles
_TILE = 512
_TILES_PER_PLANE = 8
_MAX_HASHED_BYTES = 2**25
_VAST = 2**32  # voxels; of a vast volume less is sampled, as its chunks may be deep
_VAST_SLICES = 16
_VAST_TILES = 2
_VAST_TILE = 128


class Volume:
    """An array of (Z, Y, X) voxels that knows its spacing and its place in space.

    The array is never loaded as a whole: `read_slice` computes one plane, `sample_values` and
    `fingerprint` a bounded number of them. Where chunks on disk hold several slices, those of the
    last slices stay decoded; see `ChunkCache`.

    Parameters
    ----------
    data : array-like of shape (Z, Y, X) or (Z, Y, X, 3), bool, integer or float
        numpy, dask or zarr; kept as it is. (Y, X), or (Y, X, 3) with `rgb`, becomes one slice.
        For a 2D time-lapse axis 0 is time. NaN and infinity are allowed.
    spacing_zyx : sequence of 3 floats, optional
        Distance of neighbouring voxel centres in mm, each > 0. None: unknown, or taken from
        `affine`.
    affine : array-like of shape (4, 4), optional
        Maps (z, y, x, 1) voxel centres to (z, y, x) in mm, in ITK/DICOM LPS orientation.
    rgb : bool
        True if the last axis holds red, green and blue.
    name : str
        For display only.
    notes : sequence of str
        What a reader has to say about the geometry, one sentence each; kept as `notes`.
    scan : ScanInfo, optional
        What the file says beyond that: unit, display window, uneven slice positions, sources;
        kept as `scan`.

    Raises
    ------
    ValueError
        If the number of axes, an empty axis, the spacing, the affine or the slice positions do
        not fit.
    TypeError
        If the array, the spacing or the affine do not hold real numbers.

    Examples
    --------
    >>> volume = Volume(np.zeros((5, 20, 30), np.int16), spacing_zyx=(2.0, 0.8, 0.8))
    >>> volume.shape, volume.plane_shape(axis=1), volume.slice_spacing(axis=0)
    ((5, 20, 30), (5, 30), 2.0)
    """

    def __init__(
        self,
        data: Any,
        spacing_zyx: Any = None,
        affine: Any = None,
        rgb: bool = False,
        name: str = "",
        notes: Iterable[str] = (),
        scan: ScanInfo | None = None,
    ) -> None:
        self._data = _as_stack(_as_array_like(data), bool(rgb))
        self._pixels = with_chunk_cache(self._data)
        self._dtype = np.dtype(self._data.dtype).newbyteorder("=")
        self._rgb = bool(rgb)
        self._affine = None if affine is None else _checked_affine(affine)
        self._spacing_zyx = _resolve_spacing(spacing_zyx, self._affine)
        self._fingerprint: str | None = None
        self.name = str(name)
        self.notes = tuple(notes)
        self.scan = ScanInfo() if scan is None else scan
        _check_slice_positions(self.scan, self.shape[0], self._affine)

    @property
    def data(self) -> Any:
        """Array-like of shape (Z, Y, X) or (Z, Y, X, 3), as it was given."""
        return self._data

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X), without the colour axis."""
        z, y, x = (int(n) for n in self._data.shape[:3])
        return z, y, x

    @property
    def rgb(self) -> bool:
        """True if each voxel is red, green and blue."""
        return self._rgb

    @property
    def dtype(self) -> np.dtype:
        """The stored type in native byte order."""
        return self._dtype

    @property
    def spacing_zyx(self) -> tuple[float, float, float] | None:
        """Voxel spacing in mm, or None if unknown."""
        return self._spacing_zyx

    @property
    def affine(self) -> np.ndarray | None:
        """A copy of the (4, 4) matrix from voxel (z, y, x, 1) to mm (z, y, x) in LPS, or None."""
        return None if self._affine is None else self._affine.copy()

    def n_slices(self, axis: int = 0) -> int:
        """Return the number of slices along `axis`."""
        return self.shape[_checked_axis(axis)]

    def plane_shape(self, axis: int = 0) -> tuple[int, int]:
        """Return the shape of a slice across `axis`, the remaining axes in ascending order."""
        first, second = _plane_axes(axis)
        return self.shape[first], self.shape[second]

    def plane_spacing(self, axis: int = 0) -> tuple[float, float] | None:
        """Return the in-plane spacing in mm of a slice across `axis`, or None if unknown."""
        first, second = _plane_axes(axis)
        spacing = self._spacing_zyx
        return None if spacing is None else (spacing[first], spacing[second])

    def slice_spacing(self, axis: int = 0) -> float | None:
        """Return the distance in mm of neighbouring slices along `axis`, or None if unknown."""
        axis = _checked_axis(axis)
        return None if self._spacing_zyx is None else self._spacing_zyx[axis]

    def positions_mm(self, points_zyx: Any) -> np.ndarray:
        """Return where voxel coordinates lie in space.

        Parameters
        ----------
        points_zyx : array-like of shape (..., 3)
            Integer = voxel centre. Between slices of changing distance the position is
            interpolated, beyond the first and the last one the next step goes on.

        Returns
        -------
        positions : ndarray of shape (..., 3), float64
            (z, y, x) in mm, LPS; from the first voxel's centre where there is no affine.

        Raises
        ------
        ValueError
            If neither spacing nor affine is known.

        Examples
        --------
        >>> Volume(np.zeros((5, 4, 4)), spacing_zyx=(2.0, 0.5, 0.5)).positions_mm([3, 1, 1])
        array([6. , 0.5, 0.5])
        """
        if self._spacing_zyx is None:
            raise ValueError("the volume has no spacing, so its voxels have no position in mm")
        points = np.asarray(points_zyx, np.float64)
        affine = np.diag([*self._spacing_zyx, 1.0]) if self._affine is None else self._affine
        if self.scan.slice_positions is None:
            return points @ affine[:3, :3].T + affine[:3, 3]
        starts = np.asarray(self.scan.slice_positions)
        lower = np.clip(np.floor(points[..., 0]).astype(int), 0, len(starts) - 2)
        part = (points[..., 0] - lower)[..., np.newaxis]
        along = (1 - part) * starts[lower] + part * starts[lower + 1]
        return along + points[..., 1:] @ affine[:3, 1:3].T

    def slice_voxel_volumes(self) -> np.ndarray | None:
        """Return the volume of a voxel of each slice in mm³, shape (Z,), or None if unknown.

        They differ where the slice distance changes: a slice then reaches half way to its
        neighbours.
        """
        if self._spacing_zyx is None:
            return None
        matrix = np.diag(self._spacing_zyx) if self._affine is None else self._affine[:3, :3]
        if self.scan.slice_positions is None:
            return np.full(self.shape[0], abs(float(np.linalg.det(matrix))))
        pixel_area = np.cross(matrix[:, 1], matrix[:, 2])
        gaps = np.abs(np.diff(np.asarray(self.scan.slice_positions) @ pixel_area))
        ends = np.concatenate([gaps[:1], gaps, gaps[-1:]])
        return (ends[:-1] + ends[1:]) / 2

    def read_slice(self, index: int, axis: int = 0) -> np.ndarray:
        """Compute one slice, and only that one.

        Parameters
        ----------
        index : int
            0 <= index < ``n_slices(axis)``.
        axis : {0, 1, 2}
            0 gives (y, x) planes, 1 (z, x), 2 (z, y).

        Returns
        -------
        image : ndarray of shape (H, W) or (H, W, 3)
            In the stored dtype; floats wider than 32 bits become float32. It may share memory
            with `data`: treat it as read-only.

        Raises
        ------
        ValueError
            If `index` or `axis` is out of range.
        TypeError
            If `index` is not an integer.
        """
        axis = _checked_axis(axis)
        return self._read_plane(_checked_index(index, self.n_slices(axis), axis), axis)

    def sample_values(self, n: int = 200_000, seed: int = 0) -> np.ndarray:
        """Draw values from a bounded number of slices, the same ones for the same `seed`.

        Parameters
        ----------
        n : int
            At most this many values, at least 1; a smaller volume gives all of its values.
        seed : int
            Chooses slices and positions.

        Returns
        -------
        values : ndarray of shape (N,) or (N, 3), N <= n
            In the dtype of `read_slice`. Equal for numpy, dask and zarr holding the same voxels.
        """
        if n < 1:
            raise ValueError(f"n is {n}; at least one value has to be drawn")
        rng = np.random.default_rng(seed)
        count = _VAST_SLICES if self._is_vast else _MAX_SAMPLED_SLICES
        indices = _spread_indices(self.shape[0], count, rng)
        parts = []
        for part, index in enumerate(indices):
            share = n * (part + 1) // len(indices) - n * part // len(indices)
            values = self._plane_values(index, rng)
            parts.append(values if len(values) <= share else rng.choice(values, share, False))
        return np.concatenate(parts)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of shape, dtype, spacing and sampled slices, computed once.

        Volumes up to 32 MiB are hashed completely, larger ones from a seeded, bounded set of slices
        (of tiles, where planes are huge). The container and the byte order do not matter.
        """
        if self._fingerprint is None:
            self._fingerprint = self._compute_fingerprint()
        return self._fingerprint

    @property
    def _is_vast(self) -> bool:
        return int(np.prod(self.shape, dtype=np.int64)) > _VAST

    def _compute_fingerprint(self) -> str:
        header = (self.shape, self._rgb, self._dtype.name, self._spacing_zyx)
        digest = hashlib.blake2b(repr(header).encode("ascii"), digest_size=16)
        rng = np.random.default_rng(0)
        plane_bytes = int(np.prod(self._data.shape[1:])) * self._dtype.itemsize
        count = max(3, _MAX_HASHED_BYTES // plane_bytes)
        for index in _spread_indices(self.shape[0], count, rng):
            values = self._plane_values(index, rng, as_stored=True)
            digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def _plane_values(
        self, index: int, rng: np.random.Generator, as_stored: bool = False
    ) -> np.ndarray:
        """Read a plane across axis 0, or seeded tiles of a huge one, as (N,) or (N, 3)."""
        height, width = self.shape[1:]
        if height * width <= _MAX_PLANE_VALUES and not self._is_vast:
            tiles = [self._read_plane(index, 0, as_stored=as_stored)]
        else:
            tiles = []
            count, side = (_VAST_TILES, _VAST_TILE) if self._is_vast else (_TILES_PER_PLANE, _TILE)
            for _ in range(count):
                y = int(rng.integers(0, max(1, height - side + 1)))
                x = int(rng.integers(0, max(1, width - side + 1)))
                window = (slice(y, min(y + side, height)), slice(x, min(x + side, width)))
                tiles.append(self._read_plane(index, 0, window, as_stored=as_stored))
        return np.concatenate([t.reshape((-1, 3) if self._rgb else (-1,)) for t in tiles])

    def _read_plane(
        self,
        index: int,
        axis: int,
        window: tuple[slice, slice] = (slice(None), slice(None)),
        as_stored: bool = False,
    ) -> np.ndarray:
        key: list[int | slice] = list(window)
        key.insert(axis, index)
        image = np.asarray(self._pixels[tuple(key)])
        dtype = self._dtype
        if dtype.kind == "f" and dtype.itemsize > 4 and not as_stored:
            dtype = np.dtype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(image, dtype)

    def __repr__(self) -> str:
        colour = ", rgb" if self._rgb else ""
        return f"Volume({self.shape}, {self._dtype.name}{colour}, spacing_zyx={self._spacing_zyx})"


class _OneSlice:
    """A lazy plane (Y, X, ...) seen as a stack of one slice, for arrays that cannot add an axis."""

    def __init__(self, plane: Any) -> None:
        self.plane = plane
        self.shape = (1, *plane.shape)
        self.ndim = len(self.shape)
        self.dtype = plane.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        if not key or not isinstance(key[0], (int, np.integer, slice)):
            return np.asarray(self)[key]
        return np.asarray(self.plane[key[1:] or Ellipsis])[np.newaxis][key[0]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.plane, dtype=dtype)[np.newaxis]


def _as_array_like(data: Any) -> Any:
    """Keep arrays of any kind, turn sequences and foreign tensors into numpy."""
    try:
        np.dtype(data.dtype)
        tuple(data.shape)
    except (AttributeError, TypeError):
        return np.asarray(data)
    return data


def _as_stack(data: Any, rgb: bool) -> Any:
    """Check dtype and axes of the array and return it with a slice axis."""
    shape = tuple(int(n) for n in data.shape)
    if np.dtype(data.dtype).kind not in "biuf":
        raise TypeError(
            f"data has dtype {data.dtype}; a volume holds booleans, integers or real numbers"
        )
    spatial = len(shape) - int(rgb)
    if spatial not in (2, 3):
        expected = "(Z, Y, X, 3) or (Y, X, 3)" if rgb else "(Z, Y, X) or (Y, X)"
        raise ValueError(
            f"data has shape {shape}; expected {expected}: choose one time point and one channel, "
            "or set rgb for colour images"
        )
    if rgb and shape[-1] != 3:
        raise ValueError(
            f"data has shape {shape}; with rgb=True the last axis holds 3 colours, so drop the "
            "alpha channel or choose one channel"
        )
    if 0 in shape:
        raise ValueError(f"data has shape {shape}; every axis has to hold at least one voxel")
    if spatial == 3:
        return data
    try:
        return data[np.newaxis]
    except (IndexError, TypeError, ValueError):  # zarr cannot add an axis
        return _OneSlice(data)


def _checked_affine(affine: Any) -> np.ndarray:
    matrix = _as_floats(affine, "affine")
    if matrix.shape != (4, 4):
        raise ValueError(f"affine has shape {matrix.shape}; expected (4, 4)")
    if not np.isfinite(matrix).all():
        raise ValueError("affine holds NaN or infinity; every entry has to be a finite number")
    if not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise ValueError(f"affine has last row {matrix[3].tolist()}; expected [0, 0, 0, 1]")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if (lengths == 0).any() or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise ValueError("affine cannot be inverted; its 3x3 part has to span all three axes")
    return matrix


def _check_slice_positions(scan: ScanInfo, count: int, affine: np.ndarray | None) -> None:
    if scan.slice_positions is None:
        return
    positions = _as_floats(scan.slice_positions, "slice_positions")
    if positions.shape != (count, 3) or count < 2 or not np.isfinite(positions).all():
        raise ValueError(
            f"slice_positions have shape {positions.shape}; expected finite numbers of shape "
            f"({count}, 3), one place per slice of at least two"
        )
    if affine is None:
        raise ValueError("slice_positions are given without an affine; give both")


def _resolve_spacing(
    spacing_zyx: Any, affine: np.ndarray | None
) -> tuple[float, float, float] | None:
    """Check the spacing, or take it from the affine's columns."""
    lengths = None if affine is None else np.linalg.norm(affine[:3, :3], axis=0)
    if spacing_zyx is None:
        return None if lengths is None else _three_floats(lengths)
    spacing = _as_floats(spacing_zyx, "spacing_zyx")
    if spacing.shape != (3,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise ValueError(
            f"spacing_zyx is {spacing.tolist()}; expected three finite numbers above 0 (mm)"
        )
    if lengths is not None and not np.allclose(spacing, lengths, rtol=1e-3, atol=0):
        raise ValueError(
            f"spacing_zyx is {spacing.tolist()} but the affine's columns say {lengths.tolist()}; "
            "give only the affine"
        )
    return _three_floats(spacing)


def _as_floats(values: Any, name: str) -> np.ndarray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {values!r}; expected numbers") from None


def _three_floats(values: np.ndarray) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return z, y, x


def _checked_axis(axis: int) -> int:
    if axis not in (0, 1, 2):
        raise ValueError(f"axis is {axis}; expected 0 (z), 1 (y) or 2 (x)")
    return int(axis)


def _plane_axes(axis: int) -> tuple[int, int]:
    first, second = (a for a in range(3) if a != _checked_axis(axis))
    return first, second


def _checked_index(index: int, count: int, axis: int) -> int:
    try:
        index = operator.index(index)
    except TypeError:
        raise TypeError(f"slice index is {index!r}; expected an integer") from None
    if not 0 <= index < count:
        raise ValueError(
            f"slice index is {index}; axis {axis} ({AXIS_NAMES[axis]}) has slices 0 to {count - 1}"
        )
    return index


def _spread_indices(total: int, count: int, rng: np.random.Generator) -> list[int]:
    """Choose at most `count` indices, one at random out of each of `count` equal intervals."""
    if total <= count:
        return list(range(total))
    edges = np.linspace(0, total, count + 1).astype(int)
    return [int(rng.integers(low, high)) for low, high in pairwise(edges)]
