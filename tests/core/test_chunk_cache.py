"""Chunks on disk are decoded once, and what is read is what the array holds."""

from itertools import product

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacksam.core import chunk_cache, volume
from stacksam.core.chunk_cache import ChunkCache, with_chunk_cache
from stacksam.core.volume import Volume

IMAGE = np.random.default_rng(0).integers(0, 60_000, (13, 17, 11)).astype(np.uint16)


class Chunked:
    """A numpy array that says it has chunks, and counts what is read."""

    def __init__(self, array, chunks):
        self.array, self.chunks = array, chunks
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.read = 0

    def __getitem__(self, key):
        self.read += 1
        return self.array[key]


@pytest.mark.parametrize("chunks", [(4, 5, 3), (1, 17, 11), (13, 17, 11), (20, 8, 30)])
@pytest.mark.parametrize("budget", [0, 500, 10**6])
def test_lazy_equals_eager(chunks, budget):
    cache = ChunkCache(Chunked(IMAGE, chunks), budget)
    for key in product((3, -1, slice(None), slice(2, 9), slice(5, 5)), repeat=2):
        assert np.array_equal(cache[key], IMAGE[key])
        assert np.array_equal(cache[(*key, slice(4, None))], IMAGE[(*key, slice(4, None))])
        assert np.array_equal(cache[..., key[0]], IMAGE[..., key[0]])
    assert cache.used <= budget


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_uneven_chunks(data):
    sizes = []
    for length in IMAGE.shape:
        cuts = data.draw(st.sets(st.integers(1, length - 1), max_size=4))
        sizes.append(tuple(np.diff([0, *sorted(cuts), length]).tolist()))
    key = tuple(
        data.draw(
            st.one_of(st.integers(-n, n - 1), st.slices(n).filter(lambda s: (s.step or 1) > 0))
        )
        for n in IMAGE.shape
    )
    cache = ChunkCache(dask.array.from_array(IMAGE, chunks=tuple(sizes)), 3000)
    assert np.array_equal(cache[key], IMAGE[key])


def test_neighbouring_slices_share_what_was_decoded():
    source = Chunked(IMAGE, (4, 9, 11))
    cache = ChunkCache(source, IMAGE.nbytes)
    for index in range(4):
        assert np.array_equal(cache[index], IMAGE[index])
    assert source.read == 2
    cache[4]
    assert source.read == 4


def test_the_oldest_chunks_go_first():
    source = Chunked(IMAGE, (4, 17, 11))
    cache = ChunkCache(source, 2 * 4 * 17 * 11 * 2)
    for index in (0, 4, 0, 8, 0):  # the first chunk is used again and again
        cache[index]
    assert source.read == 3
    cache[4]
    assert source.read == 4


def test_an_index_beyond_the_end_is_an_error():
    with pytest.raises(IndexError):
        ChunkCache(Chunked(IMAGE, (4, 17, 11)), 1000)[13]


def test_only_deep_chunks_are_kept():
    assert with_chunk_cache(IMAGE) is IMAGE
    for chunks in ((1, 17, 11), (1, 4, 4), None):
        source = Chunked(IMAGE, chunks)
        assert with_chunk_cache(source) is source
    cache = with_chunk_cache(Chunked(IMAGE, (4, 17, 11)))
    assert isinstance(cache, ChunkCache)
    assert cache.budget == chunk_cache.SMALLEST_BUDGET
    assert with_chunk_cache(cache) is cache


def test_the_budget_fits_one_slice(monkeypatch):
    monkeypatch.setattr(chunk_cache, "SMALLEST_BUDGET", 10)
    cache = with_chunk_cache(Chunked(IMAGE, (4, 5, 3)))
    assert cache.budget == 4 * 17 * 11 * 2 * 5 // 4
    monkeypatch.setattr(chunk_cache, "LARGEST_BUDGET", 500)
    assert with_chunk_cache(Chunked(IMAGE, (4, 5, 3))).budget == 500


def test_a_volume_reads_deep_chunks_once():
    source = Chunked(IMAGE, (4, 17, 11))
    lazy = Volume(source)
    for index in range(8):
        assert np.array_equal(lazy.read_slice(index), IMAGE[index])
    assert source.read == 2
    assert lazy.data is source


def test_a_volume_in_one_chunk_is_decoded_once():
    source = Chunked(IMAGE, IMAGE.shape)
    lazy = Volume(source)
    assert all(np.array_equal(lazy.read_slice(i, 1), IMAGE[:, i]) for i in range(5))
    assert source.read == 1


def test_little_of_a_vast_volume_is_sampled(monkeypatch):
    monkeypatch.setattr(volume, "_VAST", IMAGE.size - 1)
    monkeypatch.setattr(volume, "_VAST_SLICES", 3)
    monkeypatch.setattr(volume, "_VAST_TILE", 4)
    source = Chunked(IMAGE, (1, 17, 11))
    values = Volume(source).sample_values()
    assert source.read == 3 * volume._VAST_TILES
    assert len(values) == 3 * volume._VAST_TILES * 16
    assert Volume(source).fingerprint == Volume(IMAGE).fingerprint
    assert np.array_equal(values, Volume(IMAGE).sample_values())
