"""napari shows and paints sparse labels as it does plain ones."""

import numpy as np
import pytest
from napari.layers import Labels

from stacksam.core import sparse_stack
from stacksam.core.sparse_stack import SparseStack
from stacksam.plugin.labels_layer import _is_same


@pytest.fixture(params=["plain", "sparse"])
def layer(request, monkeypatch):
    monkeypatch.setattr(sparse_stack, "TILE", 8)
    plain = np.zeros((4, 20, 24), np.uint8)
    stack = SparseStack(plain.shape, np.uint8)
    plain[2, 5:9, 6:12] = stack[2, 5:9, 6:12] = 3
    return Labels(plain if request.param == "plain" else stack)


def shown(layer, index):
    layer.set_view_slice()
    with layer.dask_optimized_slicing():
        return np.asarray(layer.data[index])


def test_brush_and_fill_and_eraser(layer):
    layer.n_edit_dimensions = 2
    assert (shown(layer, 2) == 3).sum() == 24
    layer.brush_size = 3
    layer.paint((1, 10, 10), 5)
    painted = shown(layer, 1)
    assert painted[10, 10] == 5
    assert 0 < (painted == 5).sum() < 20
    layer.fill((2, 6, 7), 7)
    assert (shown(layer, 2) == 7).sum() == 24
    layer.undo()
    assert (shown(layer, 2) == 3).sum() == 24
    layer.paint((2, 6, 7), 0)
    assert shown(layer, 2)[6, 7] == 0
    assert layer.get_value((2, 7, 8)) in (0, 3)


def test_the_same_labels_are_recognised():
    plain, stack = np.zeros((2, 3, 4), np.uint8), SparseStack((2, 3, 4), np.uint8)
    assert _is_same(plain, plain)
    assert _is_same(plain.reshape(1, 2, 3, 4), plain)
    assert not _is_same(plain, plain.copy())
    assert _is_same(stack, stack)
    assert not _is_same(stack, SparseStack((2, 3, 4), np.uint8))
    assert not _is_same(plain, stack)
    assert not _is_same(stack, plain)
