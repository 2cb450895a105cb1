"""How much memory a file may ask for, checked before anything is allocated."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from typing import IO

from stacksam.core.errors import ReadError

DEFLATE = 1032.0
"""The most bytes that one byte of zlib, gzip or ZIP data can stand for."""

_VARIABLE = "STACKSAM_MAX_GIB"
_DEFAULT_GIB = 32.0
_BLOCK = 2**20


def max_bytes() -> int:
    """Return the set limit for a loaded image: 32 GiB, or ``STACKSAM_MAX_GIB``."""
    try:
        gib = float(os.environ.get(_VARIABLE, _DEFAULT_GIB))
    except ValueError:
        gib = _DEFAULT_GIB
    return int(2**30 * (gib if gib > 0 and math.isfinite(gib) else _DEFAULT_GIB))


def check_declared(
    name: str, declared: int, stored: int | None = None, most_per_byte: float = 1.0
) -> None:
    """Refuse a header that declares more than the limit, or more than the file can hold.

    Parameters
    ----------
    name : str
        File name for the message.
    declared : int
        Bytes of the decoded image.
    stored : int, optional
        Bytes that are there; without it only the limit counts.
    most_per_byte : float
        The most decoded bytes one stored byte can stand for; 1 without compression.

    Raises
    ------
    ReadError

    Examples
    --------
    >>> check_declared("a.png", 10**6, stored=2000, most_per_byte=DEFLATE)
    >>> check_declared("a.nii", 10**6, stored=2000)
    Traceback (most recent call last):
    stacksam.core.errors.ReadError: a.nii is damaged or incomplete; copy or export it again (its \
header declares 1000000 bytes, more than the file can hold)
    """
    if stored is not None and declared > stored * most_per_byte:
        raise ReadError(
            f"{name} is damaged or incomplete; copy or export it again (its header declares "
            f"{declared} bytes, more than the file can hold)"
        )
    if declared > max_bytes():
        raise ReadError(
            f"{name} declares {declared / 2**30:.3g} GiB, more than the limit of "
            f"{max_bytes() / 2**30:.3g} GiB for loading; crop it, convert it to OME-Zarr, or raise "
            f"{_VARIABLE}"
        )


def inflated(file: IO[bytes], wbits: int = zlib.MAX_WBITS) -> Iterator[bytes]:
    """Inflate zlib data in blocks of bounded size, whatever its compression.

    Raises
    ------
    zlib.error
        If the data are damaged.
    EOFError
        If they end early.
    """
    inflater = zlib.decompressobj(wbits)
    waiting = b""
    while not inflater.eof:
        waiting = waiting or file.read(_BLOCK)
        if not waiting:
            raise EOFError("the compressed data end early")
        if block := inflater.decompress(waiting, _BLOCK):
            yield block
        waiting = inflater.unconsumed_tail
