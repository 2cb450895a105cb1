"""Figures of benchmarks as bars."""

import numpy as np
import pytest
from PIL import Image

from reference_support import benchmark


def test_bars_are_as_long_as_their_figures(tmp_path):
    figures = {"a_seconds": 2.0, "b_seconds": 1.0, "c_mb": 5.0, "ratio": 3.0}
    benchmark("_picture").write_picture(tmp_path / "p.png", "example", figures)
    pixels = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"), int)
    colour = pixels[:, :, 0] - pixels[:, :, 1] > 150  # the first unit's bars are red
    lengths = sorted({int(n) for n in colour.sum(1)} - {0})
    assert lengths[-1] == pytest.approx(2 * lengths[0], abs=4)
