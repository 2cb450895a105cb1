"""Changes of contrast and shape: seeded, bounded, and alike for what belongs together."""

import numpy as np
import pytest

from models import disc, overlap
from stacksam.core.fields import LOGIT_OUTSIDE
from stacksam.training.augmentation import (
    as_neighbour_logits,
    bend,
    change_contrast,
    choose_ct_window,
    deform,
    flip_and_turn,
    mix_colours,
    recolour,
    spoil,
)

SEEDS = range(25)


@pytest.fixture
def image():
    return np.random.default_rng(0).random((64, 64), np.float32)


def test_grey_passes_and_colours_mix_within_their_range():
    grey = np.ones((3, 4), np.uint8)
    assert mix_colours([grey], np.random.default_rng(0))[0] is grey
    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    for seed in SEEDS:
        mixed, other = mix_colours([colours, colours[:, ::-1]], np.random.default_rng(seed))
        assert np.allclose(mixed, other[:, ::-1])
        assert mixed.shape == (20, 30)
        assert (mixed >= colours.min(-1) - 1e-3).all()
        assert (mixed <= colours.max(-1) + 1e-3).all()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, None])
def test_contrast_stays_in_range(image, value):
    image = image if value is None else np.full((64, 64), value, np.float32)
    before = image.copy()
    changed = [change_contrast([image], np.random.default_rng(s))[0] for s in SEEDS]
    for result in changed:
        assert result.dtype == np.float32
        assert result.min() >= 0
        assert result.max() <= 1
    assert np.array_equal(image, before)
    if value is None:
        assert sum(not np.allclose(result, image) for result in changed) > len(SEEDS) / 2


def test_same_seed_same_change(image):
    mask = disc((64, 64), (30, 34), 15)
    for change, values in (
        (change_contrast, ([image, image],)),
        (deform, (mask, image)),
        (as_neighbour_logits, (mask,)),
    ):
        first, again = (change(*values, np.random.default_rng(7)) for _ in range(2))
        assert np.array_equal(first, again)


def test_slices_of_a_stack_change_alike_apart_from_noise(image):
    apart = 0
    for seed in SEEDS:
        first, second = change_contrast([image, image], np.random.default_rng(seed))
        apart += not np.array_equal(first, second)
        assert np.abs(first - second).mean() < 0.15
        assert (np.corrcoef(first.ravel(), image.ravel())[0, 1] > 0) == (
            np.corrcoef(second.ravel(), image.ravel())[0, 1] > 0
        )
    assert 0 < apart < len(SEEDS)


def test_ct_windows_hold_the_object():
    hu = np.random.default_rng(0).normal(60, 10, 500)
    windows = [choose_ct_window(hu, (-900, 400), np.random.default_rng(s)) for s in range(200)]
    assert 60 < windows.count((-900, 400)) < 140
    assert (-160.0, 240.0) in windows
    assert all(low < np.median(hu) < high for low, high in windows)
    absent = [choose_ct_window(hu[:0], (-900, 400), np.random.default_rng(s)) for s in SEEDS]
    assert set(absent) == {(-900, 400)}


def test_images_and_masks_turn_together():
    grid = np.arange(36).reshape(6, 6)
    seen = set()
    for seed in SEEDS:
        first, second = flip_and_turn([grid, grid + 100], np.random.default_rng(seed))
        assert np.array_equal(first + 100, second)
        assert sorted(first.ravel()) == sorted(grid.ravel())
        seen.add(first.tobytes())
    assert len(seen) == 8


def test_deformed_mask_is_still_the_object():
    mask = disc((64, 64), (30, 34), 15)
    image = np.where(mask, 0.8, 0.2).astype(np.float32)
    pairs = [deform(mask, image, np.random.default_rng(s)) for s in SEEDS]
    assert all(np.array_equal(moved > 0.5, other) for other, moved in pairs)
    deformed = [other for other, _ in pairs]
    overlaps = [overlap(mask, other) for other in deformed]
    assert min(overlaps) > 0.2
    assert 0.5 < np.mean(overlaps) < 0.98
    assert all(other.dtype == bool for other in deformed)


def test_neighbour_logits_say_what_the_mask_says():
    mask = disc((64, 64), (30, 34), 15)
    for seed in SEEDS:
        logits = as_neighbour_logits(mask, np.random.default_rng(seed))
        assert logits.dtype == np.float32
        assert np.abs(logits).max() <= -LOGIT_OUTSIDE
        assert overlap(logits > 0, mask) > 0.45


def test_absent_neighbour_gives_negative_logits():
    logits = as_neighbour_logits(np.zeros((64, 64), bool), np.random.default_rng(0))
    assert (logits < 0).all()


def test_spoiled_mask_keeps_half_and_gains_or_loses_beside_its_edge():
    mask = disc((64, 64), (30, 34), 12)
    spoiled = [spoil(mask, np.random.default_rng(s)) for s in SEEDS]
    assert all(other.dtype == bool and other.shape == mask.shape for other in spoiled)
    assert all(2 * (other & mask).sum() >= mask.sum() for other in spoiled)
    assert any((other & ~mask).any() for other in spoiled)
    assert any((mask & ~other).any() for other in spoiled)
    near = disc((64, 64), (30, 34), 32)
    assert not any((other & ~near).any() for other in spoiled)


@pytest.mark.parametrize("value", [False, True])
def test_masks_without_an_edge_to_spoil(value):
    mask = np.full((16, 16), value)
    spoiled = spoil(mask, np.random.default_rng(0))
    assert spoiled.shape == mask.shape
    assert value or not spoiled.any()


def test_bending_moves_images_and_labels_alike():
    mask = disc((64, 64), (30, 34), 15)
    moved = 0
    for seed in SEEDS:
        bent, labels, dark = bend(
            [mask.astype(np.float32), 7 * mask.astype(int), np.zeros((64, 64), np.float32)],
            np.random.default_rng(seed),
        )
        assert set(np.unique(labels)) == {0, 7}
        assert overlap(bent > 0.5, labels == 7) > 0.9
        assert overlap(labels == 7, mask) > 0.5
        assert bent.dtype == np.float32
        assert not dark.any()
        moved += not np.array_equal(labels == 7, mask)
    assert moved > len(SEEDS) / 2


def test_recoloured_objects_keep_their_texture_and_their_number_on_each_slice(image):
    image = 0.4 + 0.2 * image
    one, other = disc((64, 64), (20, 20), 9), disc((64, 64), (45, 45), 12)
    labels = [one + 2 * other, 2 * one]  # the second object lies elsewhere on the next slice
    shifts = []
    for seed in SEEDS:
        first, second = recolour([image, image], labels, np.random.default_rng(seed))
        inside = disc((64, 64), (45, 45), 6)
        change = (first - image)[inside]
        assert np.ptp(change) < 0.01 or first[inside].min() == 0 or first[inside].max() == 1
        assert change.mean() == pytest.approx((second - image)[20, 20], abs=0.02)
        far = ~disc((64, 64), (20, 20), 16) & ~disc((64, 64), (45, 45), 19)
        assert np.abs((first - image)[far]).max() < 0.01
        shifts.append(change.mean())
    assert min(shifts) < -0.05
    assert max(shifts) > 0.05
