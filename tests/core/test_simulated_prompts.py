"""Simulated users click inside, draw boxes around and correct the largest error."""

import numpy as np
import pytest

from stacksam.core.masks import edge_distance
from stacksam.core.simulated_prompts import box_around, click_on, corrective_click


@pytest.fixture
def disc():
    y, x = np.ogrid[:60, :80]
    return (y - 25) ** 2 + (x - 50) ** 2 < 15**2


EMPTY = np.zeros((6, 6), bool)


def test_the_plain_click_is_the_centre(disc):
    assert click_on(disc) == (25, 50)


def test_random_clicks_are_inside_and_rather_in_the_middle(disc):
    rng = np.random.default_rng(0)
    clicks = np.array([click_on(disc, rng) for _ in range(400)])
    assert disc[tuple(clicks.T)].all()
    distance, (y0, x0) = edge_distance(disc)
    of_clicks = distance[clicks[:, 0] - y0, clicks[:, 1] - x0].mean()
    assert of_clicks > 1.2 * distance[distance > 0].mean()
    assert len(np.unique(clicks, axis=0)) > 100


def test_equal_seeds_give_equal_clicks(disc):
    first, second = (click_on(disc, np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_a_single_pixel_can_be_clicked_on():
    mask = EMPTY.copy()
    mask[5, 0] = True
    assert click_on(mask) == click_on(mask, np.random.default_rng(0)) == (5, 0)
    y0, x0, y1, x1 = box_around(mask, np.random.default_rng(0), 0.5)
    assert y0 <= 5.0 < 6.0 == y1
    assert x0 == 0.0 < 1.0 <= x1


def test_the_plain_box_is_tight(disc):
    assert box_around(disc) == (11.0, 36.0, 40.0, 65.0)


def test_sloppy_boxes_stay_around_the_object_and_inside_the_image(disc):
    rng = np.random.default_rng(0)
    boxes = np.array([box_around(disc, rng, 0.2) for _ in range(300)])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= disc.shape).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    # Two deviations of 0.2 of 29 pixels.
    assert np.abs(boxes - box_around(disc)).max() <= 0.4 * 29 + 1e-9
    assert np.allclose(boxes.mean(axis=0), box_around(disc), atol=1.0)
    assert boxes.std(axis=0).min() > 3


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
def test_nothing_to_click_on(rng):
    with pytest.raises(ValueError, match="nothing to click on"):
        click_on(EMPTY, rng)
    with pytest.raises(ValueError, match="nothing to draw a box around"):
        box_around(EMPTY, rng)


def test_a_sloppy_box_needs_a_generator(disc):
    with pytest.raises(ValueError, match="pass rng"):
        box_around(disc, None, 0.1)


def test_no_correction_where_all_is_right(disc):
    assert corrective_click(disc, disc) is None
    assert corrective_click(EMPTY, EMPTY) is None


def test_the_larger_error_wins(disc):
    missed = disc.copy()
    missed[:, 60:] = False
    surplus = missed.copy()
    surplus[50:60, 0:30] = True
    (y, x), positive = corrective_click(disc, missed)
    assert positive
    assert disc[y, x]
    assert not missed[y, x]
    (y, x), positive = corrective_click(disc, surplus)
    assert not positive
    assert y in (54, 55)
    assert x in (14, 15)


def test_touching_errors_of_different_kind_are_taken_apart():
    truth, prediction = np.zeros((8, 20), bool), np.zeros((8, 20), bool)
    truth[2:6, 2:12] = True
    prediction[2:6, 12:18] = True
    (_, x), positive = corrective_click(truth, prediction)
    assert positive
    assert x < 12


def test_of_equal_errors_the_missed_one_is_clicked():
    truth, prediction = np.zeros((4, 12), bool), np.zeros((4, 12), bool)
    truth[:, :3] = True
    prediction[:, 9:] = True
    assert corrective_click(truth, prediction)[1] is True


def test_correcting_needs_equal_shapes(disc):
    with pytest.raises(ValueError, match="the prediction"):
        corrective_click(disc, EMPTY)
