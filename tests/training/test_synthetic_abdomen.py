"""Generated abdomens: another patient each time, in Hounsfield units, and never the sample."""

import numpy as np
import pytest

from stacksam.training.synthetic import SAMPLE_SEEDS
from stacksam.training.synthetic_abdomen import LABELS, SHAPE, Patient, draw_abdomen


@pytest.fixture(scope="module")
def patient():
    return draw_abdomen(3, is_varied=True)


def test_patient_is_a_ct_with_organs(patient):
    hu, organs = patient
    assert hu.shape == organs.shape == SHAPE
    assert hu.dtype == np.int16
    assert organs.dtype == np.uint8
    liver, aorta = (hu[organs == LABELS[name]] for name in ("liver", "aorta"))
    assert liver.size > 20_000
    assert 20 < np.median(liver) < 200
    assert aorta.size > 500
    assert np.median(hu[organs == 0]) < -80


def test_patients_differ_in_size_place_and_contrast():
    bodies = [Patient(np.random.default_rng(seed)) for seed in range(30)]
    assert np.std([b.stretch_xyz for b in bodies], axis=0).min() > 0.05
    assert np.ptp([b.turn for b in bodies]) > 0.2
    assert {b.is_mirrored for b in bodies} == {True, False}
    assert np.std([b.hu_offsets["liver"] for b in bodies]) > 8
    assert max(b.noise for b in bodies) > 4 * min(b.noise for b in bodies)


@pytest.mark.parametrize("seed", sorted(SAMPLE_SEEDS))
def test_the_samples_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="reserved for the shipped sample data"):
        draw_abdomen(seed, is_varied=True)
