import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacksam.io.lazy_view import LazyView

DATA = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
part = st.one_of(
    st.integers(0, 2),
    st.builds(
        slice,
        st.none() | st.integers(-3, 3),
        st.none() | st.integers(-3, 3),
        st.none() | st.integers(1, 2),
    ),
)


@given(
    fixed=st.integers(0, 3),
    order=st.permutations(range(3)),
    key=st.lists(part, min_size=1, max_size=3),
)
def test_a_view_indexes_like_numpy(fixed, order, key):
    expected = DATA.take(1, fixed).transpose(order)
    view = LazyView(DATA).take(fixed, 1).transpose(order)
    assert (view.shape, view.ndim, view.dtype) == (expected.shape, 3, expected.dtype)
    np.testing.assert_array_equal(np.asarray(view), expected)
    key = tuple(min(k, n - 1) if isinstance(k, int) else k for k, n in zip(key, view.shape))  # noqa: B905
    np.testing.assert_array_equal(view[key], expected[key])
    np.testing.assert_array_equal(view[..., 1:, 0], expected[..., 1:, 0])


def test_negative_indices_count_from_the_end():
    np.testing.assert_array_equal(LazyView(DATA)[-1, :, -2], DATA[-1, :, -2])


def test_keeping_the_first_entries():
    np.testing.assert_array_equal(LazyView(DATA).keep_first(-1, 3).read(), DATA[..., :3])


@pytest.mark.parametrize("key", [None, [0, 1], (0, 0, 0, 0, 0), slice(None, None, -1)])
def test_other_indices_are_refused(key):
    with pytest.raises(IndexError, match=r"is not possible|more entries"):
        LazyView(DATA)[key]


def test_an_index_out_of_range_is_refused():
    with pytest.raises(IndexError, match="out of range"):
        LazyView(DATA)[2]
