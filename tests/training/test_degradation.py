"""What is done to images: seeded, bounded, gentle on average, each change of its own kind."""

import numpy as np
import pytest
from scipy import ndimage

from stacksam.training.degradation import (
    add_photon_noise,
    add_stripes,
    compress,
    degrade,
    sample_coarsely,
)

SEEDS = range(40)
CHANGES = {
    "coarse": sample_coarsely,
    "photons": add_photon_noise,
    "stripes": add_stripes,
    "jpeg": lambda stack, rng: compress(stack, rng.uniform(0.04, 0.2)),
}


@pytest.fixture
def stack():
    noise = np.random.default_rng(0).random((2, 64, 64), np.float32)
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2))
    return (smooth - smooth.min()) / np.ptp(smooth)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_keeps_the_picture_and_follows_its_seed(stack, name):
    before = stack.copy()
    for seed in SEEDS:
        changed, again = (CHANGES[name](stack, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(changed, again)
        assert changed.shape == stack.shape
        assert changed.dtype == np.float32
        assert not np.array_equal(changed, stack)
        assert np.corrcoef(changed.ravel(), stack.ravel())[0, 1] > 0.5
        assert abs(changed.mean() - stack.mean()) < 0.1
    assert np.array_equal(stack, before)


def test_degraded_slices_stay_in_range_and_mostly_as_they_are(stack):
    untouched = 0
    for seed in SEEDS:
        result = degrade(list(stack), np.random.default_rng(seed))
        assert len(result) == 2
        assert all(r.dtype == np.float32 and r.min() >= 0 and r.max() <= 1 for r in result)
        untouched += np.array_equal(np.stack(result), stack)
    assert len(SEEDS) / 3 < untouched < len(SEEDS)


def test_coarse_sampling_takes_detail_and_keeps_a_ramp():
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (1, 64, 1))
    noise = np.random.default_rng(1).random((1, 64, 64), np.float32)
    for seed in SEEDS:
        middle = sample_coarsely(ramp, np.random.default_rng(seed))[:, 8:-8, 8:-8]
        assert np.abs(middle - ramp[:, 8:-8, 8:-8]).max() < 0.05
        assert sample_coarsely(noise, np.random.default_rng(seed)).std() < noise.std()


def test_photon_noise_grows_with_brightness():
    halves = np.full((1, 64, 64), 0.05, np.float32)
    halves[..., 32:] = 0.9
    noisy = add_photon_noise(halves, np.random.default_rng(0))
    assert noisy[..., 32:].std() > 2 * noisy[..., :32].std() > 0


def test_stripes_run_along_one_axis():
    flat = np.full((2, 64, 64), 0.5, np.float32)
    for seed in SEEDS:
        striped = add_stripes(flat, np.random.default_rng(seed))
        along = sorted([striped.std(1).max(), striped.std(2).max()])
        assert along[0] < 1e-6 < 0.01 < along[1]


def test_compression_works_on_blocks_and_a_coarser_step_loses_more(stack):
    losses = [np.abs(compress(stack, step) - stack).mean() for step in (0.001, 0.05, 0.3)]
    assert losses[0] < 0.002 < losses[0] + losses[1] < losses[2] + losses[1]
    changed = stack.copy()
    changed[0, :8, :8] = 0
    difference = compress(changed, 0.1) != compress(stack, 0.1)
    assert difference[0, :8, :8].any()
    difference[0, :8, :8] = False
    assert not difference.any()
