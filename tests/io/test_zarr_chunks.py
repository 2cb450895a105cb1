import numpy as np
import pytest
import zarr
from numcodecs import Blosc, Zstd

from stacksam.core.errors import ReadError
from stacksam.io import read
from stacksam.io.zarr_chunks import full_key


def make(path, zarr_format=2, chunks=(2, 8, 8)):
    data = np.random.default_rng(0).integers(0, 9, (6, 16, 20)).astype(np.int16)
    zarr.create_array(path, data=data, chunks=chunks, zarr_format=zarr_format)
    return data


@pytest.mark.parametrize("codec", [Zstd(), Blosc("zstd"), Blosc("lz4")], ids=str)
def test_a_chunk_that_would_burst_is_refused(tmp_path, codec):
    data = make(tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr" / "0.1.1"
    assert chunk.is_file()
    chunk.write_bytes(codec.encode(bytes(50 * 2**20)))
    volume = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.data[2:], data[2:])
    with pytest.raises(ReadError, match="chunk that would decode to far more than the array"):
        volume.read_slice(1)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("codec", [Zstd(), Blosc("zstd")], ids=str)
def test_honest_chunks_of_nothing_but_zeros_are_read(tmp_path, zarr_format, codec):
    shape = (8, 2000, 1000)
    options = {"compressors": codec} if zarr_format == 2 else {}
    zarr.create_array(
        tmp_path / "a.zarr", data=np.zeros(shape, np.uint8) + 1, chunks=shape,
        zarr_format=zarr_format, **options,
    )  # fmt: skip
    assert read(tmp_path / "a.zarr").read_slice(3).all()


def test_planes_and_chunks_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    make(tmp_path / "a.zarr")
    volume = read(tmp_path / "a.zarr")
    monkeypatch.setenv("STACKSAM_MAX_GIB", "1e-7")  # 107 bytes
    with pytest.raises(ReadError, match="more than the limit"):
        volume.read_slice(0)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (3, (3, slice(None), slice(None))),
        ((Ellipsis, 2), (slice(None), slice(None), 2)),
        ((np.int64(1), Ellipsis), (1, slice(None), slice(None))),
        ((slice(1, 2), 3, 4), (slice(1, 2), 3, 4)),
    ],
)
def test_indices_are_written_out(key, expected):
    assert full_key(key, 3) == expected
