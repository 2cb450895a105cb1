"""What becomes of locked objects that a new one would cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np

from stacksam.core.errors import StackSAMError
from stacksam.core.sparse_stack import planes_of

Policy = Literal["keep", "overwrite", "ask"]

POLICIES = ("keep", "overwrite", "ask")
"""Locked objects keep their voxels; they give way; nothing happens until somebody has decided."""


class OverlapError(StackSAMError, ValueError):
    """An object would cover locked ones, and the policy is to ask.

    Attributes
    ----------
    overlaps : dict of label id to number of voxels
    fact : str
        What is the case, as half a sentence.
    """

    def __init__(self, name: str, overlaps: Mapping[int, int], names: Mapping[int, str]) -> None:
        parts = [f"{n} voxels of {names[label]} (label {label})" for label, n in overlaps.items()]
        self.fact = f"{name} covers {', '.join(parts)}"
        super().__init__(f"{self.fact}; choose 'overwrite' to take them or 'keep' to leave them")
        self.overlaps = dict(overlaps)


def policy_of(overwrite: bool | str) -> str:
    """The policy's name; ValueError if there is none of that name.

    Examples
    --------
    >>> policy_of(False), policy_of(True), policy_of("ask")
    ('keep', 'overwrite', 'ask')
    """
    if isinstance(overwrite, bool | np.bool_):
        return "overwrite" if overwrite else "keep"
    if overwrite not in POLICIES:
        raise ValueError(f"overwrite is {overwrite!r}; choose {', '.join(POLICIES)}, True or False")
    return overwrite


def overlaps_of(labels: Any, mask: Any, protected: Collection[int]) -> dict[int, int]:
    """How many voxels of protected labels lie in a mask.

    Parameters
    ----------
    labels : ndarray of shape (Z, Y, X), unsigned
    mask : ndarray of shape (Z, Y, X), bool
    protected : collection of int

    Returns
    -------
    overlaps : dict of label id to int
        Only those that have some, in ascending order.
    """
    found: Counter[int] = Counter()
    for index in planes_of(mask):
        values, counts = np.unique(labels[index][mask[index]], return_counts=True)
        found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return {value: found[value] for value in sorted(found) if value in protected}
