"""Freed memory goes back to the system; where that cannot be asked for, nothing happens."""

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stacksam.core.freed_memory import give_back_freed_memory, keep_freed_memory


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
    keep_freed_memory.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back_freed_memory()
    keep_freed_memory()
    keep_freed_memory.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", None)
    monkeypatch.setattr(sys, "platform", "win32")
    give_back_freed_memory()
    keep_freed_memory()
    keep_freed_memory.cache_clear()


FAULTS = """
import resource, sys
import numpy as np
from stacksam.core.freed_memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
def work():
    first = np.ones(2**18)
    second = np.ones(2**18)  # 2 MB each, both freed at the end of the heap
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")),
    reason="the C library is not glibc",
)
def test_what_is_freed_and_needed_again_does_not_come_from_the_system():
    plain, kept = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how], text=True))
        for how in ("plain", "kept")
    )
    assert kept < 100
    assert plain > 10 * max(kept, 20)
