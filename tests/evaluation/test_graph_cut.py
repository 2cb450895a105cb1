"""GrabCut's manner on objects that are easy, textured, cut, or not there."""

import numpy as np
import pytest

from stacksam.core.metrics import iou
from stacksam.core.simulated_prompts import box_around
from stacksam.evaluation.graph_cut import grabcut_from_box


def scene(level=0.8, noise=0.03, shape=(80, 100), radii=(15, 22), centre=(40, 45)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    truth = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
    image = np.where(truth, level, 0.4) + np.random.default_rng(0).normal(0, noise, shape)
    return image.clip(0, 1).astype(np.float32), truth


@pytest.mark.parametrize(("level", "noise"), [(0.8, 0.03), (0.1, 0.03), (0.7, 0.12)])
def test_an_ellipse_is_found(level, noise):
    image, truth = scene(level, noise)
    assert iou(truth, grabcut_from_box(image, box_around(truth))) > 0.85


def test_an_object_of_two_intensities_is_found():
    image, truth = scene()
    image[truth & (np.indices(truth.shape)[1] % 8 < 4)] = 0.05
    assert iou(truth, grabcut_from_box(image, box_around(truth))) > 0.8


def test_a_large_object_is_reduced_and_brought_back():
    image, truth = scene(shape=(300, 420), radii=(120, 160), centre=(150, 180))
    found = grabcut_from_box(image, box_around(truth))
    assert found.shape == truth.shape
    assert iou(truth, found) > 0.9


def test_the_result_stays_in_the_box():
    image, _ = scene()
    found = grabcut_from_box(image, (30.0, 30.0, 45.0, 50.0))
    assert found.any()
    assert found.sum() == found[30:45, 30:50].sum()


@pytest.mark.parametrize("box", [(10.0, 10.0, 20.0, 30.0), (0.0, 0.0, 40.0, 50.0)])
def test_without_contrast_the_box_is_the_answer(box):
    found = grabcut_from_box(np.zeros((40, 50), np.float32), box)
    assert found.sum() == (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tiny_boxes(size):
    image, _ = scene()
    found = grabcut_from_box(image, (40.0, 45.0, 40.0 + size, 45.0 + size))
    assert found.sum() <= size**2


def test_equal_calls_give_equal_masks():
    image, truth = scene(noise=0.15)
    first, second = (grabcut_from_box(image, box_around(truth)) for _ in range(2))
    assert np.array_equal(first, second)
