"""Which field to look at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacksam.core.fields import Field
from stacksam.core.masks import box_of
from stacksam.propagation.field_choice import (
    CLICK_SCALES,
    IMPLAUSIBLE,
    box_to_field,
    centrality,
    click_fields,
    clicked_part,
    corrected_field,
    expected_overlaps,
    grown,
    pixel_box,
    plausibility,
    square_around,
    union,
)

FIELD = Field(100.0, 200.0, 64.0, 64.0)


def logits_with(y0, x0, y1, x1, size=32):
    logits = np.full((size, size), -5.0, np.float32)
    logits[y0:y1, x0:x1] = 5
    return logits


def plausibility_of(logits, field, clicks):
    spots = [tuple(spot) for spot in field.to_field(np.array(clicks), len(logits))]
    return plausibility(box_of(clicked_part(logits, spots)), len(logits))


@given(st.floats(0, 299), st.floats(0, 899), st.sampled_from([0.5, 1.0, 4.0]))
def test_click_is_looked_at_from_close_to_far(y, x, aspect):
    fields = click_fields([(y, x)], (300, 900), aspect)
    assert 1 <= len(fields) <= len(CLICK_SCALES) == 3
    widths = [f.width for f in fields]
    assert widths == sorted(widths)
    for field in fields:
        assert field.height * aspect == pytest.approx(field.width)
        assert field.y - 0.5 <= y <= field.y + field.height + 0.5
        assert field.x - 0.5 <= x <= field.x + field.width + 0.5


def test_small_slices_are_not_looked_at_twice_from_one_distance():
    assert len(click_fields([(5.0, 5.0)], (10, 10), 1.0)) == 1


@given(st.lists(st.tuples(st.floats(0, 299), st.floats(0, 299)), min_size=2, max_size=8))
def test_all_points_of_a_stroke_lie_in_every_field(points):
    for field in click_fields(points, (300, 300), 1.0):
        at = field.to_field(np.array(points), 128)
        assert at.min() >= -0.51
        assert at.max() <= 127.51


def test_plausible_masks_lie_whole_in_their_field():
    click = [(131.5, 231.5)]  # the field's middle
    whole = plausibility_of(logits_with(10, 10, 22, 22), FIELD, click)
    cut = plausibility_of(logits_with(0, 10, 22, 22), FIELD, click)
    tiny = plausibility_of(logits_with(15, 15, 17, 17), FIELD, click)
    beside = plausibility_of(logits_with(2, 2, 8, 8), FIELD, click)
    empty = plausibility_of(np.full((32, 32), -1.0), FIELD, click)
    assert whole == 1
    assert cut == tiny == IMPLAUSIBLE
    assert beside == empty < cut


def test_only_the_piece_under_the_click_counts():
    logits = np.maximum(logits_with(10, 10, 22, 22), logits_with(0, 0, 3, 3))
    assert plausibility_of(logits, FIELD, [(131.5, 231.5)]) == 1


def test_field_stays_while_it_holds_all_points():
    logits = logits_with(10, 10, 22, 22)
    assert corrected_field(logits, FIELD, ((110.0, 210.0),), (500, 500), 1.0) == FIELD
    assert corrected_field(None, FIELD, (), (500, 500), 1.0) == FIELD


def test_points_on_the_edge_of_the_slice_are_not_outside():
    field = Field(0.0, 0.0, 40.0, 50.0)
    points = ((-0.5, -0.5), (39.49, 49.49), (-0.5, 20.0))
    assert corrected_field(None, field, points, (40, 50), 1.0) == field


@pytest.mark.parametrize("has_mask", [True, False])
def test_field_widens_to_points_outside(has_mask):
    logits = logits_with(10, 10, 22, 22) if has_mask else None
    points = ((20.0, 220.0), (110.0, 210.0))
    field = corrected_field(logits, FIELD, points, (500, 500), 1.0)
    assert all(field.contains(pixel_box(p)) for p in points)
    assert field != FIELD
    if has_mask:
        assert field.contains((120.0, 220.0, 144.0, 244.0))


def test_boxes():
    assert pixel_box((2.0, 3.0)) == (2.0, 3.0, 3.0, 4.0)
    assert union((0, 5, 2, 6), (1, 1, 9, 2)) == (0, 1, 9, 6)
    assert grown((10.0, 20.0, 20.0, 40.0), 0.1) == (9.0, 18.0, 21.0, 42.0)
    assert square_around((10.0, 20.0), 8.0, 2.0) == (8.5, 16.5, 12.5, 24.5)
    assert box_to_field((100.0, 200.0, 132.0, 264.0), FIELD, 128) == (0.0, 0.0, 64.0, 128.0)


def blob(side, radius):
    """Logits of a disc in the middle of a (side, side) grid."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(np.hypot(y, x) < radius, 6.0, -6.0).astype(np.float32)


def test_the_mask_that_other_looks_agree_with_is_expected_to_do_best():
    near, far = Field(96, 96, 64, 64), Field(0, 0, 256, 256)
    near_masks = np.stack([blob(64, 6), blob(64, 20)])
    far_masks = np.stack([blob(64, 5), blob(64, 25)])  # the first is the larger one seen from near
    looks = [
        (near_masks, near, np.array([0.8, 0.8])),
        (far_masks, far, np.array([0.8, 0.75])),
    ]
    expected = expected_overlaps(looks, [(127.5, 127.5)])
    assert expected[0][1] > expected[0][0]
    assert expected[0][1] > expected[1][1]
    assert all(((e >= 0) & (e <= 1)).all() for e in expected)


def test_a_sure_mask_needs_no_agreement():
    field = Field(0, 0, 64, 64)
    masks = np.stack([blob(64, 12), blob(64, 24), blob(64, 25)])
    (expected,) = expected_overlaps([(masks, field, np.array([0.98, 0.4, 0.4]))], [(31.5, 31.5)])
    assert np.argmax(expected) == 0


def test_a_click_is_as_central_as_it_is_far_from_the_edge():
    disc = blob(64, 20)

    def central(*spots):
        return centrality(clicked_part(disc, list(spots)), list(spots))

    assert central((31.5, 31.5)) == 1
    assert 0.4 < central((31.5, 21.5)) < 0.65
    assert 0 < central((31.5, 13.0)) < 0.2
    assert central((31.5, 13.0), (31.5, 31.5)) == 1
    assert central((2.0, 2.0)) == 0
    assert central((31.5, 13.0), (2.0, 2.0)) == central((31.5, 13.0))
    assert central((31.5, 13.0), (60.0, 60.0)) == central((31.5, 13.0))


def test_of_two_masks_that_are_as_good_the_one_around_the_click_is_expected_to_do_better():
    field = Field(0, 0, 64, 64)
    around, beside = blob(64, 10), np.roll(blob(64, 12), 11, axis=1)
    scores = np.array([0.8, 0.8])
    (expected,) = expected_overlaps([(np.stack([beside, around]), field, scores)], [(31.5, 31.5)])
    assert np.argmax(expected) == 1
