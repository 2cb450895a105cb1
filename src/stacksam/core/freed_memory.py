"""Give memory that was freed back to the system, where the C library keeps it."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

KEPT = 64 * 2**20
"""Bytes at the end of the heap that stay with the process when they are freed."""

LARGE = 4 * 2**20
"""Bytes of an array from which on it lies outside of the heap. More than any array of a small
network; less than the labels of which each of the journal's snapshots makes a copy.
"""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as in glibc's malloc.h


def give_back_freed_memory() -> None:
    """Let the system have the pages of the heap that nothing lies on; only glibc is in need of it.

    A network's temporary arrays leave the heap full of holes, since whatever is kept meanwhile lies
    between them, and glibc does not fill holes with aligned blocks: the process grows on, though
    what it uses does not (1,024 clicks: by 0.2 MB each). This takes 2 ms.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@cache
def keep_freed_memory() -> None:
    """Let the process keep some freed memory, as long as nobody calls `give_back_freed_memory`.

    A small network frees and needs megabytes again and again. As glibc begins, each of them comes
    from the system, page by page: 1,250 pages while the built-in model encodes a field.
    """
    if sys.platform.startswith("linux"):
        option = getattr(ctypes.CDLL(None), "mallopt", None)
        if option is not None:
            option(M_TRIM_THRESHOLD, KEPT)
            option(M_MMAP_THRESHOLD, LARGE)
