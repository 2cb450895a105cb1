"""The label image: writes that can be undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacksam.session.labels import LabelImage

SHAPE = (2, 3, 4)


def mask_of(*flat):
    mask = np.zeros(SHAPE, bool)
    mask.reshape(-1)[list(flat)] = True
    return mask


def test_write_and_revert():
    image = LabelImage(SHAPE)
    change = image.write(mask_of(0, 5), 3, set())
    assert image.data.reshape(-1)[[0, 5]].tolist() == [3, 3]
    assert image.data.sum() == 6
    image.apply(change.reversed())
    assert not image.data.any()
    image.apply(change)
    assert image.data.sum() == 6


def test_protected_labels_stay():
    image = LabelImage(SHAPE)
    image.write(mask_of(0, 1), 1, set())
    image.write(mask_of(1, 2), 2, {1})
    assert image.data.reshape(-1)[:3].tolist() == [1, 1, 2]
    image.write(mask_of(1, 2), 2, set())
    assert image.data.reshape(-1)[:3].tolist() == [1, 2, 2]


def test_own_voxels_outside_are_cleared():
    image = LabelImage(SHAPE)
    image.write(mask_of(0, 1), 1, set())
    image.write(mask_of(1, 2), 1, set())
    assert image.data.reshape(-1)[:3].tolist() == [0, 1, 1]


def test_earlier_id_is_given_up():
    image = LabelImage(SHAPE)
    image.write(mask_of(0, 1), 1, set())
    image.write(mask_of(1, 2), 9, set(), earlier_id=1)
    assert image.data.reshape(-1)[:3].tolist() == [0, 9, 9]


def test_only_real_changes_are_kept():
    image = LabelImage(SHAPE)
    image.write(mask_of(0, 1), 1, set())
    assert image.write(mask_of(0, 1), 1, set()).is_empty
    assert image.write(mask_of(0, 1, 2), 1, set()).indices.tolist() == [2]


@pytest.mark.parametrize(
    ("label_id", "dtype"),
    [
        (255, np.uint8),
        (256, np.uint16),
        (65535, np.uint16),
        (65536, np.uint32),
        (2**32 - 1, np.uint32),
    ],
)
def test_dtype_grows_as_far_as_needed(label_id, dtype):
    image = LabelImage(SHAPE)
    image.write(mask_of(3), 1, set())
    image.write(mask_of(4), label_id, {1})
    assert image.data.dtype == dtype
    assert image.data.reshape(-1)[[3, 4]].tolist() == [1, label_id]


@pytest.mark.parametrize("label_id", [0, -1, 2**32])
def test_other_ids_are_refused(label_id):
    with pytest.raises(ValueError, match="between 1 and 4294967295"):
        LabelImage(SHAPE).write(mask_of(1), label_id, set())


def test_erase():
    image = LabelImage(SHAPE)
    image.write(mask_of(0, 1), 1, set())
    image.write(mask_of(2), 2, {1})
    change = image.erase(1)
    assert image.data.reshape(-1)[:3].tolist() == [0, 0, 2]
    image.apply(change.reversed())
    assert image.data.reshape(-1)[:3].tolist() == [1, 1, 2]


writes = st.lists(
    st.tuples(
        st.lists(st.integers(0, 23), max_size=8), st.integers(1, 300), st.sets(st.integers(1, 300))
    ),
    max_size=6,
)


@settings(deadline=None)
@given(writes)
def test_any_history_can_be_undone(writes):
    image, states, changes = LabelImage(SHAPE), [], []
    for flat, label_id, protected in writes:
        states.append(image.data.copy())
        changes.append(image.write(mask_of(*flat), label_id, protected - {label_id}))
    last = image.data.copy()
    for state, change in zip(reversed(states), reversed(changes), strict=True):
        image.apply(change.reversed())
        assert np.array_equal(image.data, state)
    for change in changes:
        image.apply(change)
    assert np.array_equal(image.data, last)
