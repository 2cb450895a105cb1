"""Ways to spoil an honest file: damage, lies, bombs, and paths that lead elsewhere."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _fuzz_seeds import stack

HUGE = (0, 1, 7, 2**15 - 1, 2**16 - 1, 2**20, 2**31 - 1, 2**32 - 1)


def spoil(source: Path, folder: Path, rng: random.Random) -> tuple[Path, str]:
    """Copy a seed into an empty folder, spoil it, and return what to open and how it was done."""
    target = folder / source.name.removesuffix(".folder")
    if source.is_dir() and source.name.endswith(".folder"):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    elif source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    victim = target
    if target.is_dir():
        victim = rng.choice(sorted(path for path in target.rglob("*") if path.is_file()))
    elif source.is_dir():
        victim = rng.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    ways = [*_GENERAL, *(way for pattern, way in _SPECIAL if re.search(pattern, victim.name))]
    ways += [way for pattern, way in _SPECIAL if re.search(pattern, victim.name)] * 3
    way = rng.choice(ways)
    content = way(bytearray(victim.read_bytes()), rng, victim)
    victim.write_bytes(bytes(content))
    return target, way.__name__.strip("_")


@cache
def squeezed_zeros(wbits: int) -> bytes:
    """300 MB of zeros in 300 kB: zlib (15), gzip (31) or plain deflate (-15)."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, wbits)
    parts = [squeeze.compress(bytes(2**20)) for _ in range(300)]
    return b"".join([*parts, squeeze.flush()])


@cache
def zip_bomb(kind: int) -> bytes:
    """An archive with 200 MB that begin like DICOM."""
    return _zip_of(("a.dcm", bytes(128) + b"DICM" + bytes(200 * 2**20)), kind=kind)


@cache
def chunk_bomb(is_zstd: bool) -> bytes:
    """2 GB of zeros as Zarr compresses them."""
    from numcodecs import Blosc, Zstd

    return (Zstd() if is_zstd else Blosc("zstd")).encode(bytes(2**31 - 2**20))


def make_bombs() -> None:
    """Make all of them once, before cases are forked."""
    for wbits in (15, 31, -15):
        squeezed_zeros(wbits)
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        zip_bomb(kind)
    for is_zstd in (True, False):
        chunk_bomb(is_zstd)


Way = Callable[[bytearray, random.Random, Path], bytes | bytearray]


def _truncated(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    return content[: rng.randrange(len(content) + 1)]


def _flipped_bits(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _spoiled_header(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    for _ in range(rng.choice((1, 2, 4))):
        content[rng.randrange(min(len(content), 600))] = rng.randrange(256)
    return content


def _lying_numbers(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    """Put an extreme number where the header may hold one."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q"))
    size = struct.calcsize(form)
    at = rng.randrange(max(1, min(len(content), 600) - size))
    if len(content) >= at + size:
        struct.pack_into(form, content, at, rng.choice(HUGE) % 2 ** (8 * size))
    return content


def _lying_words(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """Put an extreme number in place of one written out in digits."""
    found = list(re.finditer(rb"\d+", bytes(content[:4000])))
    if not found:
        return _lying_numbers(content, rng, path)
    spot = rng.choice(found)
    word = rng.choice((b"0", b"-1", b"1e9", b"nan", b"99999", b"2147483647", b"9" * 30))
    return bytes(content[: spot.start()]) + word + bytes(content[spot.end() :])


def _cut_out(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.randrange(1, 200) :]


def _doubled_part(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    at = rng.randrange(len(content))
    return content[:at] + content[at : at + rng.randrange(1, 2000)] + content[at:]


def _blanked(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    at, size = rng.randrange(len(content)), rng.randrange(1, 3000)
    size = min(size, len(content) - at)
    content[at : at + size] = bytes([rng.choice((0, 255))]) * size
    return content


def _noise(content: bytearray, rng: random.Random, path: Path) -> bytes:
    return rng.randbytes(rng.choice((1, 100, 5000)))


_GENERAL: tuple[Way, ...] = (
    _truncated,
    _flipped_bits,
    _spoiled_header,
    _lying_numbers,
    _lying_words,
    _cut_out,
    _doubled_part,
    _blanked,
    _noise,
)


def _lying_nifti(content: bytearray, rng: random.Random, path: Path) -> bytes:
    is_zipped = content[:2] == b"\x1f\x8b"
    plain = bytearray(gzip.decompress(content)) if is_zipped else content
    sizes = [rng.choice((1, 20, 2**15 - 1)) for _ in range(3)]
    struct.pack_into("<4h", plain, 40, 3, *sizes)
    return gzip.compress(plain) if is_zipped else bytes(plain)


def _gzip_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """Follow the image by 300 MB of zeros in 300 KB."""
    return bytes(content) + squeezed_zeros(31)


def _lying_text_sizes(content: bytearray, rng: random.Random, path: Path) -> bytes:
    name = rb"(?i)^(sizes:|DimSize =|ElementNumberOfChannels =|dimension:|NDims =)[^\n]*"
    sizes = b" ".join(str(rng.choice((3, 20, 4000, 10**6))).encode() for _ in range(3))
    return re.sub(name, lambda m: m[1] + b" " + sizes, bytes(content), count=1, flags=re.M)


def _data_elsewhere(content: bytearray, rng: random.Random, path: Path) -> bytes:
    where = rng.choice((b"/etc/passwd", b"../../../etc/passwd", b"LIST", b"x%03d.raw 1 3 1", b"."))
    name = rb"(?im)^(data ?file:|ElementDataFile =)[^\n]*"
    return re.sub(name, lambda m: m[1] + b" " + where, bytes(content), count=1)


def _zlib_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """Put 300 MB of zeros where compressed voxels belong."""
    sign = b"\n\n" if path.suffix == ".nrrd" else b"LOCAL\n"
    head = bytes(content).split(sign)[0] + sign
    return head + squeezed_zeros(31 if path.suffix == ".nrrd" else 15)


def _lying_tiff(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    """Change width, height, bits or compression of the first page."""
    at = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, at)[0]
    wanted = rng.choice((256, 257, 258, 259, 277, 322, 323, 279, 273))
    for i in range(count):
        entry = at + 2 + 12 * i
        if struct.unpack_from("<H", content, entry)[0] == wanted:
            struct.pack_into("<I", content, entry + 8, rng.choice((*HUGE, 100_000)))
    return content


def _xml_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    import tifffile

    levels = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    other = rng.choice(("../../etc/passwd", "/etc/passwd", "gone.ome.tif"))
    bomb = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a0 "ha">{levels}]><OME>&a9;</OME>'
    elsewhere = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels DimensionOrder="XYZCT" Type="uint8" SizeX="24" SizeY="20" SizeZ="6" SizeC="1" '
        f'SizeT="1" ID="P:0"><TiffData IFD="0" FirstZ="0"><UUID FileName="{other}">urn:uuid:1'
        "</UUID></TiffData></Pixels></Image></OME>"
    )
    text = rng.choice((bomb, elsewhere, "<OME>" * 20_000))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stack(dtype=np.uint8), description=text.encode(), metadata=None)
    return buffer.getvalue()


def _lying_png(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    """Change width or height and make its checksum right."""
    struct.pack_into(">I", content, rng.choice((16, 20)), rng.choice((10_000, 60_000, 2**31 - 1)))
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    return content


def _picture_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """A true picture of 12 000 x 12 000 black pixels in few bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    side = rng.choice((6000, 12_000, 20_000))
    Image.new("1" if path.suffix == ".png" else "L", (side, side)).save(
        buffer, {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP"}[path.suffix]
    )
    return buffer.getvalue()


def _lying_npy(content: bytearray, rng: random.Random, path: Path) -> bytes:
    shape = rng.choice(("(100000, 100000)", "(6, 20, 99999999)", "(-1, 5)", "(2**40,)", "()"))
    kind = rng.choice(("<i2", "|O", "<M8[s]", "<U1000000", "<f8"))
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (118 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(content[128:])


def _lying_dicom(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    """Change rows, columns, frames, samples or bits."""
    tag = rng.choice((b"\x10\x00", b"\x11\x00", b"\x02\x00", b"\x00\x01", b"\x01\x01", b"\x03\x01"))
    at = bytes(content).find(b"\x28\x00" + tag + b"US")
    if at >= 0:
        struct.pack_into("<H", content, at + 8, rng.choice((0, 1, 3, 7, 30_000, 65_535)))
    return content


def _lying_frames(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """Change the number of frames, which is written in digits."""
    sign = b"\x28\x00\x08\x00IS"
    at = bytes(content).find(sign)
    if at < 0:
        return _lying_dicom(content, rng, path)
    length = struct.unpack_from("<H", content, at + 6)[0]
    number = rng.choice((b"99999999", b"0 ", b"-1", b"2147483647 "))
    number += b" " * (len(number) % 2)
    head = bytes(content[: at + 6]) + struct.pack("<H", len(number)) + number
    return head + bytes(content[at + 8 + length :])


def _lying_fragments(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    """Change the length of an item of compressed pixels."""
    places = [m.start() for m in re.finditer(re.escape(b"\xfe\xff\x00\xe0"), bytes(content))]
    if places:
        value = rng.choice((0, 5, 2**16, 2**31, 2**32 - 2))
        struct.pack_into("<I", content, rng.choice(places) + 4, value)
    return content


def _deflate_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """A deflated DICOM file of 300 MB of zeros."""
    meta = bytes(content[:132]) + bytes(content[132:]).split(b"\x08\x00")[0]
    meta = meta.replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.1.99")
    return meta + squeezed_zeros(-15)


def _zip_of(*files: tuple[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in files:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, kind
            archive.writestr(info, content)
    return buffer.getvalue()


def _zip_traversal(content: bytearray, rng: random.Random, path: Path) -> bytes:
    name = rng.choice(("../../evil.dcm", "/tmp/evil.dcm", "C:\\evil.dcm", "a/../../evil.dcm"))
    return _zip_of((name, bytes(128) + b"DICM" + bytes(100)))


def _zip_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    return zip_bomb(rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))


def _lying_zip(content: bytearray, rng: random.Random, path: Path) -> bytearray:
    at = bytes(content).find(b"PK\x01\x02")
    struct.pack_into("<I", content, at + rng.choice((20, 24, 42)), rng.choice(HUGE))
    return content


def _lying_json(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """Change one value somewhere in a JSON file."""
    try:
        data = json.loads(bytes(content))
    except ValueError:
        return bytes(content)
    spots = list(_spots(data))
    if spots:
        home, key = rng.choice(spots)
        values = (None, -1, 10**9, 10**30, "x", [], {}, [10**6] * 3, 0.5, "../../x", True, [[]])
        home[key] = rng.choice(values)
    return json.dumps(data).encode()


def _spots(data: Any) -> list[tuple[Any, Any]]:
    keys = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, value in list(keys):
        found.append((data, key))
        if isinstance(value, dict | list):
            found += _spots(value)
    return found


def _deep_json(content: bytearray, rng: random.Random, path: Path) -> bytes:
    return rng.choice((b"[" * 200_000, b'{"a":' * 100_000, b'"' + b"x" * 10**6))


def _chunk_bomb(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """Put 2 GB of zeros where a small chunk belongs."""
    return chunk_bomb(rng.random() < 0.5)


def _lying_safetensors(content: bytearray, rng: random.Random, path: Path) -> bytes:
    size = struct.unpack_from("<Q", content, 0)[0]
    header = json.loads(bytes(content[8 : 8 + size]))
    if rng.random() < 0.5:
        own = json.loads(header["__metadata__"]["stacksam"])
        key = rng.choice(list(own["model"]))
        own["model"][key] = rng.choice((10**9, -1, 0, "x", [10**6] * 5, [], 0.5, None))
        header["__metadata__"]["stacksam"] = json.dumps(own)
    else:
        name = rng.choice([key for key in header if key != "__metadata__"])
        key = rng.choice(("shape", "dtype", "data_offsets"))
        header[name][key] = rng.choice(([10**9, 10**9], [0, 2**40], "F64", "Q9", [], [-1, 5]))
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(content[8 + size :])


class _Evil:
    def __reduce__(self) -> tuple:
        return (eval, ("__import__('os').system('echo Secret')",))


def _evil_pickle(content: bytearray, rng: random.Random, path: Path) -> bytes:
    """A checkpoint that would run a command when it is opened."""
    evil = pickle.dumps({"image_encoder.pos_embed": _Evil()})
    if rng.random() < 0.5:
        return evil
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    changed = [(name, evil if name.endswith("data.pkl") else data) for name, data in files]
    return _zip_of(*changed, kind=zipfile.ZIP_STORED)


_SPECIAL: tuple[tuple[str, Way], ...] = (
    (r"\.nii", _lying_nifti),
    (r"\.nii\.gz$", _gzip_bomb),
    (r"\.(nrrd|nhdr|mha|mhd)$", _lying_text_sizes),
    (r"\.(nrrd|nhdr|mha|mhd)$", _data_elsewhere),
    (r"1\.(nrrd|mha)$", _zlib_bomb),
    (r"\.tif$", _lying_tiff),
    (r"\.ome\.tif$", _xml_bomb),
    (r"\.png$", _lying_png),
    (r"\.(png|jpg|bmp)$", _picture_bomb),
    (r"\.npy$", _lying_npy),
    (r"\.dcm$", _lying_dicom),
    (r"\.dcm$", _lying_frames),
    (r"Lossless\.dcm$", _lying_fragments),
    (r"plain\.dcm$", _deflate_bomb),
    (r"series\.zip$", _zip_traversal),
    (r"series\.zip$", _zip_bomb),
    (r"series\.zip$", _lying_zip),
    (r"(\.json|\.zarray|\.zattrs|\.zgroup)$", _lying_json),
    (r"(\.json|\.zarray|\.zattrs)$", _deep_json),
    (r"^\d+$|^c$|\d+\.\d+\.\d+$", _chunk_bomb),
    (r"\.safetensors$", _lying_safetensors),
    (r"\.pth$", _evil_pickle),
)
