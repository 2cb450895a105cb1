"""Stacks that hold little are as arrays that hold much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacksam.core import sparse_stack
from stacksam.core.sparse_stack import SparseStack, add_plane, empty_stack, planes_of

SHAPE = (4, 7, 9)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(sparse_stack, "TILE", 4)


def pair():
    return SparseStack(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)


KEYS = [
    2,
    -1,
    (1, slice(2, 5)),
    (3, slice(None), 4),
    (0, 1, 2),
    slice(None),
    (slice(1, 3), slice(0, 4), slice(2, None)),
    (slice(1, 3), 2),
    Ellipsis,
    (Ellipsis, 3),
    (np.array([0, 3, 3]), np.array([1, 2, 6]), np.array([8, 0, 1])),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reads_and_writes_like_an_array(key):
    stack, plain = pair()
    rng = np.random.default_rng(0)
    stack[1], plain[1] = 5, 5
    if key is not Ellipsis and not (isinstance(key, tuple) and key[0] is Ellipsis):
        values = rng.integers(0, 3, plain[key].shape)
        stack[key], plain[key] = values, values
    assert np.array_equal(stack[key], plain[key])
    assert np.array_equal(np.asarray(stack), plain)
    assert stack.max() == plain.max()
    assert stack.planes == np.flatnonzero(plain.any((1, 2))).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 8)), max_size=20))
def test_voxel_after_voxel(voxels):
    stack, plain = pair()
    for value, key in enumerate(voxels):
        stack[key] = plain[key] = value % 3
    assert np.array_equal(stack[:], plain)


def test_memory_follows_the_content():
    stack = SparseStack((4096, 1600, 1600), np.uint16)
    assert stack.nbytes == 0
    assert not stack.any()
    stack[7, 5, 5] = 1
    assert stack.nbytes == 32
    assert stack.any()
    stack[7, 5, 5] = 0
    assert stack.nbytes == 0


def test_other_types_and_shapes():
    stack, plain = pair()
    stack[2], plain[2] = 250, 250
    assert stack.astype(np.uint16).dtype == np.uint16
    assert np.array_equal(stack.astype(np.uint16)[:], plain)
    assert stack.reshape(SHAPE) is stack
    assert np.array_equal(stack.reshape((1, *SHAPE)), plain[None])


def test_only_vast_stacks_are_sparse(monkeypatch):
    assert isinstance(empty_stack(SHAPE, bool), np.ndarray)
    monkeypatch.setattr(sparse_stack, "DENSE_VOXELS", 251)
    assert isinstance(empty_stack(SHAPE, bool), SparseStack)
    assert isinstance(empty_stack((1, 7, 9), bool), np.ndarray)


def test_planes_of_several_stacks():
    stack, plain = pair()
    other, _ = pair()
    stack[3], other[1] = 1, 1
    assert list(planes_of(stack, other)) == [1, 3]
    assert list(planes_of(stack, plain)) == [0, 1, 2, 3]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_across_any_axis_are_added(axis):
    stack, plain = SparseStack(SHAPE, bool), np.zeros(SHAPE, bool)
    shape = [n for a, n in enumerate(SHAPE) if a != axis]
    for seed in range(2):
        plane = np.random.default_rng(seed).random(shape) > 0.7
        add_plane(stack, axis, 3, plane)
        add_plane(plain, axis, 3, plane)
    assert np.array_equal(stack[:], plain)
