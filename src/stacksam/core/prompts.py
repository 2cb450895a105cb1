"""Prompts: what a user pointed at, as frozen facts that can be compared, hashed and written down.

A prompt lies on one slice of the volume, given by `axis` and `index`. Its in-plane coordinates
follow the remaining axes in ascending order (axis 0: y, x; axis 1: z, x; axis 2: z, y) and are
called ``yx`` whatever the axis. For points an integer is a pixel centre, so a plane of H rows
reaches from -0.5 up to (not including) H - 0.5. A box is half-open: ``(2, 3, 5, 9)`` holds rows
2 to 4 and columns 3 to 8.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

Pair = tuple[float, float]
Shape2D = tuple[int, int]

_BASE_KEYS = ("prompt_id", "object_id", "axis", "index")


@dataclass(frozen=True)
class SlicePrompt:
    """What every prompt has: its own id, its object's id, and the slice it lies on."""

    kind: ClassVar[str] = ""

    prompt_id: int
    object_id: int
    axis: int
    index: int


@dataclass(frozen=True)
class PointPrompt(SlicePrompt):
    """A click at ``yx``; negative ones say "not here"."""

    kind: ClassVar[str] = "point"

    yx: Pair
    positive: bool = True

    @property
    def zyx(self) -> tuple[float, float, float]:
        """The point in voxels of the volume; on the prompt's axis this is the slice index."""
        zyx = list(self.yx)
        zyx.insert(self.axis, float(self.index))
        return (zyx[0], zyx[1], zyx[2])


@dataclass(frozen=True)
class BoxPrompt(SlicePrompt):
    """A half-open box ``(y0, x0, y1, x1)`` around the object."""

    kind: ClassVar[str] = "box"

    yxyx: tuple[float, float, float, float]


@dataclass(frozen=True)
class ScribblePrompt(SlicePrompt):
    """A stroke through `points_yx`, `width` pixels wide."""

    kind: ClassVar[str] = "scribble"

    points_yx: tuple[Pair, ...]
    positive: bool = True
    width: float = 3.0


@dataclass(frozen=True)
class MaskPrompt(SlicePrompt):
    """A whole slice decided by the user, kept packed so that comparing and hashing are cheap.

    All-False means that the object is absent on this slice. Build it with `from_array`.
    """

    kind: ClassVar[str] = "mask"

    shape: Shape2D
    packed: bytes

    @classmethod
    def from_array(
        cls, prompt_id: int, object_id: int, axis: int, index: int, mask: np.ndarray
    ) -> MaskPrompt:
        """Pack a bool mask of shape (H, W)."""
        mask = np.ascontiguousarray(mask, dtype=bool)
        if mask.ndim != 2:
            raise ValueError(f"a mask prompt has to be (H, W), not of shape {mask.shape}")
        packed = zlib.compress(np.packbits(mask).tobytes(), 6)
        return cls(prompt_id, object_id, axis, index, (mask.shape[0], mask.shape[1]), packed)

    def to_array(self) -> np.ndarray:
        """The mask as a new bool array of shape (H, W)."""
        bits = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        size = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=size).astype(bool).reshape(self.shape)

    @property
    def is_absent(self) -> bool:
        """Whether the mask is all-False."""
        return not any(zlib.decompress(self.packed))


Prompt = PointPrompt | BoxPrompt | ScribblePrompt | MaskPrompt


@dataclass(frozen=True)
class PromptSet:
    """All prompts of a session in the order in which they were given; order is meaning.

    Examples
    --------
    >>> prompts = PromptSet().with_prompt(PointPrompt(1, 7, axis=0, index=3, yx=(2.0, 5.0)))
    >>> prompts.touched_slices(object_id=7, axis=0)
    [3]
    >>> len(prompts.without(1))
    0
    """

    prompts: tuple[Prompt, ...] = ()

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects in the order of their first prompt."""
        return tuple(dict.fromkeys(p.object_id for p in self.prompts))

    @property
    def next_id(self) -> int:
        """One more than the largest prompt id in use."""
        return 1 + max((p.prompt_id for p in self.prompts), default=0)

    def get(self, prompt_id: int) -> Prompt:
        """The prompt of that id; ValueError if there is none."""
        for prompt in self.prompts:
            if prompt.prompt_id == prompt_id:
                return prompt
        raise ValueError(f"there is no prompt {prompt_id}; it may have been removed already")

    def with_prompt(self, prompt: Prompt) -> PromptSet:
        """A new set with `prompt` at the end; ValueError if its id is taken."""
        if any(p.prompt_id == prompt.prompt_id for p in self.prompts):
            raise ValueError(f"prompt id {prompt.prompt_id} is already taken; ids are unique")
        return PromptSet((*self.prompts, prompt))

    def without(self, prompt_id: int) -> PromptSet:
        """A new set without that prompt; ValueError if there is none."""
        self.get(prompt_id)
        return self._keep(p for p in self.prompts if p.prompt_id != prompt_id)

    def cleared(
        self, object_id: int, index: int | None = None, axis: int | None = None
    ) -> PromptSet:
        """A new set without the object's prompts, or without those on one slice or axis only."""

        def is_cleared(p: Prompt) -> bool:
            return (
                p.object_id == object_id
                and (index is None or p.index == index)
                and (axis is None or p.axis == axis)
            )

        return self._keep(p for p in self.prompts if not is_cleared(p))

    def for_object(self, object_id: int) -> PromptSet:
        """The object's prompts, in order."""
        return self._keep(p for p in self.prompts if p.object_id == object_id)

    def by_object(self) -> dict[int, tuple[Prompt, ...]]:
        """All prompts, by object in the order of their first prompt."""
        grouped: dict[int, list[Prompt]] = {}
        for prompt in self.prompts:
            grouped.setdefault(prompt.object_id, []).append(prompt)
        return {object_id: tuple(prompts) for object_id, prompts in grouped.items()}

    def on_slice(self, object_id: int, index: int, axis: int = 0) -> tuple[Prompt, ...]:
        """The prompts in force on one slice: from its last mask on, all if there is none."""
        here = [
            p
            for p in self.prompts
            if p.object_id == object_id and p.axis == axis and p.index == index
        ]
        masks = [i for i, p in enumerate(here) if isinstance(p, MaskPrompt)]
        return tuple(here[masks[-1] :] if masks else here)

    def touched_slices(self, object_id: int, axis: int = 0) -> list[int]:
        """Sorted indices of the slices on which the object has a prompt."""
        return sorted(
            {p.index for p in self.prompts if p.object_id == object_id and p.axis == axis}
        )

    def _keep(self, prompts: Iterable[Prompt]) -> PromptSet:
        return PromptSet(tuple(prompts))


def prompt_to_dict(prompt: Prompt) -> dict[str, Any]:
    """A prompt as plain JSON values (a mask as base64 text), the inverse of `prompt_from_dict`."""
    out: dict[str, Any] = {
        "kind": prompt.kind,
        "prompt_id": int(prompt.prompt_id),
        "object_id": int(prompt.object_id),
        "axis": int(prompt.axis),
        "index": int(prompt.index),
    }
    if isinstance(prompt, PointPrompt):
        out |= {"yx": [float(v) for v in prompt.yx], "positive": bool(prompt.positive)}
    elif isinstance(prompt, BoxPrompt):
        out["yxyx"] = [float(v) for v in prompt.yxyx]
    elif isinstance(prompt, ScribblePrompt):
        out["points_yx"] = [[float(y), float(x)] for y, x in prompt.points_yx]
        out |= {"positive": bool(prompt.positive), "width": float(prompt.width)}
    else:
        out["shape"] = [int(n) for n in prompt.shape]
        out["packed"] = base64.b64encode(prompt.packed).decode("ascii")
    return out


def prompt_from_dict(data: dict[str, Any]) -> Prompt:
    """Build the prompt that `prompt_to_dict` wrote; ValueError where a key or the kind is wrong."""
    try:
        prompt_id, object_id, axis, index = (int(data[k]) for k in _BASE_KEYS)
        base = (prompt_id, object_id, axis, index)
        kind = data["kind"]
        if kind == "point":
            return PointPrompt(*base, _pair(data["yx"]), bool(data["positive"]))
        if kind == "box":
            y0, x0, y1, x1 = (float(v) for v in data["yxyx"])
            return BoxPrompt(*base, (y0, x0, y1, x1))
        if kind == "scribble":
            points = tuple(_pair(p) for p in data["points_yx"])
            return ScribblePrompt(*base, points, bool(data["positive"]), float(data["width"]))
        if kind == "mask":
            return _unpack_mask(base, data)
    except KeyError as error:
        raise ValueError(f"a stored prompt lacks {error}") from error
    except (TypeError, zlib.error) as error:
        raise ValueError(f"a stored prompt is damaged ({error})") from error
    raise ValueError(f"unknown prompt kind {kind!r}; known are point, box, scribble and mask")


def _unpack_mask(base: tuple[int, int, int, int], data: dict[str, Any]) -> MaskPrompt:
    h, w = (int(n) for n in data["shape"])
    prompt = MaskPrompt(*base, (h, w), base64.b64decode(data["packed"]))
    # Packed again, as another zlib may compress to other bytes and equality compares bytes.
    return MaskPrompt.from_array(*base, prompt.to_array())


def _pair(values: Sequence[float]) -> Pair:
    u, v = (float(x) for x in values)
    return (u, v)


def check_axis(axis: int) -> int:
    """`axis` as int; ValueError unless it is 0, 1 or 2."""
    if isinstance(axis, bool) or axis not in (0, 1, 2):
        raise ValueError(f"axis is {axis!r}; it has to be 0 (z), 1 (y) or 2 (x)")
    return int(axis)


def check_index(index: int, n_slices: int) -> int:
    """`index` as int; ValueError unless it is a whole number in ``0 <= index < n_slices``."""
    if isinstance(index, bool) or not isinstance(index, Real) or index % 1 != 0:
        raise ValueError(f"slice index is {index!r}; it has to be a whole number")
    if not 0 <= index < n_slices:
        raise ValueError(
            f"slice index is {index}; this volume has slices 0 to {n_slices - 1} along this axis"
        )
    return int(index)


def check_point(yx: Sequence[float], plane_shape: Shape2D) -> Pair:
    """In-plane point as floats; ValueError unless it is finite and inside the plane."""
    point = _numbers(yx, 2, "a point in the plane")
    for value, size, name in zip(point, plane_shape, ("first", "second"), strict=True):
        if not -0.5 <= value < size - 0.5:
            raise ValueError(
                f"the point {_show(point)} is outside the plane; its {name} coordinate has to be "
                f"from -0.5 up to (not including) {size - 0.5}"
            )
    return (point[0], point[1])


def check_box(yxyx: Sequence[float], plane_shape: Shape2D) -> tuple[float, float, float, float]:
    """Half-open box clipped to the plane; ValueError if not finite, or empty before or after."""
    y0, x0, y1, x1 = _numbers(yxyx, 4, "a box")
    h, w = plane_shape
    if y0 >= y1 or x0 >= x1:
        raise ValueError(
            f"the box {_show((y0, x0, y1, x1))} is empty; it is (y0, x0, y1, x1) "
            "with y0 < y1 and x0 < x1"
        )
    clipped = (max(y0, 0.0), max(x0, 0.0), min(y1, float(h)), min(x1, float(w)))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise ValueError(
            f"the box {_show((y0, x0, y1, x1))} is outside the plane of {h} x {w} pixels"
        )
    return clipped


def check_scribble(
    points_yx: Iterable[Sequence[float]], plane_shape: Shape2D, width: float
) -> tuple[tuple[Pair, ...], float]:
    """Points and width of a stroke; ValueError unless non-empty, inside the plane and wide >= 1."""
    try:
        points = tuple(check_point(p, plane_shape) for p in points_yx)
    except TypeError as error:
        raise ValueError(f"the scribble's points have to be pairs, not {points_yx!r}") from error
    if not points:
        raise ValueError("the scribble has no points; it needs at least one")
    if isinstance(width, bool) or not isinstance(width, Real) or not 1 <= width < math.inf:
        raise ValueError(f"the scribble's width is {width!r}; it has to be at least 1 pixel")
    return points, float(width)


def check_mask(mask: np.ndarray, plane_shape: Shape2D) -> np.ndarray:
    """Mask as bool array; ValueError unless it has the plane's shape and is bool-like.

    Bool-like are bool and any real dtype that holds only 0 and at most one other value.
    """
    mask = np.asarray(mask)
    if mask.shape != tuple(plane_shape):
        raise ValueError(f"the mask has shape {mask.shape}; this slice has {tuple(plane_shape)}")
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "iuf":
        raise ValueError(f"the mask has dtype {mask.dtype}; it has to be bool or hold 0 and 1")
    others = mask[mask != 0]
    if others.size and (others != others.flat[0]).any():
        raise ValueError("the mask holds more than two values; it has to be bool or hold 0 and 1")
    return mask != 0


def point_on_axis(
    zyx: Sequence[float], axis: int = 0, volume_shape: Sequence[int] | None = None
) -> tuple[int, Pair]:
    """Slice index and in-plane coordinates of a point of the volume.

    Parameters
    ----------
    zyx : three floats
        Voxel coordinates; an integer is a voxel centre.
    axis : {0, 1, 2}
        Axis along which slices are counted.
    volume_shape : (Z, Y, X), optional
        With it, points outside the volume are refused.

    Returns
    -------
    index : int
        Nearest slice; a point halfway between two belongs to the higher one.
    yx : tuple of two floats
        The two remaining coordinates in ascending axis order.

    Raises
    ------
    ValueError
        If a coordinate is not finite or the point is outside `volume_shape`.

    Examples
    --------
    >>> point_on_axis((3.6, 10.0, 20.5), axis=0)
    (4, (10.0, 20.5))
    >>> point_on_axis((3.6, 10.0, 20.5), axis=2)
    (21, (3.6, 10.0))
    """
    axis = check_axis(axis)
    point = list(_numbers(zyx, 3, "a point"))
    if volume_shape is not None:
        for value, size, name in zip(point, volume_shape, "zyx", strict=True):
            if not -0.5 <= value < size - 0.5:
                raise ValueError(
                    f"the point {_show(point)} is outside the volume; {name} has to be from -0.5 "
                    f"up to (not including) {size - 0.5}"
                )
    index = math.floor(point.pop(axis) + 0.5)
    return index, (point[0], point[1])


def sample_scribble(points_yx: Sequence[Pair], count: int) -> np.ndarray:
    """`count` points spread evenly along a stroke, ends included: float array (count, 2).

    One point gives the middle of the stroke; a stroke without length gives its first point.
    """
    points = np.asarray(points_yx, dtype=float).reshape(-1, 2)
    lengths = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if along[-1] == 0:
        return np.repeat(points[:1], count, axis=0)
    at = np.linspace(0.0, along[-1], count) if count > 1 else np.array([along[-1] / 2])
    return np.stack([np.interp(at, along, points[:, k]) for k in (0, 1)], axis=1)


def _numbers(values: Sequence[float], count: int, what: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} has to be {count} numbers, not {values!r}") from error
    if len(numbers) != count:
        raise ValueError(f"{what} has to be {count} numbers, not {len(numbers)}")
    if not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"{what} has to be finite, not {_show(numbers)}")
    return numbers


def _show(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"
