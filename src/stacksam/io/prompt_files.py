"""Read and write ``prompts.json``, the file that tells `stacksam segment` what to segment.

The file is version 1::

    {"version": 1, "window": "auto", "objects": [{"id": 1, "name": "liver", "prompts": [
        {"kind": "box", "axis": 0, "index": 40, "yxyx": [150, 120, 260, 300]},
        {"kind": "point", "zyx": [40, 200, 180], "positive": true},
        {"kind": "scribble", "axis": 0, "index": 40, "points_yx": [[180, 200], [190, 230]],
         "positive": true, "width": 3},
        {"kind": "mask", "axis": 0, "index": 41, "path": "slice.tif"}]}]}

Order is meaning. A mask's path is relative to the file. ``axis`` may be left out (0), as may
``positive`` (true), ``width`` (3), ``window`` and ``name``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptSet,
    ScribblePrompt,
    check_axis,
    check_box,
    check_index,
    check_mask,
    check_point,
    check_scribble,
    point_on_axis,
)
from stacksam.core.windows import Window, WindowSpec
from stacksam.io.atomic import atomic_path
from stacksam.io.readers import read

VERSION = 1


@dataclass(frozen=True)
class PromptFile:
    """What a prompts file says: window (None: not given), prompts, and names by object id."""

    prompts: PromptSet
    window: WindowSpec | None = None
    names: Mapping[int, str] = field(default_factory=dict)


def load_prompts(path: str | os.PathLike, volume_shape: Sequence[int]) -> PromptFile:
    """Read a prompts file and check it against the volume it is for.

    Parameters
    ----------
    path : path-like
    volume_shape : (Z, Y, X)

    Returns
    -------
    PromptFile
        Prompt ids count from 1 in the file's order.

    Raises
    ------
    ReadError
        If the file or a mask it names cannot be read, or an entry is wrong; the text names the
        object and the prompt.
    """
    path = Path(path)
    content = _read_json(path)
    prompts = PromptSet()
    names: dict[int, str] = {}
    for position, entry in enumerate(_get_list(content, "objects", path.name), start=1):
        object_id, name = _read_object(entry, f"object number {position} in {path.name}")
        if object_id in names:
            raise ReadError(f"{path.name} lists object {object_id} twice; ids have to be unique")
        names[object_id] = name
        where = f"object {object_id} in {path.name}"
        for number, data in enumerate(_get_list(entry, "prompts", where), start=1):
            new_id = len(prompts) + 1
            try:
                prompt = _read_prompt(data, new_id, object_id, tuple(volume_shape), path.parent)
            except (ValueError, TypeError) as error:
                raise ReadError(f"prompt {number} of {where}: {error}") from error
            prompts = prompts.with_prompt(prompt)
    return PromptFile(prompts, _read_window(content.get("window"), path.name), names)


def dump_prompts(
    path: str | os.PathLike,
    prompts: PromptSet,
    *,
    window: WindowSpec | None = None,
    names: Mapping[int, str] | None = None,
) -> None:
    """Write a prompts file; masks go beside it as ``<stem>_mask_<prompt id>.tif``.

    Each file is written to a temporary one first and then put in place.

    Raises
    ------
    WriteError
        If the folder cannot be written to.
    """
    path = Path(path)
    names = names or {}
    objects: dict[int, dict[str, Any]] = {}
    for prompt in prompts:
        name = names.get(prompt.object_id, "")
        default = {"id": prompt.object_id, "name": name, "prompts": []}
        entry = objects.setdefault(prompt.object_id, default)
        entry["prompts"].append(_prompt_entry(prompt, path))
    with atomic_path(path) as temporary:
        temporary.write_text(_format(list(objects.values()), window), encoding="utf-8")


def _format(objects: list[dict[str, Any]], window: WindowSpec | None) -> str:
    """The file's text, one prompt a line so that people can read and edit it."""
    head: dict[str, Any] = {"version": VERSION}
    if window is not None:
        limits = (window.low, window.high) if isinstance(window, Window) else window
        head["window"] = limits if isinstance(limits, str) else [float(v) for v in limits]
    blocks = []
    for entry in objects:
        lines = ",\n".join("  " + json.dumps(p, ensure_ascii=False) for p in entry["prompts"])
        start = json.dumps({"id": entry["id"], "name": entry["name"]}, ensure_ascii=False)[:-1]
        blocks.append(f' {start}, "prompts": [\n{lines}]}}')
    return json.dumps(head)[:-1] + ', "objects": [\n' + ",\n".join(blocks) + "]}\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReadError(f"cannot open {path.name}: {reason}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ReadError(f"{path.name} is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise ReadError(f"{path.name} has to hold a JSON object with 'version' and 'objects'")
    if content.get("version") != VERSION:
        raise ReadError(
            f"{path.name} has version {content.get('version')!r}; this StackSAM reads {VERSION}"
        )
    return content


def _get_list(data: dict[str, Any], key: str, where: str) -> list[Any]:
    if key not in data:
        raise ReadError(f"{where} has no '{key}'; it has to be a list")
    if not isinstance(data[key], list):
        raise ReadError(f"'{key}' of {where} has to be a list, not {type(data[key]).__name__}")
    return data[key]


def _read_object(entry: Any, where: str) -> tuple[int, str]:
    if not isinstance(entry, dict):
        raise ReadError(f"{where} has to be a JSON object with 'id' and 'prompts'")
    object_id = entry.get("id")
    if isinstance(object_id, bool) or not isinstance(object_id, int) or object_id < 1:
        raise ReadError(f"{where} has id {object_id!r}; it has to be a whole number from 1 on")
    name = entry.get("name", "")
    if not isinstance(name, str):
        raise ReadError(f"{where} has name {name!r}; it has to be text")
    return object_id, name


def _read_window(window: Any, name: str) -> WindowSpec | None:
    if window is None or isinstance(window, str):
        return window
    try:
        low, high = (float(v) for v in window)
    except (TypeError, ValueError):
        raise ReadError(
            f"{name} has window {window!r}; it has to be a preset's name or [low, high]"
        ) from None
    return (low, high)


def _read_prompt(
    data: Any, prompt_id: int, object_id: int, shape: tuple[int, ...], folder: Path
) -> Prompt:
    """Build one prompt; ValueError with the reason where an entry is wrong."""
    if not isinstance(data, dict):
        raise ValueError("it has to be a JSON object with a 'kind'")
    kind = _need(data, "kind")
    axis = check_axis(data.get("axis", 0))
    if kind == "point":
        index, yx = point_on_axis(_need(data, "zyx"), axis, shape)
        yx = check_point(yx, _plane_shape(shape, axis))
        return PointPrompt(prompt_id, object_id, axis, index, yx, _flag(data, "positive"))
    if kind not in ("box", "scribble", "mask"):
        raise ValueError(f"unknown kind {kind!r}; known are box, point, scribble and mask")
    base = (prompt_id, object_id, axis, check_index(_need(data, "index"), shape[axis]))
    plane = _plane_shape(shape, axis)
    if kind == "box":
        return BoxPrompt(*base, check_box(_need(data, "yxyx"), plane))
    if kind == "scribble":
        points, width = check_scribble(_need(data, "points_yx"), plane, data.get("width", 3.0))
        return ScribblePrompt(*base, points, _flag(data, "positive"), width)
    mask = check_mask(_read_mask(folder, _need(data, "path")), plane)
    return MaskPrompt.from_array(*base, mask)


def _need(data: dict[str, Any], key: str) -> Any:
    if key not in data:
        raise ValueError(f"'{key}' is missing")
    return data[key]


def _flag(data: dict[str, Any], key: str) -> bool:
    value = data.get(key, True)
    if not isinstance(value, bool):
        raise ValueError(f"'{key}' is {value!r}; it has to be true or false")
    return value


def _plane_shape(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    first, second = (shape[a] for a in range(3) if a != axis)
    return (first, second)


def _read_mask(folder: Path, name: Any) -> np.ndarray:
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"'path' is {name!r}; it has to be a file name relative to the prompts file"
        )
    # Both kinds of absolute path are refused everywhere: a file means the same on any system.
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise ValueError("'path' is absolute; it has to be relative to the prompts file")
    path = folder / name
    if not path.is_file():
        raise ValueError(f"the mask file {path.name} does not exist")
    try:
        mask = read(path).data
    except ReadError as error:
        raise ValueError(
            f"the mask file {path.name} cannot be read as an image: {error}"
        ) from error
    return np.asarray(mask)[0] if mask.shape[0] == 1 else np.asarray(mask)


def _prompt_entry(prompt: Prompt, path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": prompt.kind, "axis": prompt.axis, "index": prompt.index}
    if isinstance(prompt, PointPrompt):
        del entry["index"]
        entry |= {"zyx": [float(v) for v in prompt.zyx], "positive": prompt.positive}
    elif isinstance(prompt, BoxPrompt):
        entry["yxyx"] = list(prompt.yxyx)
    elif isinstance(prompt, ScribblePrompt):
        entry["points_yx"] = [list(p) for p in prompt.points_yx]
        entry |= {"positive": prompt.positive, "width": prompt.width}
    else:
        import tifffile

        mask_path = path.with_name(f"{path.stem}_mask_{prompt.prompt_id}.tif")
        image = prompt.to_array().astype(np.uint8) * 255
        with atomic_path(mask_path) as temporary:
            tifffile.imwrite(temporary, image, compression="zlib")
        entry["path"] = mask_path.name
    return entry
