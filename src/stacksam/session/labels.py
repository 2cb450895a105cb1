"""The committed labels, and changes to them that can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stacksam.core.sparse_stack import SparseStack, empty_stack, planes_of

WIDER = {np.dtype(np.uint8): np.uint16, np.dtype(np.uint16): np.uint32}
LARGEST_LABEL = int(np.iinfo(np.uint32).max)


@dataclass(frozen=True, eq=False)
class LabelsChange:
    """What happened to the labels, as runs of voxels in memory order.

    Attributes
    ----------
    starts, lengths : ndarray of shape (R,), int64
        Flat positions; runs are in ascending order and do not overlap.
    before, after : ndarray of shape (R,), uint32
        The label of each run, until then and from then on.
    """

    starts: np.ndarray
    lengths: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, indices: np.ndarray, before: np.ndarray, after: np.ndarray) -> LabelsChange:
        """Gather voxels, in ascending order, into runs; what stays as it was is left out.

        Parameters
        ----------
        indices : ndarray of shape (N,), integer
        before, after : ndarray of shape (N,), unsigned
        """
        differs = before != after
        indices, before, after = indices[differs], before[differs], after[differs]
        is_start = np.ones(len(indices), dtype=bool)
        is_start[1:] = (
            (np.diff(indices) != 1) | (before[1:] != before[:-1]) | (after[1:] != after[:-1])
        )
        first = np.flatnonzero(is_start)
        return cls(
            indices[first].astype(np.int64),
            np.diff(first, append=len(indices)).astype(np.int64),
            before[first].astype(np.uint32),
            after[first].astype(np.uint32),
        )

    @classmethod
    def joined(cls, parts: Sequence[LabelsChange]) -> LabelsChange:
        """One change of several that follow each other in memory."""
        if not parts:
            return cls.of(*np.zeros((3, 0), np.uint32))
        names = ("starts", "lengths", "before", "after")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def is_empty(self) -> bool:
        """Whether no voxel changed."""
        return not len(self.starts)

    @property
    def nbytes(self) -> int:
        """Of the arrays."""
        arrays = (self.starts, self.lengths, self.before, self.after)
        return sum(array.nbytes for array in arrays)

    @property
    def indices(self) -> np.ndarray:
        """Flat positions of all voxels that changed, ndarray of shape (N,), int64."""
        offsets = np.cumsum(self.lengths) - self.lengths
        return np.repeat(self.starts - offsets, self.lengths) + np.arange(self.lengths.sum())

    def reversed(self) -> LabelsChange:
        """The change that takes this one back."""
        return LabelsChange(self.starts, self.lengths, self.after, self.before)


class LabelImage:
    """Labels of a volume; the dtype grows when an id does not fit.

    Parameters
    ----------
    shape : (Z, Y, X)

    Attributes
    ----------
    data : ndarray of shape (Z, Y, X), unsigned
        A `SparseStack` where a plain array may not fit into memory.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.data: Any = empty_stack(shape, np.uint8)

    def write(
        self, mask: np.ndarray, label_id: int, protected: set[int], earlier_id: int | None = None
    ) -> LabelsChange:
        """Write an object.

        Parameters
        ----------
        mask : ndarray of shape (Z, Y, X), bool
        label_id : int
            Earlier voxels of this id outside the mask are cleared.
        protected : set of int
            Labels that stay where they are.
        earlier_id : int, optional
            The id that the object had until now; its voxels outside the mask are cleared, too.

        Returns
        -------
        change : LabelsChange

        Raises
        ------
        ValueError
            If the id does not fit into 32 bits.
        """
        self.make_room_for(label_id)
        parts = []
        for index in planes_of(self.data, mask):  # plane after plane saves memory
            labels, wanted = self.data[index], mask[index]
            is_own = labels == label_id
            if earlier_id is not None:
                is_own |= labels == earlier_id
            touched = np.flatnonzero(is_own | wanted)
            if not touched.size:
                continue
            before, is_wanted = labels.reshape(-1)[touched], wanted.reshape(-1)[touched]
            if protected:
                is_wanted &= ~np.isin(before, list(protected))
            rest = np.where(is_own.reshape(-1)[touched], 0, before)
            parts.append(self._part(index, touched, before, np.where(is_wanted, label_id, rest)))
        return self._applied(parts)

    def erase(self, label_id: int) -> LabelsChange:
        """Remove an object."""
        parts = []
        for index in planes_of(self.data):
            labels = self.data[index].reshape(-1)
            indices = np.flatnonzero(labels == label_id)
            if indices.size:
                before = labels[indices]
                parts.append(self._part(index, indices, before, np.zeros_like(before)))
        return self._applied(parts)

    def paint(self, labels: np.ndarray, protected: set[int]) -> LabelsChange:
        """Write many objects at once where `labels` is not 0.

        Parameters
        ----------
        labels : ndarray of shape (Z, Y, X), unsigned
        protected : set of int
            Labels that stay where they are.
        """
        self.make_room_for(int(labels.max()))
        parts = []
        for index in planes_of(labels):
            plane = labels[index].reshape(-1)
            indices = np.flatnonzero(plane)
            before, after = self.data[index].reshape(-1)[indices], plane[indices]
            if protected:
                after = np.where(np.isin(before, list(protected)), before, after)
            parts.append(self._part(index, indices, before, after))
        return self._applied(parts)

    def apply(self, change: LabelsChange) -> None:
        """Do, or do again."""
        if change.is_empty:
            return
        self.make_room_for(max(1, int(change.after.max())))
        if not isinstance(self.data, SparseStack):
            self.data.reshape(-1)[change.indices] = np.repeat(change.after, change.lengths)
            return
        area = self.data.shape[1] * self.data.shape[2]
        places = change.starts // area
        for index in np.unique(places).tolist():  # our runs end with their plane
            at = slice(*np.searchsorted(places, [index, index + 1]))
            here = LabelsChange(
                change.starts[at] - index * area,
                change.lengths[at],
                change.before[at],
                change.after[at],
            )
            plane = self.data[index]
            plane.reshape(-1)[here.indices] = np.repeat(here.after, here.lengths)
            self.data[index] = plane

    def make_room_for(self, label_id: int) -> None:
        """Widen the dtype if need be; ValueError if the id does not fit into 32 bits."""
        if not 1 <= label_id <= LARGEST_LABEL:
            raise ValueError(f"label is {label_id}; it has to be between 1 and {LARGEST_LABEL}")
        while label_id > np.iinfo(self.data.dtype).max:
            self.data = self.data.astype(WIDER[self.data.dtype])

    def _part(
        self, index: int, indices: np.ndarray, before: np.ndarray, after: np.ndarray
    ) -> LabelsChange:
        """What happens on one plane; positions are within it."""
        offset = index * self.data.shape[1] * self.data.shape[2]
        before, after = before.astype(np.uint32), after.astype(np.uint32)
        return LabelsChange.of(indices + offset, before, after)

    def _applied(self, parts: Sequence[LabelsChange]) -> LabelsChange:
        change = LabelsChange.joined(parts)
        self.apply(change)
        return change
