"""What a predictor keeps: within its budgets, counted exactly, and nothing beside it."""

import gc
import weakref
from itertools import count

import numpy as np
import pytest

import stacksam.propagation.slice_predictor as module
from models import ThresholdPredictor, stack_of, tiny_predictor, two_tubes
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PointPrompt
from stacksam.core.volume import Volume
from stacksam.core.windows import resolve_window
from stacksam.propagation import SlicePredictor

TRUTH = two_tubes()
BOX = (12.0, 14.0, 32.0, 34.0)
_ids = count(1)


def predictor_of(volume=None, model=None):
    volume = stack_of(TRUTH) if volume is None else volume
    return SlicePredictor(volume, resolve_window(volume, "auto"), model or ThresholdPredictor())


def click(index, y, x):
    return PointPrompt(next(_ids), 1, 0, index, (float(y), float(x)), True)


def root_of(array):
    """The array whose memory it is that this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def held_bytes(prediction):
    arrays = [prediction.logits, prediction.given, *(c for c, _ in prediction.candidates)]
    roots = [root_of(array) for array in arrays if array is not None]
    return sum({id(root): root.nbytes for root in roots}.values())


@pytest.mark.parametrize("model", [ThresholdPredictor(), tiny_predictor()])
def test_predictions_are_counted_with_all_that_they_keep_alive(model):
    predictor = predictor_of(model=model)
    found = [
        predictor.from_prompts(0, 5, (click(5, 22, 24),)),
        predictor.from_prompts(0, 5, (BoxPrompt(next(_ids), 1, 0, 5, BOX),)),
        predictor.from_prompts(0, 6, (MaskPrompt.from_array(next(_ids), 1, 0, 6, TRUTH[6] == 1),)),
    ]
    found.append(predictor.from_neighbour(0, 6, found[1]))
    store = predictor.predictions
    assert len(store) == len(found)
    small = 2048 * len(found)
    assert store.used == sum(map(held_bytes, found)) + small
    for prediction in found[:2]:
        assert np.shares_memory(prediction.candidates[0][0], prediction.logits)
        assert held_bytes(prediction) == 3 * prediction.logits.nbytes


def test_embeddings_are_counted_and_let_go(monkeypatch):
    monkeypatch.setattr(module, "EMBEDDING_BUDGET", 300_000)
    predictor = predictor_of()
    for index in range(2, 9):
        predictor.from_prompts(0, index, (BoxPrompt(next(_ids), 1, 0, index, BOX),))
    store = predictor.embeddings
    assert store.computed == 7
    assert 1 < len(store) < 7
    assert store.used == len(store) * 4 * predictor.model.input_size**2 <= store.budget


def test_slices_of_a_volume_in_memory_cost_nothing():
    predictor = predictor_of()
    image = predictor.read(0, 5)
    assert np.shares_memory(image, predictor.volume.data)
    assert predictor.slices.used == 0
    across = predictor.read(1, 20)
    assert predictor.slices.used == across.nbytes > 0
    assert predictor.read(1, 20) is across


class Chunked:
    """Read in chunks of six slices, of which a part is given out."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.chunks = []

    def __getitem__(self, key):
        first = key[0] // 6 * 6
        chunk = self.data[first : first + 6].copy()
        self.chunks.append(weakref.ref(chunk))
        return chunk[(key[0] - first, *key[1:])]


def test_slice_that_was_read_keeps_no_chunk_alive():
    stack = stack_of(TRUTH)
    chunked = Chunked(stack.data)
    predictor = SlicePredictor(Volume(chunked), resolve_window(stack, "auto"), ThresholdPredictor())
    chunked.chunks.clear()
    image = predictor.read(0, 4)
    gc.collect()
    assert [chunk() for chunk in chunked.chunks] == [None]
    assert np.array_equal(image, stack.data[4])
    assert predictor.slices.used == image.nbytes == root_of(image).nbytes


def test_freed_memory_is_given_back_now_and_then(monkeypatch):
    swept = []
    monkeypatch.setattr(module, "give_back_freed_memory", lambda: swept.append(predictor.decoded))
    predictor = predictor_of()
    prediction = predictor.from_prompts(0, 5, (BoxPrompt(next(_ids), 1, 0, 5, BOX),))
    for step in range(2 * module.DECODINGS_PER_SWEEP):
        prediction = predictor.from_neighbour(0, 6 if step % 2 == 0 else 5, prediction)
        predictor.sweep()
    assert swept == [module.DECODINGS_PER_SWEEP, 2 * module.DECODINGS_PER_SWEEP]
