"""Numbers as people read them."""

import pytest

from stacksam.widgets.amounts import readable_column, spacing_text, volume_text


@pytest.mark.parametrize(
    ("spacing", "text"),
    [
        ((4.0, 2.0, 2.0), "4 × 2 × 2 mm"),
        ((5.0, 0.7031, 0.7031), "5 × 0.703 × 0.703 mm"),
        ((0.001, 0.00035, 0.00035), "1 × 0.35 × 0.35 µm"),
    ],
)
def test_spacing(spacing, text):
    assert spacing_text(spacing) == text


@pytest.mark.parametrize(
    ("mm3", "text"),
    [(1.77e6, "1770 cm³"), (94700.0, "94.7 cm³"), (5.0, "5 mm³"), (2.085e-6, "2085 µm³")],
)
def test_volumes_have_no_exponent(mm3, text):
    assert volume_text(mm3) == text


def test_columns_of_small_things_are_shown_in_micrometres():
    assert readable_column("volume_mm3", [2.1e-6, None]) == ("volume µm³", 1e9)
    assert readable_column("longest_3d_mm", [0.021]) == ("longest 3d µm", 1e3)


def test_columns_of_large_things_and_counts_stay():
    assert readable_column("volume_mm3", [94700.0]) == ("volume mm³", 1.0)
    assert readable_column("largest_area_px2", [12.0]) == ("largest area px2", 1.0)
    assert readable_column("volume_mm3", [None]) == ("volume mm³", 1.0)
