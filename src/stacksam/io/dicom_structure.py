"""Whether the lengths in a DICOM file fit the file; GDCM trusts them and allocates or waits."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from stacksam.core.errors import ReadError
from stacksam.io.dicom_files import meta_end, meta_text

_UNDEFINED = 2**32 - 1
_MAX_DEPTH = 24
_MAX_ELEMENTS = 1_000_000
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = 0x7FE00010
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_IMPLICIT = "1.2.840.10008.1.2"
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1")
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT = {
    *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS"),
    *(b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
}


def check_structure(path: Path) -> None:
    """Refuse a file whose elements, items or pixel fragments reach beyond its end.

    Raises
    ------
    ReadError
    """
    syntax = meta_text(path, 0x10)
    if syntax in _DEFLATED:
        raise ReadError(
            f"{path.name} is deflated as a whole, which is not read for safety; export it again "
            "without compression"
        )
    with open(path, "rb") as file:
        start = meta_end(file.read(2**13))
        size = os.fstat(file.fileno()).st_size
        order = ">" if syntax == _BIG_ENDIAN else "<"
        walk = _Walk(file, size, order, is_explicit=syntax != _IMPLICIT and bool(syntax))
        file.seek(start)
        try:
            walk.elements(size, 0)
        except (_DamagedError, struct.error, RecursionError) as error:
            raise ReadError(f"{path.name} is damaged or incomplete; copy it again") from error


class _DamagedError(Exception):
    """A length reaches beyond what holds it."""


class _Walk:
    """Goes from element to element without reading their values."""

    def __init__(self, file: BinaryIO, size: int, order: str, is_explicit: bool) -> None:
        self._file, self._size, self._order, self._explicit = file, size, order, is_explicit
        self._left = _MAX_ELEMENTS

    def elements(self, end: int, depth: int, is_open: bool = False) -> None:
        """Walk to `end`, or to the item's delimiter if it has an undefined length."""
        if depth > _MAX_DEPTH:
            raise _DamagedError
        before = -1
        while self._file.tell() + 8 <= end:
            self._left -= 1
            tag, kind, length = self._head()
            if self._left < 0 or tag == before:
                raise _DamagedError
            before = tag
            if tag == _ITEM_END and is_open:
                return
            here = self._file.tell()
            if length == _UNDEFINED:
                self._items(end, depth, tag == _PIXELS, kind == b"UN", True)
            elif here + length > end:
                raise _DamagedError
            elif kind == b"SQ" and length:
                self._items(here + length, depth, False, False, False)
                self._file.seek(here + length)
            else:
                self._file.seek(here + length)
        if is_open or self._file.tell() != end:
            raise _DamagedError

    def _items(
        self, end: int, depth: int, is_pixels: bool, is_implicit: bool, is_open_list: bool
    ) -> None:
        """Walk items up to the sequence's delimiter; a missing last one is common in pixels."""
        while self._file.tell() + 8 <= end:
            tag, length = self._tag_and_length()
            here = self._file.tell()
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM or (length != _UNDEFINED and here + length > end):
                raise _DamagedError
            if is_pixels:
                if length == _UNDEFINED:
                    raise _DamagedError
                self._file.seek(here + length)
                continue
            before, self._explicit = self._explicit, self._explicit and not is_implicit
            is_open = length == _UNDEFINED
            self.elements(end if is_open else here + length, depth + 1, is_open)
            self._explicit = before
        if not is_pixels and (is_open_list or self._file.tell() != end):
            raise _DamagedError

    def _tag_and_length(self) -> tuple[int, int]:
        group, element, length = struct.unpack(self._order + "HHI", self._file.read(8))
        return group << 16 | element, length

    def _head(self) -> tuple[int, bytes, int]:
        head = self._file.read(8)
        group, element, length = struct.unpack(self._order + "HHI", head)
        tag, kind = group << 16 | element, head[4:6]
        if group == 0xFFFE or not self._explicit:
            return tag, b"", length
        if kind in _LONG:
            return tag, kind, struct.unpack(self._order + "I", self._file.read(4))[0]
        if kind not in _SHORT:
            raise _DamagedError
        return tag, kind, struct.unpack(self._order + "H", head[6:])[0]
