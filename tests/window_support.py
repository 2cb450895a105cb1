"""Whether this machine can open a window, and what it lacks if not."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

WINDOW_FIXTURES = {"qtbot", "make_napari_viewer"}
PATIENCE = 60_000  # ms until something that should happen is given up
TURN = 10  # ms between two looks
DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
}


def why_no_window() -> str | None:
    """Return a sentence if window tests cannot run here; Qt itself would abort the process."""
    if sys.platform.startswith("linux"):
        missing = [package for name, package in DEBIAN_PACKAGES.items() if not _loads(name)]
        if missing:
            return f"no window without these packages: {' '.join(missing)}"
        if not os.environ.get("DISPLAY"):
            return "no display; install the packages xvfb and xauth, then use tools/test.sh"
    try:
        importlib.import_module("qtpy.QtWidgets")
    except ImportError:
        return "no Qt binding; install the extra 'test'"
    return None


def wait_for(qtbot: Any, condition: Callable[[], object]) -> None:
    """Run the event loop until something is true.

    Time in which this process stands in line for a processor that others have does not count.
    """
    began, queued = monotonic(), _seconds_in_line()
    while not condition():
        waited = monotonic() - began
        if 1000 * (waited - (_seconds_in_line() - queued)) > PATIENCE:
            pytest.fail(f"waited for {waited:.0f} s in vain")
        qtbot.wait(TURN)


def _seconds_in_line() -> float:
    """How long threads of this process were ready but had no processor; 0 where nobody tells."""
    total = 0.0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # the thread may have ended
            total += int(path.read_text(encoding="ascii").split()[1]) / 1e9
    return total


def skip_without_window(items: list[pytest.Item], folder: str) -> None:
    """Mark the window tests of one folder under tests/ as skipped where no window can open."""
    reason = why_no_window()
    for item in items if reason else []:
        fixtures = getattr(item, "fixturenames", ())
        if folder in item.path.parts and WINDOW_FIXTURES & set(fixtures):
            item.add_marker(pytest.mark.skip(reason=reason))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
