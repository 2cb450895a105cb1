"""Some tests in this folder open windows."""

import pytest

from window_support import skip_without_window


def pytest_collection_modifyitems(items):
    skip_without_window(items, "widgets")


@pytest.fixture
def session():
    """Two bright tubes in 12 slices, and a model that thresholds."""
    from models import ThresholdPredictor, stack_of, two_tubes
    from stacksam.session import Session

    return Session(stack_of(two_tubes(), spacing_zyx=(2.0, 0.5, 0.5)), ThresholdPredictor())


@pytest.fixture
def marked(session):
    """The same with a box around object 1."""
    session.add_box(1, 5, (11, 13, 34, 36))
    return session
