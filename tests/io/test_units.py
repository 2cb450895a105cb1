import math

import pytest

from stacksam.io.units import in_mm


@pytest.mark.parametrize(
    ("unit", "mm"),
    [
        ("mm", 1),
        (" Millimeters ", 1),
        ("millimetre", 1),
        ("µm", 1e-3),
        ("μm", 1e-3),
        ("\\u00B5m", 1e-3),
        ("microns", 1e-3),
        ("nanometer", 1e-6),
        ("Å", 1e-7),
        ("m", 1000),
        ("inch", 25.4),
    ],
)
def test_lengths(unit, mm):
    assert in_mm(unit) == pytest.approx(mm)


@pytest.mark.parametrize("unit", [None, "", "s", "ms", "second", "pixel", "parsec"])
def test_other_units_are_no_length(unit):
    assert math.isnan(in_mm(unit))
