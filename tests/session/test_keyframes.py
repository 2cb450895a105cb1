"""What the user decided stays as it is, in whatever order; edits cost what they change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import ThresholdPredictor, stack_of
from session_support import BOX_1, BOX_2, CENTRES, TRUTH
from stacksam import Session
from stacksam.core.cleanup import CleanUp

drawn_slices = st.dictionaries(st.integers(0, 11), st.integers(0, 999), min_size=1, max_size=4)
operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["propagate", "both", "smooth", "range", "predict", "clean", "commit", "undo redo"]
        ),
        st.integers(0, 11),
    ),
    max_size=6,
)


def scribbled(seed):
    """A mask that no clean-up, smoothing or model would leave as it is."""
    return np.random.default_rng(seed).random(TRUTH.shape[1:]) > 0.8


def operate(session, kind, z):
    if kind == "propagate":
        session.propagate(1)
    elif kind == "both":
        session.propagate([2, 1])
    elif kind == "smooth":
        session.propagate(1, smooth=1.0)
    elif kind == "range":
        session.propagate(1, z_range=(z, z + 3))
    elif kind == "predict":
        session.predict(2, 6)
    elif kind == "clean":
        session.set_clean_up(1, CleanUp(min_size=z, smooth=1))
    elif kind == "commit":
        session.commit(1, overwrite=True)
    else:
        session.undo()
        session.redo()


@settings(max_examples=25, deadline=None)
@given(drawn_slices, operations)
def test_keyframes_stay_to_the_bit(drawn, sequence):
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    for index, seed in drawn.items():
        session.add_mask(1, index, scribbled(seed))
    session.add_box(2, 6, BOX_2)
    for kind, z in sequence:
        operate(session, kind, z)
    result = session.propagate(1)
    assert result.keyframes == sorted(drawn)
    for index, seed in drawn.items():
        assert np.array_equal(result.mask[index], scribbled(seed))
        assert np.array_equal(session.predict(1, index).mask, scribbled(seed))


@settings(max_examples=20, deadline=None)
@given(st.permutations([(1, 4), (1, 6), (2, 4), (2, 9)]), st.booleans())
def test_order_of_predictions_does_not_matter(order, is_propagated_between):
    def prompted():
        session = Session(stack_of(TRUTH), ThresholdPredictor())
        for object_id, box in ((1, BOX_1), (2, BOX_2)):
            session.add_box(object_id, 4, box)
        session.add_point(1, (6, 16, 24))
        session.add_point(2, (9, *CENTRES[1]))
        return session

    quiet, busy = prompted(), prompted()
    expected = quiet.propagate([1, 2])
    for object_id, index in order:
        busy.predict(object_id, index)
        if is_propagated_between:
            busy.propagate(object_id)
    found = busy.propagate([1, 2])
    for object_id in (1, 2):
        assert np.array_equal(found[object_id].mask, expected[object_id].mask)
        assert np.array_equal(found[object_id].confidence, expected[object_id].confidence)


@pytest.mark.parametrize(("edited", "beside"), [(0, 4), (5, 4 + 5), (11, 5)])
def test_an_edit_encodes_the_intervals_beside_it_only(edited, beside):
    model = ThresholdPredictor()
    session = Session(stack_of(TRUTH), model)
    for index in (0, 5, 11):
        session.add_box(2, index, BOX_2)
    session.propagate(2)
    session.predictor.embeddings.clear()  # or nothing would be encoded twice
    before = model.encoded
    session.add_point(2, (edited, 38, 52), positive=False)
    session.propagate(2)
    assert 0 < model.encoded - before <= 1 + beside
    before = model.encoded
    session.undo()
    session.propagate(2)
    assert model.encoded == before
