import gzip
import io
import tracemalloc
import zlib

import pytest

from stacksam.core.errors import ReadError
from stacksam.io.limits import DEFLATE, check_declared, inflated, max_bytes


def test_what_fits_passes():
    check_declared("a", 1000, 1000)
    check_declared("a", 100_000, 100, DEFLATE)
    check_declared("a", 2**30)


@pytest.mark.parametrize(("stored", "ratio"), [(999, 1.0), (0, DEFLATE)])
def test_what_cannot_be_in_the_file_is_refused(stored, ratio):
    with pytest.raises(ReadError, match=r"a\.nii is damaged .* declares 1000 bytes, more than the"):
        check_declared("a.nii", 1000, stored, ratio)


@pytest.mark.parametrize(
    ("text", "gib"), [("2", 2), ("0.5", 0.5), ("nonsense", 32), ("-1", 32), ("inf", 32), (None, 32)]
)
def test_the_limit_can_be_set(monkeypatch, text, gib):
    monkeypatch.delenv("STACKSAM_MAX_GIB", raising=False)
    if text is not None:
        monkeypatch.setenv("STACKSAM_MAX_GIB", text)
    assert max_bytes() == gib * 2**30
    with pytest.raises(ReadError, match=rf"limit of {gib} GiB .* or raise STACKSAM_MAX_GIB"):
        check_declared("a", int(gib * 2**30) + 1)


def test_bombs_inflate_in_bounded_blocks():
    bomb = zlib.compress(bytes(10**8))
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        assert sum(len(block) for block in inflated(io.BytesIO(bomb))) == 10**8
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_inflating_notices_damage():
    content = zlib.compress(bytes(range(256)) * 100)
    with pytest.raises(EOFError, match="end early"):
        list(inflated(io.BytesIO(content[:-20])))
    with pytest.raises(zlib.error):
        list(inflated(io.BytesIO(b"nonsense")))
    assert b"".join(inflated(io.BytesIO(gzip.compress(b"x")), 31)) == b"x"
