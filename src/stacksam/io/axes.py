"""From an array with named axes to a stack (Z, Y, X), by channel and time point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume
from stacksam.io.lazy_view import LazyView

Choice = int | str | None


def pick_index(choice: Choice, count: int, word: str, name: str, labels: Sequence[str] = ()) -> int:
    """Turn a choice of channel, time point or series into an index.

    Parameters
    ----------
    choice : int, str or None
        None is fine where there is only one; a string is one of `labels`.
    count : int
        How many there are.
    word : str
        "channel", "time" or "series", the name of the option.
    name : str
        File name for messages.
    labels : sequence of str
        What to call them, in order.

    Raises
    ------
    ReadError
        If several exist and none is chosen, or the choice does not exist.
    """
    shown = [f"{i} ({labels[i]})" if i < len(labels) else str(i) for i in range(min(count, 20))]
    listed = ", ".join(shown)
    if count > 20:
        listed = f"{listed} ... {count - 1}" if labels else f"0 to {count - 1}"
    plural = {"channel": "channels", "time": "time points", "series": "series"}[word]
    if choice is None:
        if count == 1:
            return 0
        raise ReadError(f"{name} holds {count} {plural}; choose one with {word}= out of {listed}")
    if isinstance(choice, str) and choice in labels:
        return list(labels).index(choice)
    if isinstance(choice, str) or not 0 <= int(choice) < count:
        one = plural if count > 1 else plural.removesuffix("s") if word != "series" else word
        raise ReadError(f"{name} has {count} {one}, so {word}={choice!r} is not one of {listed}")
    return int(choice)


def pick_stack(
    array: LazyView,
    axes: str,
    *,
    name: str,
    channel: Choice = None,
    time: int | None = None,
    channel_names: Sequence[str] = (),
    is_colour: bool = False,
) -> tuple[LazyView, bool, bool]:
    """Reduce an array with named axes to one stack; voxels are neither flipped nor resampled.

    Parameters
    ----------
    array : LazyView
        One axis per letter of `axes`.
    axes : str
        Letters T, Z, C, Y, X and S (samples of one pixel); one other letter counts as Z if there is
        no Z.
    name : str
        File name for messages.
    channel, time : optional
        Which channel (index or name) and time point.
    channel_names : sequence of str
        For the messages and for choosing by name.
    is_colour : bool
        True if 3 or 4 samples S mean red, green, blue (and alpha, which is dropped).

    Returns
    -------
    stack : LazyView of shape (Z, Y, X), (Y, X), or the same with a last axis of 3 colours
        Axis 0 is time for a 2D time-lapse.
    rgb : bool
    is_timelapse : bool
        True if axis 0 is time.
    """
    array, axes = _name_stack_axis(array, axes, name)
    samples = array.shape[axes.index("S")] if "S" in axes else 1
    channels = array.shape[axes.index("C")] if "C" in axes else 1
    rgb = is_colour and samples in (3, 4) and (channel is None or channels > 1)
    if samples > 1 and not rgb:
        if channels > 1:
            raise ReadError(f"{name} has channels of {samples} values each; save them as channels")
        array, axes = _drop(array, axes, "C"), axes.replace("C", "").replace("S", "C")
        channels = samples
    array, axes = _take(
        array, axes, "C", pick_index(channel, channels, "channel", name, channel_names)
    )
    array, axes, is_timelapse = _choose_time(array, axes, time, name)
    if rgb:
        array, axes = _move_last(array, axes, "S")
        return array.keep_first(-1, 3), True, is_timelapse
    return _drop(array, axes, "S"), False, is_timelapse


def make_volume(
    data: LazyView | np.ndarray,
    name: str,
    *,
    rgb: bool,
    spacing_zyx: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    notes: Sequence[str] = (),
    scan: ScanInfo | None = None,
) -> Volume:
    """Build the volume; what `Volume` refuses becomes a `ReadError` with the file's name."""
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data)
    try:
        return Volume(data, spacing_zyx, affine, rgb=rgb, name=name, notes=notes, scan=scan)
    except (TypeError, ValueError) as error:
        raise ReadError(f"{name} cannot be used: {error}") from error


def _name_stack_axis(array: LazyView, axes: str, name: str) -> tuple[LazyView, str]:
    """Drop single unknown axes and name the remaining one Z."""
    has_stack = "Z" in axes and array.shape[axes.index("Z")] > 1
    unknown = [a for a in axes if a not in "TZCYXS"]
    for letter in unknown:
        if array.shape[axes.index(letter)] == 1:
            array, axes = _take(array, axes, letter, 0)
    unknown = [a for a in axes if a not in "TZCYXS"]
    if len(unknown) == 1 and not has_stack:
        array, axes = _take(array, axes, "Z", 0)
        axes = axes.replace(unknown[0], "Z")
    if len(set(axes)) < len(axes) or any(a not in "TZCYXS" for a in axes):
        sizes = "x".join(str(n) for n in array.shape)
        raise ReadError(
            f"{name} has axes {axes} ({sizes}) whose meaning it does not say; save it as ImageJ or "
            "OME-TIFF with named axes"
        )
    return array, axes


def _choose_time(
    array: LazyView, axes: str, time: int | None, name: str
) -> tuple[LazyView, str, bool]:
    """Take one time point; without a choice a time-lapse of single planes keeps T as axis 0."""
    points = array.shape[axes.index("T")] if "T" in axes else 1
    planes = array.shape[axes.index("Z")] if "Z" in axes else 1
    if time is None and points > 1 and planes == 1:
        array, axes = _take(array, axes, "Z", 0)
        return *_move_first(array, axes, "T"), True
    array, axes = _take(array, axes, "T", pick_index(time, points, "time", name))
    return *_move_first(array, axes, "Z"), False


def _take(array: LazyView, axes: str, letter: str, index: int) -> tuple[LazyView, str]:
    if letter not in axes:
        return array, axes
    where = axes.index(letter)
    return array.take(where, index), axes[:where] + axes[where + 1 :]


def _drop(array: LazyView, axes: str, letter: str) -> LazyView:
    return _take(array, axes, letter, 0)[0]


def _move_first(array: LazyView, axes: str, letter: str) -> tuple[LazyView, str]:
    return _reorder(array, axes, "".join(sorted(axes, key=lambda a: a != letter)))


def _move_last(array: LazyView, axes: str, letter: str) -> tuple[LazyView, str]:
    return _reorder(array, axes, "".join(sorted(axes, key=lambda a: a == letter)))


def _reorder(array: LazyView, axes: str, wanted: str) -> tuple[LazyView, str]:
    return array.transpose([axes.index(a) for a in wanted]), wanted
