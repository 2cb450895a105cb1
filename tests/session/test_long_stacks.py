"""What a run over 1,000 slices leaves behind."""

import numpy as np

from models import ThresholdPredictor, disc, stack_of
from session_support import BOX_1
from stacksam import Session

SLICES = 1000
BUDGET = 2**20


def test_memory_is_bounded_over_a_thousand_slices():
    labels = np.broadcast_to(disc((64, 72), (22, 24), 9), (SLICES, 64, 72)).astype(np.uint8)
    model = ThresholdPredictor()
    session = Session(stack_of(labels), model)
    predictor = session.predictor
    stores = predictor.embeddings, predictor.slices, predictor.predictions
    for store in stores:
        store.budget = BUDGET
    session.add_box(1, SLICES // 2, BOX_1)
    session.add_box(2, SLICES // 2, BOX_1)
    results = session.propagate([1, 2])
    assert len(results[1].slices) == SLICES
    assert all(store.used <= BUDGET for store in stores)
    assert all(store.computed > len(store) for store in stores)  # or nothing was dropped
    per_slice = sum(result.nbytes for result in results.values()) / (2 * SLICES)
    assert per_slice < 64 * 72 / 8  # packed bits, and what goes with them
    assert model.encoded <= 2 * SLICES
