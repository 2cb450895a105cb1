"""Grey values tell whether a mask still covers the object."""

from __future__ import annotations

import numpy as np
import pytest

from stacksam.propagation.appearance import Appearance

SIZE = 64


def disc(radius: float, y: float = 32, x: float = 32) -> np.ndarray:
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def logits_of(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 5.0, -5.0).astype(np.float32)


def crop_of(mask: np.ndarray, inside: float, outside: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.04, (2 * SIZE, 2 * SIZE))
    grey = np.kron(np.where(mask, inside, outside), np.ones((2, 2)))
    return np.clip(grey + noise, 0, 1).astype(np.float32)


@pytest.fixture
def bright() -> Appearance:
    known = Appearance.of(crop_of(disc(12), 0.7, 0.2), logits_of(disc(12)))
    assert known is not None
    return known


def test_the_same_object_elsewhere_looks_alike(bright):
    moved = disc(9, 30, 38)
    assert bright.likeness(crop_of(moved, 0.7, 0.2, seed=1), logits_of(moved)) > 0.8


def test_a_mask_left_on_the_background_does_not(bright):
    assert bright.likeness(crop_of(disc(0), 0.7, 0.2, seed=1), logits_of(disc(12))) < 0


def test_a_dark_object_works_as_well():
    known = Appearance.of(crop_of(disc(12), 0.2, 0.7), logits_of(disc(12)))
    assert known is not None
    assert known.likeness(crop_of(disc(12), 0.2, 0.7, seed=1), logits_of(disc(12))) > 0.8
    assert known.likeness(crop_of(disc(0), 0.2, 0.7, seed=1), logits_of(disc(12))) < 0


def test_without_contrast_grey_values_do_not_decide():
    known = Appearance.of(crop_of(disc(12), 0.5, 0.5), logits_of(disc(12)))
    assert known is not None
    assert known.likeness(crop_of(disc(0), 0.1, 0.9, seed=1), logits_of(disc(12))) == 1.0


@pytest.mark.parametrize("mask", [disc(0), np.ones((SIZE, SIZE), bool)])
def test_a_mask_without_inside_or_outside_says_nothing(mask):
    assert Appearance.of(crop_of(disc(12), 0.7, 0.2), logits_of(mask)) is None


def test_an_empty_mask_is_not_judged(bright):
    assert bright.likeness(crop_of(disc(12), 0.7, 0.2), logits_of(disc(0))) == 1.0
