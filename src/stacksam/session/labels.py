"""The committed labels, and changes to them that can be undone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDER = {np.dtype(np.uint8): np.uint16, np.dtype(np.uint16): np.uint32}
LARGEST_LABEL = int(np.iinfo(np.uint32).max)


@dataclass(frozen=True)
class LabelsChange:
    """What a commit wrote, as far as undo needs it.

    Attributes
    ----------
    indices : ndarray of shape (N,), int64
        Flat positions that changed.
    before, after : ndarray of shape (N,), uint32
    """

    indices: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def is_empty(self) -> bool:
        """Whether no voxel changed."""
        return not len(self.indices)


class LabelImage:
    """Labels of a volume; the dtype grows when an id does not fit.

    Parameters
    ----------
    shape : (Z, Y, X)
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.data = np.zeros(shape, np.uint8)

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
        if not 1 <= label_id <= LARGEST_LABEL:
            raise ValueError(f"label is {label_id}; it has to be between 1 and {LARGEST_LABEL}")
        while label_id > np.iinfo(self.data.dtype).max:
            self.data = self.data.astype(WIDER[self.data.dtype])
        flat = self.data.reshape(-1)
        wanted = np.flatnonzero(mask)
        if protected:
            wanted = wanted[~np.isin(flat[wanted], list(protected))]
        is_own = self.data == label_id
        if earlier_id not in (None, label_id):
            is_own |= self.data == earlier_id
        indices = np.concatenate([wanted, np.flatnonzero(is_own & ~mask)])
        before, after = flat[indices].astype(np.uint32), np.zeros(len(indices), np.uint32)
        after[: len(wanted)] = label_id
        differs = before != after
        change = LabelsChange(indices[differs], before[differs], after[differs])
        self.apply(change)
        return change

    def erase(self, label_id: int) -> LabelsChange:
        """Remove an object."""
        indices = np.flatnonzero(self.data == label_id)
        before = np.full(len(indices), label_id, np.uint32)
        change = LabelsChange(indices, before, np.zeros_like(before))
        self.apply(change)
        return change

    def apply(self, change: LabelsChange) -> None:
        """Do, or do again."""
        self.data.reshape(-1)[change.indices] = change.after

    def revert(self, change: LabelsChange) -> None:
        """Undo."""
        self.data.reshape(-1)[change.indices] = change.before
