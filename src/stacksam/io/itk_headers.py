"""What NIfTI, NRRD and MetaImage headers promise, compared with what the file holds.

ITK fills missing parts with zeros, reads on over damage, allocates whatever a header declares and
assumes 1 mm where there is no spacing, all without a word.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from stacksam.core.errors import ReadError
from stacksam.io.limits import DEFLATE, check_declared, inflated
from stacksam.io.units import in_mm

_BLOCK = 2**20
_MAX_HEADER_LINES = 100_000
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char"), 1),
    **dict.fromkeys(("uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int"), 2),
    **dict.fromkeys(("int16", "int16_t", "ushort", "unsigned short"), 2),
    **dict.fromkeys(("unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int"), 4),
    **dict.fromkeys(("uint32", "uint32_t", "float"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), 8),
    **dict.fromkeys(("signed long long int", "int64", "int64_t", "ulonglong"), 8),
    **dict.fromkeys(("unsigned long long", "unsigned long long int", "uint64"), 8),
    **dict.fromkeys(("uint64_t", "double"), 8),
}
_META_BYTES = {
    **dict.fromkeys(("met_char", "met_uchar"), 1),
    **dict.fromkeys(("met_short", "met_ushort"), 2),
    **dict.fromkeys(("met_int", "met_uint", "met_long", "met_ulong", "met_float"), 4),
    **dict.fromkeys(("met_long_long", "met_ulong_long", "met_double"), 8),
}
_META_COUNTS = {  # as a power of the number of axes
    **dict.fromkeys(("transformmatrix", "rotation", "orientation"), 2),
    **dict.fromkeys(("offset", "position", "origin", "centerofrotation"), 1),
    **dict.fromkeys(("elementspacing", "elementsize"), 1),
}
_NRRD_RATIO = {"raw": 1.0, "gzip": DEFLATE, "gz": DEFLATE, "hex": 0.5}


def check_header(path: Path, suffix: str) -> None:
    """Refuse a file whose header does not fit its content.

    Raises
    ------
    ReadError
        If the file is damaged or incomplete, declares more than may be loaded, or names data
        outside of its folder.
    """
    if suffix in (".nii", ".nii.gz"):
        _check_nifti(path)
    elif suffix in (".nrrd", ".nhdr"):
        _check_nrrd(path)
    else:
        _check_meta(path)


def has_spacing(path: Path, suffix: str) -> bool:
    """Say whether the text header of NRRD or MetaImage gives a spacing; ITK would assume 1 mm."""
    if suffix in (".nrrd", ".nhdr"):
        return not _text_header(path, suffix).keys().isdisjoint(("spacings", "space directions"))
    if suffix in (".mha", ".mhd"):
        return not _text_header(path, suffix).keys().isdisjoint(("elementspacing", "elementsize"))
    return True


def spacing_scale(path: Path, suffix: str) -> float:
    """Return mm per unit of a NRRD's space, 1 where it names none; ITK leaves its numbers as is."""
    if suffix not in (".nrrd", ".nhdr"):
        return 1.0
    fields = _text_header(path, suffix)
    words = fields.get("space units", fields.get("units", "")).replace('"', " ").split()
    scales = {in_mm(word) for word in words}
    known = {scale for scale in scales if math.isfinite(scale)}
    return known.pop() if len(known) == 1 else 1.0


def _text_header(path: Path, suffix: str) -> dict[str, str]:
    """Return the fields of a NRRD or MetaImage header, names in lower case."""
    with open(path, "rb") as file:
        return _fields(file, ":" if suffix in (".nrrd", ".nhdr") else "=")


def _fields(file: BinaryIO, sign: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in _header_lines(file):
        name, found, value = line.decode("latin-1").partition(sign)
        if found:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _header_lines(file: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a text header up to an empty line or ElementDataFile."""
    for _ in range(_MAX_HEADER_LINES):
        line = file.readline(_BLOCK)
        yield line
        if not line.strip() or line.lower().lstrip().startswith(b"elementdatafile"):
            return


def _refuse_damage(path: Path, reason: str = "") -> ReadError:
    because = f" ({reason})" if reason else ""
    return ReadError(f"{path.name} is damaged or incomplete; copy or export it again{because}")


# NIfTI


def _check_nifti(path: Path) -> None:
    with open(path, "rb") as probe:
        is_zipped = probe.read(2) == b"\x1f\x8b"
    stored = path.stat().st_size
    try:
        with gzip.open(path) if is_zipped else open(path, "rb") as file:
            header = file.read(540)
            expected = _nifti_bytes(header)
            if expected is None:
                raise ReadError(f"{path.name} is not a NIfTI file, or its header is damaged")
            check_declared(path.name, expected, stored, DEFLATE if is_zipped else 1.0)
            available = len(header) + _count_rest(file) if is_zipped else stored
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _refuse_damage(path) from error
    if available < expected:
        raise _refuse_damage(path, f"{available} of {expected} bytes are there")


def _nifti_bytes(header: bytes) -> int | None:
    """Return the length of a single-file NIfTI-1 or NIfTI-2 that its header promises."""
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(order + "i", header)[0] == 348:
            dims = struct.unpack_from(order + "8h", header, 40)
            bits = struct.unpack_from(order + "h", header, 72)[0]
            offset = struct.unpack_from(order + "f", header, 108)[0]
        elif len(header) >= 540 and struct.unpack_from(order + "i", header)[0] == 540:
            dims = struct.unpack_from(order + "8q", header, 16)
            bits = struct.unpack_from(order + "h", header, 14)[0]
            offset = struct.unpack_from(order + "q", header, 168)[0]
        else:
            continue
        sizes = dims[1 : dims[0] + 1] if 1 <= dims[0] <= 7 else (0,)
        if min(sizes) >= 1 and bits > 0 and math.isfinite(offset) and offset >= 0:
            return int(offset) + math.prod(sizes) * bits // 8
    return None


def _count_rest(file: BinaryIO | gzip.GzipFile) -> int:
    """Count the bytes up to the end; gzip verifies its checksum there."""
    count = 0
    while block := file.read(_BLOCK):
        count += len(block)
    return count


# NRRD


def _check_nrrd(path: Path) -> None:
    with open(path, "rb") as file:
        if not file.read(4).startswith(b"NRRD"):
            raise ReadError(f"{path.name} is not a NRRD file, or its header is damaged")
        file.seek(0)
        fields = _fields(file, ":")
        rest = path.stat().st_size - file.tell()
    size = _NRRD_BYTES.get(fields.get("type", "").lower())
    sizes = _sizes(fields.get("sizes", ""))
    if size is None or sizes is None:
        raise ReadError(f"{path.name} is not an image NRRD, or its header is damaged")
    names = fields.get("data file", fields.get("datafile"))
    encoding = fields.get("encoding", "raw").lower()
    if names is not None:
        rest = _outside_bytes(path, names)
    if encoding in ("txt", "text", "ascii"):
        check_declared(path.name, math.prod(sizes), rest)
    ratio = _NRRD_RATIO.get(encoding)
    check_declared(path.name, size * math.prod(sizes), rest if ratio else None, ratio or 1.0)


def _sizes(text: str) -> tuple[int, ...] | None:
    try:
        sizes = tuple(int(word) for word in text.split())
    except ValueError:
        return None
    return sizes if sizes and min(sizes) >= 1 else None


def _outside_bytes(path: Path, name: str) -> int:
    """Return the size of the data beside a header, which have to lie in its folder."""
    if not name or name.upper().startswith("LIST") or "%" in name:
        raise ReadError(
            f"{path.name} spreads its data over several files, which is not supported; save it as "
            f"one file ({'.nrrd' if path.suffix.lower() == '.nhdr' else '.mha'})"
        )
    if PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        raise ReadError(
            f"{path.name} names data outside of its own folder, which are not opened; put both "
            "files into one folder"
        )
    data = path.parent / name
    if not data.is_file():
        raise ReadError(f"{path.name} needs the file {name} beside it, which is not there")
    return data.stat().st_size


# MetaImage


def _check_meta(path: Path) -> None:
    with open(path, "rb") as file:
        fields = _fields(file, "=")
        sizes = _sizes(fields.get("dimsize", ""))
        size = _META_BYTES.get(fields.get("elementtype", "").lower())
        name = fields.get("elementdatafile", "")
        if sizes is None or size is None or not name or not _is_consistent(fields, len(sizes)):
            raise ReadError(f"{path.name} is not a MetaImage, or its header is damaged")
        declared = size * math.prod(sizes) * _channels(fields)
        is_local = name.upper() == "LOCAL"
        is_zipped = fields.get("compresseddata", "").lower() in ("true", "t", "1", "yes")
        stored = path.stat().st_size - file.tell() if is_local else _outside_bytes(path, name)
        if is_zipped and not 0 < _count(fields.get("compresseddatasize", "")) <= stored:
            raise _refuse_damage(path)
        is_text = fields.get("binarydata", "true").lower() in ("false", "f", "0", "no")
        if not is_text:
            check_declared(path.name, declared, stored, DEFLATE if is_zipped else 1.0)
        check_declared(path.name, declared)
        if is_zipped and is_local:
            _check_inflated(path, file, declared)
    if is_zipped and not is_local:
        with open(path.parent / name, "rb") as file:
            _check_inflated(path, file, declared)


def _is_consistent(fields: dict[str, str], count: int) -> bool:
    """Say whether every list of numbers is as long as the image has axes; ITK reads on beyond."""
    if fields.get("ndims") != str(count) or not 1 <= count <= 5:
        return False
    for name, value in fields.items():
        expected = _META_COUNTS.get(name)
        if expected is not None and len(_floats(value)) != count**expected:
            return False
    return True


def _floats(text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        return []
    return values if all(math.isfinite(value) for value in values) else []


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _channels(fields: dict[str, str]) -> int:
    return _count(fields.get("elementnumberofchannels", "1")) or 1


def _check_inflated(path: Path, file: BinaryIO, declared: int) -> None:
    """Refuse damaged zlib data; ITK reads on with wrong values."""
    try:
        available = sum(len(block) for block in inflated(file))
    except (zlib.error, EOFError) as error:
        raise _refuse_damage(path) from error
    if available < declared:
        raise _refuse_damage(path, f"{available} of {declared} bytes are there")
