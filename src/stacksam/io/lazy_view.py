"""An array on disk seen with some axes fixed and the others reordered, without reading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class LazyView:
    """A view of an array-like; choosing and reordering axes reads nothing, indexing does.

    Parameters
    ----------
    source : array-like
        Has shape and dtype and is indexed with integers and slices: numpy, zarr, dask.
    selection : sequence of int or slice, optional
        For each axis of the source its fixed index, or the slice the view keeps.
    order : sequence of int, optional
        The source's kept axes in the order of the view.

    Examples
    --------
    >>> view = LazyView(np.arange(24).reshape(2, 3, 4)).take(0, 1).transpose([1, 0])
    >>> view.shape, view[2].tolist(), view[1:3, 2].tolist()
    ((4, 3), [14, 18, 22], [21, 22])
    """

    def __init__(
        self,
        source: Any,
        selection: Sequence[int | slice] | None = None,
        order: Sequence[int] | None = None,
    ) -> None:
        self.source = source
        self._selection = tuple(selection or (slice(0, n) for n in source.shape))
        kept = [a for a, part in enumerate(self._selection) if isinstance(part, slice)]
        self._order = tuple(kept if order is None else order)
        self.shape = tuple(len(self._range(axis)) for axis in self._order)
        self.dtype = np.dtype(source.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes of the view."""
        return len(self.shape)

    @property
    def chunks(self) -> tuple[Any, ...] | None:
        """The source's chunks along the view's axes; None if it has none or they are cut."""
        chunks = getattr(self.source, "chunks", None)
        if chunks is None or any(
            self._range(a) != range(self.source.shape[a]) for a in self._order
        ):
            return None
        return tuple(chunks[axis] for axis in self._order)

    def take(self, axis: int, index: int) -> LazyView:
        """Return a view without `axis`, fixed at `index`."""
        return self._with(axis, self._range(self._order[axis])[index])

    def keep_first(self, axis: int, count: int) -> LazyView:
        """Return a view of the first `count` entries of `axis`."""
        part = self._range(self._order[axis])[:count]
        return self._with(axis, slice(part.start, part.stop, part.step))

    def transpose(self, axes: Sequence[int]) -> LazyView:
        """Return a view with its axes in another order."""
        return LazyView(self.source, self._selection, [self._order[a] for a in axes])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read voxels; integers, slices with a positive step and an ellipsis are possible."""
        view, axis = self, 0
        for part in _expanded(key, self.ndim):
            chosen = view._range(view._order[axis])[part]
            if isinstance(chosen, range):
                view = view._with(axis, slice(chosen.start, chosen.stop, chosen.step))
                axis += 1
            else:
                view = view._with(axis, chosen)
        return view.read()

    def read(self) -> np.ndarray:
        """Read the whole view."""
        array = np.asarray(self.source[self._selection])
        kept = sorted(self._order)
        return array.transpose([kept.index(axis) for axis in self._order])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(), dtype=dtype)

    def _range(self, source_axis: int) -> range:
        part = self._selection[source_axis]
        assert isinstance(part, slice)
        return range(*part.indices(self.source.shape[source_axis]))

    def _with(self, axis: int, part: int | slice) -> LazyView:
        """Narrow one axis of the view."""
        source_axis = self._order[axis]
        selection = (*self._selection[:source_axis], part, *self._selection[source_axis + 1 :])
        order = [a for a in self._order if isinstance(selection[a], slice)]
        return LazyView(self.source, selection, order)


def _expanded(key: Any, ndim: int) -> list[int | slice]:
    """Write an index out with one entry per axis."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if not all(isinstance(p, (int, np.integer, slice)) or p is Ellipsis for p in parts):
        raise IndexError(f"index {key!r} is not possible here; use integers and slices")
    if any(isinstance(p, slice) and (p.step or 1) < 0 for p in parts):
        raise IndexError(f"index {key!r} is not possible here; use slices with a positive step")
    where = next((i for i, p in enumerate(parts) if p is Ellipsis), len(parts))
    given = parts[:where] + parts[where + 1 :]
    if len(given) > ndim:
        raise IndexError(f"index {key!r} has more entries than the {ndim} axes")
    filling = [slice(None)] * (ndim - len(given))
    return parts[:where] + filling + parts[where + 1 :]
