"""Labels from elsewhere become objects, or masks that the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stacksam.core.prompts import MaskPrompt, PromptSet
from stacksam.core.volume import Volume
from stacksam.session.state import State, new_object


def check_labels(labels: np.ndarray, volume: Volume) -> np.ndarray:
    """Labels as they can be imported.

    Parameters
    ----------
    labels : array-like of shape (Z, Y, X), integer or bool
        At least 0. A plane (Y, X) for a volume of one slice is fine, too.
    volume : Volume

    Returns
    -------
    labels : ndarray of shape (Z, Y, X), uint32

    Raises
    ------
    ValueError
        If the shape is another one, or there is nothing but background, or a label is negative.
    TypeError
        If they are not whole numbers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biu":
        raise TypeError(f"labels have dtype {labels.dtype}; they have to be whole numbers")
    if labels.ndim == 2 and volume.shape[0] == 1:
        labels = labels[np.newaxis]
    if labels.shape != volume.shape:
        raise ValueError(f"labels have shape {labels.shape}; the image has {volume.shape}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise ValueError(f"labels reach from {low} to {high}; they have to fit into 32 bits")
    if high == 0:
        raise ValueError("the labels hold nothing but background; there is nothing to import")
    return labels.astype(np.uint32)


def free_ids(wanted: list[int], taken: set[int], last: int) -> dict[int, int]:
    """For each wanted label itself where it is free, otherwise one above all these and `last`."""
    given, next_id = {}, 1 + max([*taken, *wanted, last])
    for label in wanted:
        given[label] = label
        if label in taken:
            given[label], next_id = next_id, next_id + 1
    return given


def values_in(labels: np.ndarray) -> list[int]:
    """The labels that occur, in ascending order, without background."""
    found = set[int]().union(*(np.unique(plane).tolist() for plane in labels))
    return sorted(found - {0})


def relabelled(labels: np.ndarray, ids: dict[int, int]) -> np.ndarray:
    """Labels with other values: a new ndarray (Z, Y, X) of uint32; those not in `ids` become 0."""
    known = np.array(sorted({0, *ids}), np.uint32)
    new = np.array([ids.get(int(value), 0) for value in known], np.uint32)
    out = np.empty(labels.shape, np.uint32)
    for plane, renamed in zip(labels, out, strict=True):  # plane after plane saves memory
        places = np.minimum(np.searchsorted(known, plane), len(known) - 1)
        renamed[:] = np.where(known[places] == plane, new[places], 0)
    return out


def with_objects(
    state: State, labels: np.ndarray, next_id: int
) -> tuple[State, list[int], np.ndarray]:
    """Each label as a committed object.

    Returns
    -------
    state : State
    object_ids : list of int
        From `next_id` on.
    painted : ndarray of shape (Z, Y, X), uint32
        The labels under the values they get in the session.
    """
    taken = {info.label_id for info in state.objects.values() if info.label_id is not None}
    ids = free_ids(values_in(labels), taken, state.last_label)
    object_ids = list(range(next_id, next_id + len(ids)))
    for number, (object_id, label_id) in enumerate(zip(object_ids, ids.values(), strict=True), 1):
        info = replace(new_object(object_id), name=f"imported {number}")
        state = state.with_object(replace(info, label_id=label_id, is_locked=True))
    return state, object_ids, relabelled(labels, ids)


def with_keyframes(
    state: State, labels: np.ndarray, axis: int, groups: Mapping[int, list[int]], next_id: int
) -> State:
    """Each slice of an object's labels as a mask that the user gave.

    Parameters
    ----------
    state : State
    labels : ndarray of shape (Z, Y, X), uint32
    axis : int
    groups : mapping of object id to the labels that make it up
    next_id : int
        Of the first prompt.
    """
    prompts = list(state.prompts)
    for number, (object_id, values) in enumerate(groups.items(), start=1):
        if object_id not in state.objects:
            info = replace(new_object(object_id), name=f"imported {number}")
            state = state.with_object(info)
        for index, plane in enumerate(np.moveaxis(labels, axis, 0)):
            mask = np.isin(plane, values)
            if mask.any():
                prompt_id = next_id + len(prompts) - len(state.prompts)
                prompts.append(MaskPrompt.from_array(prompt_id, object_id, axis, index, mask))
    return state.with_prompts(PromptSet(tuple(prompts)))
