"""Whether this machine can open a window, and what it lacks if not."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys

import pytest

WINDOW_FIXTURES = {"qtbot", "make_napari_viewer"}
PATIENCE = 60_000  # ms until something that should happen is given up, also on a busy machine
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
