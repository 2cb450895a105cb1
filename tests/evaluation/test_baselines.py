"""Random walker and Otsu on objects that are easy, cut, large, or not there."""

import numpy as np
import pytest

from stacksam.core.metrics import dice, iou
from stacksam.core.simulated_prompts import box_around, click_on
from stacksam.evaluation.baselines import (
    combine_regions,
    flood_fill,
    otsu_component,
    random_walker_from_box,
    random_walker_from_clicks,
    random_walker_through,
)


def scene(shape=(80, 100), centre=(40, 45), radii=(15, 22), level=0.8, noise=0.03):
    y, x = np.ogrid[: shape[0], : shape[1]]
    truth = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
    image = np.where(truth, level, 0.4) + np.random.default_rng(0).normal(0, noise, shape)
    return image.astype(np.float32), truth


@pytest.mark.parametrize("level", [0.8, 0.1])
def test_the_walker_finds_an_ellipse(level):
    image, truth = scene(level=level)
    found = random_walker_from_box(image, box_around(truth))
    assert found.shape == truth.shape
    assert iou(truth, found) > 0.9


def test_the_walker_stays_in_the_box():
    image, _ = scene(centre=(30, 20))
    found = random_walker_from_box(image, (22.5, 10.0, 40.0, 26.3))
    rows, columns = np.nonzero(found)
    assert rows.min() >= 22
    assert rows.max() < 40
    assert columns.min() >= 10
    assert columns.max() < 27


def test_the_walker_at_the_border_and_on_large_objects():
    image, truth = scene((700, 900), (300, 0), (280, 500), noise=0.05)
    assert iou(truth, random_walker_from_box(image, box_around(truth))) > 0.9


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_the_walker_on_tiny_boxes(size):
    image, _ = scene()
    found = random_walker_from_box(image, (40.0, 45.0, 40.0 + size, 45.0 + size))
    assert found.any()
    assert found.sum() <= size**2


def test_the_walker_without_contrast_or_background_answers_all_the_same():
    flat = np.zeros((40, 50), np.float32)
    assert random_walker_from_box(flat, (10.0, 10.0, 20.0, 30.0)).sum() == 200
    assert random_walker_from_box(flat, (0.0, 0.0, 40.0, 50.0)).all()


@pytest.mark.parametrize("level", [0.8, 0.1])
def test_otsu_takes_the_side_that_was_clicked_on(level):
    image, truth = scene(level=level)
    assert iou(truth, otsu_component(image, click_on(truth))) > 0.9


def test_otsu_looks_around_the_click_where_the_image_misleads():
    image, truth = scene((300, 300), (60, 60), (12, 12), level=0.55)
    image[150:] += 3.0
    assert iou(truth, otsu_component(image, (60, 60))) > 0.7


def test_otsu_fills_holes():
    image, truth = scene()
    image[38:43, 40:50] = 0.3
    found = otsu_component(image, (40, 30))
    assert found[40, 45]
    assert iou(truth, found) > 0.9


def test_otsu_on_a_constant_image_finds_nothing():
    assert not otsu_component(np.zeros((30, 30), np.float32), (5, 5)).any()


def test_otsu_takes_clicks_at_the_very_edge():
    image, _ = scene(centre=(0, 0))
    assert otsu_component(image, (0, 0))[0, 0]
    assert otsu_component(image, (-0.5, -0.5)).shape == image.shape
    assert otsu_component(image, (79.4, 99.4)).shape == image.shape


def test_the_walker_goes_through_a_ball_and_stops_at_its_ends():
    scenes = [
        scene(radii=(r, r)) if r else scene(level=0.4) for r in (0, 0, 8, 12, 14, 15, 13, 9, 0, 0)
    ]
    images = {i: image for i, (image, _) in enumerate(scenes)}
    truth = np.array([t if i in range(2, 8) else t & False for i, (_, t) in enumerate(scenes)])
    found = np.zeros_like(truth)
    found[5] = truth[5]
    for index, mask in random_walker_through(images, 5, truth[5]):
        found[index] = mask
    assert dice(truth, found) > 0.9
    assert not found[[0, 9]].any()


def by_walking(image, yx):
    return random_walker_from_clicks(image, [(yx, True)])


@pytest.mark.parametrize("method", [flood_fill, otsu_component, by_walking])
@pytest.mark.parametrize("level", [0.8, 0.1])
def test_one_click_finds_an_easy_object(method, level):
    image, truth = scene(level=level)
    assert iou(truth, method(image, click_on(truth))) > 0.85


def test_walker_clicks_add_and_take_away():
    image, left = scene(centre=(40, 25), radii=(15, 15))
    _, right = scene(centre=(40, 75), radii=(15, 15))
    image[right] = image[left].mean()
    clicks = [((40, 25), True), ((40, 75), True)]
    assert iou(left | right, random_walker_from_clicks(image, clicks)) > 0.8
    without = random_walker_from_clicks(image, [*clicks, ((40, 75), False)])
    assert iou(left, without) > 0.8


def test_flood_fill_stops_at_the_tolerance_and_fills_holes():
    image = np.full((30, 40), 0.2, np.float32)
    image[5:25, 5:25] = 0.6
    image[12:18, 12:18] = 1.0
    found = flood_fill(image, (7, 7), tolerance=0.1)
    assert found[15, 15]
    assert not found[2, 30]
    assert flood_fill(image, (7, 7), tolerance=0.9).all()


@pytest.mark.parametrize("method", [flood_fill, otsu_component, by_walking])
def test_clicks_at_the_very_edge(method):
    image, _ = scene(centre=(0, 0))
    for click in ((0, 0), (79, 99)):
        assert method(image, click).shape == image.shape


def test_the_walker_from_a_click_without_contrast_answers():
    found = random_walker_from_clicks(np.zeros((40, 50), np.float32), [((20, 20), True)])
    assert found.shape == (40, 50)


def test_clicks_far_apart_keep_the_walkers_frame():
    image, truth = scene((400, 900), (200, 450), (60, 70))
    clicks = [((200, 450), True), ((20, 20), False), ((380, 880), False)]
    assert iou(truth, random_walker_from_clicks(image, clicks)) > 0.8


def test_of_regions_that_overlap_the_nearest_click_decides():
    every = np.ones((1, 9), bool)
    right = np.array([[False] * 4 + [True] * 5])
    clicks = [((0, 1), True), ((0, 7), False)]
    assert combine_regions([every, right], clicks)[0].tolist() == [True] * 4 + [False] * 5
    assert not combine_regions([right, every], clicks).any()
    assert combine_regions([every, ~right], clicks).all()


def test_of_equally_near_clicks_the_latest_decides():
    every = np.ones((2, 2), bool)
    assert not combine_regions([every, every], [((0, 0), True), ((0, 0), False)]).any()
    assert combine_regions([every, every], [((0, 0), False), ((0, 0), True)]).all()
