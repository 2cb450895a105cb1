"""Sessions on two bright tubes, with a model that thresholds."""

import pytest

from models import ThresholdPredictor, stack_of, two_tubes
from stacksam.session import Session


@pytest.fixture
def truth():
    return two_tubes()


@pytest.fixture
def model():
    return ThresholdPredictor()


@pytest.fixture
def session(truth, model):
    return Session(stack_of(truth), model)
