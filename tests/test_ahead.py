"""A model that is loaded in a thread while something else is done."""

import subprocess
import sys

import numpy as np
import pytest

import stacksam
from stacksam.core.errors import CheckpointError

FRESH = """
import sys
import stacksam
loading = stacksam.load_ahead("compact", device="cpu")
assert not loading.done()
import numpy as np
volume = stacksam.Volume(np.zeros((2, 64, 64), np.uint8))
model = loading.result()
assert "stacksam.session" in sys.modules
session = stacksam.Session(volume, model)
session.add_box(1, 0, (10, 10, 40, 40))
print(session.predict(1, 0).mask.shape)
"""


def test_a_fresh_process_gets_its_model():
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(64,", "64)"]


def test_it_is_the_model_that_was_asked_for():
    ahead = stacksam.load_ahead("compact", device="cpu", dtype="float32").result()
    model = stacksam.load_model("compact", device="cpu", dtype="float32")
    crop = np.zeros((model.input_size, model.input_size), np.float32)
    assert ahead.fingerprint == model.fingerprint
    assert ahead.encode(crop).image_embedding.equal(model.encode(crop).image_embedding)


def test_what_is_wrong_is_said_where_the_model_is_wanted():
    loading = stacksam.load_ahead("no such model")
    with pytest.raises(CheckpointError, match="'no such model' is unknown"):
        loading.result()
