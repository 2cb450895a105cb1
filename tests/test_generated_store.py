"""The benchmarks' volume that is made while it is read."""

import numpy as np
import pytest

from reference_support import BENCHMARKS, benchmark
from stacksam.core.volume import Volume


@pytest.fixture
def stores():
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks are in the repository only")
    module = benchmark("_generated_store")
    return [
        module.GeneratedStore((70, 60, 50), chunks, (30, 30, 25), (10, 12, 9))
        for chunks in ((1, 60, 50), (16, 32, 32))
    ]


def test_chunks_do_not_change_what_it_shows(stores):
    planes, blocks = (store.array() for store in stores)
    assert planes.dtype == np.uint16
    assert np.array_equal(planes[:], blocks[:])
    assert not np.array_equal(planes[1], planes[2])


def test_the_body_is_where_it_is_said_to_be(stores):
    image = stores[0].array()[:]
    assert image[30, 30, 25] > 1500
    assert image[30, 30, 40] < 1500
    assert image[45, 30, 25] < 1500


def test_a_slice_reads_only_what_lies_under_it(stores):
    for store, n_chunks in zip(stores, (1, 4), strict=True):
        volume = Volume(store.array())
        volume.read_slice(20)
        assert store.n_read == n_chunks
        volume.read_slice(21)
    assert stores[0].n_read == 2
    assert stores[1].n_read == 4
