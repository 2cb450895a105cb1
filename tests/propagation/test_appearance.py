"""Grey values tell whether a mask still covers the object."""

from __future__ import annotations

import numpy as np
import pytest

from stacksam.propagation.appearance import Appearance, context_maps

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


def test_maps_show_what_is_like_the_object_and_what_changed():
    crop, known_crop = crop_of(disc(12), 0.7, 0.2), crop_of(disc(8), 0.7, 0.2)
    known = Appearance.of(known_crop, logits_of(disc(8)))
    size = logits_of(disc(8)).shape[0]
    likeness, before, change = context_maps(crop, known_crop, known, size)
    inside, ring = logits_of(disc(8)) > 0, (logits_of(disc(12)) > 0) & ~(logits_of(disc(10)) > 0)
    assert likeness[inside].mean() > 0.3
    assert likeness[ring].mean() > 0.3  # it has grown, and looks like it
    assert likeness[logits_of(disc(14)) < 0].mean() < -0.3
    assert change[ring].mean() > 0.5
    assert np.abs(change[inside]).mean() < 0.5
    assert before[inside].mean() > before[ring].mean()


def test_maps_without_an_appearance_still_show_the_slice():
    crop = crop_of(disc(12), 0.7, 0.2)
    likeness, before, change = context_maps(crop, crop, None, logits_of(disc(12)).shape[0])
    assert not likeness.any()
    assert not change.any()
    assert before.std() > 0


def test_appearance_follows_slowly():
    bright_one = Appearance(np.full(24, 2.0), 2.0)
    dark_one = Appearance(np.full(24, -2.0), 2.0)
    blended = bright_one.blended(dark_one)
    assert (blended.ratios > 0).all()
    assert (blended.ratios < 2).all()
    assert bright_one.blended(None) is bright_one
