"""Freed memory goes back to the system; where that cannot be asked for, nothing happens."""

import ctypes
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from stacksam.core.freed_memory import give_back_freed_memory


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")),
    reason="the C library is not glibc",
)
def test_holes_between_what_is_kept_are_given_back():
    large, kept = [], []
    for _ in range(1000):  # 64 MB, too small to be mapped on their own, with something between
        large.append(np.ones(64_000, np.uint8))
        kept.append(np.ones(600, np.uint8))
    before = resident()
    large.clear()
    give_back_freed_memory()
    assert before - resident() > 32 * 2**20
    assert len(kept) == 1000


def test_other_systems_and_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", None)
    monkeypatch.setattr(sys, "platform", "win32")
    give_back_freed_memory()
