"""Out of all frames of a DICOM folder: one series, and one image at each slice position."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.io.axes import Choice, pick_index
from stacksam.io.dicom_geometry import normal_of
from stacksam.io.dicom_headers import SPLITTERS, Frame

_SAME_PLACE = 1e-4  # mm; images closer than this lie at one slice position


def pick_series(frames: list[Frame], series: int | str | None, name: str) -> list[Frame]:
    """Return the frames of one series, chosen by its index in the listing or by its UID.

    Images of other orientation or size within a series (a scout) count as a series of their own.

    Raises
    ------
    ReadError
        If there are several and none is chosen, or the choice does not exist; all are listed.
    """
    stacks = _stacks(frames)
    labels = [_describe(stack) for stack in stacks]
    if isinstance(series, str):
        found = [i for i, stack in enumerate(stacks) if stack[0].series == series]
        if len(found) == 1:
            return stacks[found[0]]
        if found:
            parts = ", ".join(f"{i} ({labels[i]})" for i in found)
            raise ReadError(
                f"{name} holds images of {len(found)} kinds in that series; choose one with "
                f"series= out of {parts}"
            )
    return stacks[pick_index(series, len(stacks), "series", name, labels)]


def _stacks(frames: list[Frame]) -> list[list[Frame]]:
    """Sort frames into stacks: one series, one orientation, one size (a scout is a stack apart)."""
    stacks: list[list[Frame]] = []
    for frame in sorted(frames, key=lambda f: f.orientation is None):
        home = next((stack for stack in stacks if _belongs(frame, stack[0])), None)
        if home is None:
            stacks.append([frame])
        else:
            home.append(frame)
    return sorted(stacks, key=lambda s: (s[0].series_number, s[0].series, s[0].path, s[0].index))


def _belongs(frame: Frame, first: Frame) -> bool:
    if (frame.series, frame.shape) != (first.series, first.shape):
        return False
    if frame.index > 0 and frame.position is None:  # of a film
        return frame.path == first.path
    if frame.orientation is None or first.orientation is None:
        return True
    is_parallel = np.allclose(frame.orientation, first.orientation, rtol=0, atol=1e-3)
    if frame.pixel_spacing is None or first.pixel_spacing is None:
        return is_parallel
    return is_parallel and np.allclose(frame.pixel_spacing, first.pixel_spacing, rtol=1e-3)


def _describe(stack: list[Frame]) -> str:
    count = f"{len(stack)} slice{'s' if len(stack) > 1 else ''}"
    return ", ".join(part for part in (count, stack[0].modality, stack[0].description) if part)


def pick_images(
    frames: list[Frame], channel: Choice, time: int | None, name: str
) -> tuple[list[Frame], Choice, int | None]:
    """Return one frame per position in ascending order, and the choices that were not needed.

    Raises
    ------
    ReadError
        If a choice is missing or wrong, or nothing tells the images at one position apart.
    """
    if len(frames) == 1:
        return frames, channel, time
    frames, places = _sorted_by_place(frames)
    choices: dict[str, Any] = {"channel": channel, "time": time}
    while len(frames) > len(set(places)):
        split = _first_split(frames, places, list(choices))
        if split is None:
            raise ReadError(
                f"{name} holds {len(frames)} images at {len(set(places))} slice positions and "
                "nothing tells them apart; remove the repeated files"
            )
        word, groups, labels = split
        frames = groups[pick_index(choices.pop(word), len(groups), word, name, labels)]
        frames, places = _sorted_by_place(frames)
    return frames, choices.get("channel"), choices.get("time")


def _sorted_by_place(frames: list[Frame]) -> tuple[list[Frame], list[int]]:
    """Sort along the normal and number the positions from 0."""
    assert frames[0].orientation is not None
    normal = normal_of(frames[0].orientation)
    along = np.array([frame.position for frame in frames], float) @ normal
    numbers = [frame.number for frame in frames]
    order = np.lexsort((numbers, np.round(along / _SAME_PLACE)))
    places = np.cumsum(np.diff(along[order], prepend=along[order[0]]) > _SAME_PLACE)
    return [frames[i] for i in order], places.tolist()


def _first_split(
    frames: list[Frame], places: list[int], words: list[str]
) -> tuple[str, list[list[Frame]], list[str]] | None:
    """Find what tells the images at one position apart: each group has to cover all positions."""
    for which, (_, word, unit) in enumerate(SPLITTERS):
        groups: dict[str, list[Frame]] = {}
        covered: dict[str, set[int]] = {}
        for frame, place in zip(frames, places, strict=True):
            value = frame.splitters[which]
            groups.setdefault(value, []).append(frame)
            covered.setdefault(value, set()).add(place)
        is_complete = all(places_of == set(places) for places_of in covered.values())
        if word in words and len(groups) > 1 and is_complete:
            values = sorted(groups, key=_by_number)
            return word, [groups[v] for v in values], [f"{v}{unit}" for v in values]
    return None


def _by_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return 0.0, value
