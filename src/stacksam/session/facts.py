"""The facts of a session as plain JSON values, and what differs between two states of them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np

from stacksam.core.cleanup import CleanUp
from stacksam.core.prompts import Prompt, PromptSet, prompt_from_dict, prompt_to_dict
from stacksam.core.windows import Window
from stacksam.propagation import SliceMask
from stacksam.session.labels import LabelsChange
from stacksam.session.results import PropagationResult
from stacksam.session.state import KeptResult, ObjectInfo, State

Json = dict[str, Any]


def difference(before: State, after: State) -> Json:
    """What to change in a state to get another one, without results; empty if nothing.

    The inverse is `patched`.
    """
    facts: Json = {}
    if before.window != after.window:
        facts["window"] = [after.window.low, after.window.high]
    if before.window_name != after.window_name:
        facts["window_name"] = after.window_name
    if before.last_label != after.last_label:
        facts["last_label"] = after.last_label
    if before.prompts != after.prompts:
        known = _by_id(before.prompts)
        new = {p.prompt_id: p for p in after.prompts if known.get(p.prompt_id) != p}
        set_to = {i: prompt_to_dict(p) for i, p in new.items()}
        facts["prompts"] = _changes(list(known), list(_by_id(after.prompts)), set_to)
    if before.objects != after.objects or list(before.objects) != list(after.objects):
        changed = {i: o for i, o in after.objects.items() if before.objects.get(i) != o}
        set_to = {i: object_to_dict(o) for i, o in changed.items()}
        facts["objects"] = _changes(list(before.objects), list(after.objects), set_to)
    return facts


def results_difference(before: State, after: State) -> dict[int, KeptResult | None]:
    """Results of `after` that `before` lacks or has otherwise, None for those that are gone."""
    ids = dict.fromkeys([*before.results, *after.results])
    return {i: after.results.get(i) for i in ids if before.results.get(i) != after.results.get(i)}


def patched(state: State, facts: Json, results: Json | None = None) -> State:
    """A state after the changes that `difference` and `result_to_dict` wrote down.

    Parameters
    ----------
    state : State
    facts : dict
    results : dict of object id to dict or None, optional

    Raises
    ------
    KeyError, TypeError, ValueError
        If they are damaged.
    """
    window = Window(*map(float, facts["window"])) if "window" in facts else state.window
    prompts, objects = state.prompts, dict(state.objects)
    if "prompts" in facts:
        given = [prompt_from_dict(p) for p in facts["prompts"]["set"]]
        known = _patch({p.prompt_id: p for p in prompts}, facts["prompts"], _by_id(given))
        prompts = PromptSet(tuple(known.values()))
    if "objects" in facts:
        described = [object_from_dict(o) for o in facts["objects"]["set"]]
        objects = _patch(objects, facts["objects"], {o.object_id: o for o in described})
    if not set(prompts.object_ids) <= set(objects):
        raise ValueError("prompts of an object that is not listed")
    state = State(
        window,
        prompts,
        MappingProxyType(objects),
        state.results,
        str(facts.get("window_name", state.window_name)),
        int(facts.get("last_label", state.last_label)),
    ).with_prompts(prompts)
    changed = {
        int(i): None if r is None else result_from_dict(r, prompts.for_object(int(i)))
        for i, r in (results or {}).items()
    }
    return state.with_results(changed)


def _by_id(prompts: Iterable[Prompt]) -> dict[int, Prompt]:
    return {p.prompt_id: p for p in prompts}


def _changes(before: list[int], after: list[int], new: Mapping[int, Json]) -> Json:
    """Which entries go, which come or are replaced, and the order where that does not tell it."""
    kept = set(after)
    changes: Json = {"gone": [i for i in before if i not in kept], "set": list(new.values())}
    order = list(dict.fromkeys([*(i for i in before if i in kept), *new]))
    return changes if order == after else {**changes, "order": after}


def _patch(known: dict[int, Any], changes: Json, new: Mapping[int, Any]) -> dict[int, Any]:
    gone = set(changes["gone"])
    out = {i: value for i, value in known.items() if i not in gone} | dict(new)
    return {int(i): out[int(i)] for i in changes["order"]} if "order" in changes else out


def object_to_dict(info: ObjectInfo) -> Json:
    """An object, without its prompts, as JSON values."""
    return {
        "object_id": info.object_id,
        "name": info.name,
        "label_id": info.label_id,
        "color": list(info.color),
        "is_locked": info.is_locked,
        "clean_up": None if info.clean_up is None else asdict(info.clean_up),
    }


def object_from_dict(values: Json) -> ObjectInfo:
    """The inverse of `object_to_dict`."""
    red, green, blue = (float(v) for v in values["color"])
    return ObjectInfo(
        int(values["object_id"]),
        str(values["name"]),
        None if values["label_id"] is None else int(values["label_id"]),
        (red, green, blue),
        bool(values["is_locked"]),
        clean_up=None if values["clean_up"] is None else CleanUp(**values["clean_up"]),
    )


def results_to_dict(state: State) -> Json:
    """All results of a state as JSON values, by object id."""
    prompts = state.prompts
    return {
        str(i): result_to_dict(kept, prompts.for_object(i)) for i, kept in state.results.items()
    }


def result_to_dict(kept: KeptResult, prompts: PromptSet) -> Json:
    """A result as JSON values.

    Parameters
    ----------
    kept : KeptResult
    prompts : PromptSet
        The object's present ones, which are not repeated if the result follows from them.
    """
    result = kept.result
    is_current = kept.prompts == prompts
    return {
        "prompts": None if is_current else [prompt_to_dict(p) for p in kept.prompts],
        "axis": result.axis,
        "shape": list(result.shape),
        "keyframes": list(result.keyframes),
        "complete": result.complete,
        "slices": {str(i): _mask_to_list(mask) for i, mask in result.slices.items()},
    }


def result_from_dict(values: Json, prompts: PromptSet) -> KeptResult:
    """The inverse of `result_to_dict`."""
    if values["prompts"] is not None:
        prompts = PromptSet(tuple(prompt_from_dict(p) for p in values["prompts"]))
    axis = int(values["axis"])
    z, y, x = (int(n) for n in values["shape"])
    height, width = (n for a, n in enumerate((z, y, x)) if a != axis)
    slices = {
        int(i): _mask_from_list(mask, (height, width)) for i, mask in values["slices"].items()
    }
    keyframes = [int(i) for i in values["keyframes"]]
    result = PropagationResult(axis, (z, y, x), slices, keyframes, bool(values["complete"]))
    return KeptResult(prompts, result)


def _mask_to_list(found: SliceMask) -> list[Any]:
    box = None if found.box is None else list(found.box)
    packed = base64.b64encode(found.packed).decode("ascii")
    return [box, packed, found.score, found.presence, found.is_given]


def _mask_from_list(values: list[Any], plane_shape: tuple[int, int]) -> SliceMask:
    box, packed, score, presence, is_given = values
    if box is not None:
        y0, x0, y1, x1 = (int(v) for v in box)
        if not (0 <= y0 < y1 <= plane_shape[0] and 0 <= x0 < x1 <= plane_shape[1]):
            raise ValueError("a mask of a result lies outside of the slice")
        box = (y0, x0, y1, x1)
    return SliceMask(
        plane_shape, box, base64.b64decode(packed), float(score), float(presence), bool(is_given)
    )


def change_to_dict(change: LabelsChange) -> Json:
    """A change of the labels as JSON values: runs, compressed."""
    columns = np.concatenate(
        [
            np.diff(change.starts, prepend=0),  # steps compress better than positions
            change.lengths,
            change.before.astype(np.int64),
            change.after.astype(np.int64),
        ]
    )
    data = zlib.compress(columns.astype("<i8").tobytes(), 6)
    return {"runs": len(change.starts), "data": base64.b64encode(data).decode("ascii")}


def change_from_dict(values: Json, n_voxels: int) -> LabelsChange:
    """The inverse of `change_to_dict`; ValueError if it reaches beyond the volume."""
    columns = np.frombuffer(zlib.decompress(base64.b64decode(values["data"])), "<i8")
    steps, lengths, before, after = columns.reshape(4, int(values["runs"])).astype(np.int64)
    starts = np.cumsum(steps)
    if len(starts) and (
        starts.min() < 0
        or lengths.min() < 1
        or (starts + lengths).max() > n_voxels
        or min(before.min(), after.min()) < 0
    ):
        raise ValueError("a change of the labels reaches beyond the image")
    return LabelsChange(starts, lengths, before.astype(np.uint32), after.astype(np.uint32))
