"""The generator of training images: seeded, labelled, and never the shipped samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage import measure

from stacksam.training.synthetic import (
    IMAGE_FAMILIES,
    SAMPLE_SEEDS,
    VOLUME_FAMILIES,
    generate_image,
    generate_volume,
)
from stacksam.training.synthetic_fields import Grid, smooth_noise
from stacksam.training.synthetic_shapes import (
    blob,
    connected_parts,
    draw_tubes,
    ellipsoid,
    keep_main_parts,
)


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_image_families_give_labelled_uint8_images(family: str) -> None:
    for seed in (0, 1):
        image, labels = generate_image(seed, family=family)
        assert (image.shape, image.dtype) == ((256, 256), np.uint8)
        assert (labels.shape, labels.dtype) == ((256, 256), np.uint16)
        assert labels.max() >= 1
        assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, labels.max() + 1))
        assert image.std() > 3


@pytest.mark.parametrize("family", VOLUME_FAMILIES)
def test_volume_families_give_labelled_anisotropic_volumes(family: str) -> None:
    image, labels, spacing = generate_volume(5, family=family)
    assert image.dtype == np.uint8
    assert labels.dtype == np.uint16
    assert image.shape == labels.shape
    assert 12 <= image.shape[0] <= 40
    assert 96 <= image.shape[1] == image.shape[2] <= 192
    assert spacing[0] >= spacing[1] == spacing[2] > 0
    assert labels.max() >= 1


def test_equal_seeds_give_equal_arrays() -> None:
    for first, second in zip(generate_image(11), generate_image(11), strict=True):
        np.testing.assert_array_equal(first, second)
    for first, second in zip(generate_volume(11), generate_volume(11), strict=True):
        np.testing.assert_array_equal(first, second)


def test_different_seeds_give_different_images() -> None:
    images = [generate_image(seed)[0].tobytes() for seed in range(20)]
    assert len(set(images)) == 20


def test_most_objects_begin_or_end_inside_the_volume() -> None:
    is_absent_somewhere = []
    for seed in range(12):
        _, labels, _ = generate_volume(seed)
        for label in range(1, min(int(labels.max()), 20) + 1):
            present = (labels == label).any(axis=(1, 2))
            is_absent_somewhere.append(not present.all())
    assert np.mean(is_absent_somewhere) > 0.8


def test_objects_change_their_shape_between_slices() -> None:
    _, labels, _ = generate_volume(2, family="nuclei")
    largest = int(np.bincount(labels[labels > 0]).argmax())
    areas = (labels == largest).sum(axis=(1, 2))
    assert len(np.unique(areas[areas > 0])) > 2


def test_each_object_is_in_one_piece() -> None:
    for seed in range(6):
        _, labels = generate_image(seed)
        for label in range(1, min(int(labels.max()), 15) + 1):
            assert ndi.label(labels == label)[1] == 1


@pytest.mark.parametrize("seed", sorted(SAMPLE_SEEDS))
def test_sample_seeds_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="reserved for the shipped sample data"):
        generate_image(seed)
    with pytest.raises(ValueError, match="reserved for the shipped sample data"):
        generate_volume(seed)


def test_negative_seed_and_unknown_family_are_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1"):
        generate_image(-1)
    with pytest.raises(ValueError, match="family is 'cats'"):
        generate_volume(0, family="cats")


def test_smooth_noise_is_standardised_and_smoother_for_larger_sigma() -> None:
    grid = Grid((64, 64), (1.0, 1.0))
    rough, calm = (smooth_noise(np.random.default_rng(0), grid, sigma) for sigma in (1, 6))
    assert calm.mean() == pytest.approx(0, abs=1e-4)
    assert calm.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(calm)).mean() < 0.5 * np.abs(np.diff(rough)).mean()


def test_ellipsoid_is_squeezed_to_the_limit_along_z() -> None:
    grid = Grid((40, 60, 60), (1.0, 1.0, 1.0))
    matrix = ellipsoid(np.array([15.0, 15.0, 15.0]), np.eye(3), 5.0)
    window, distance = blob(grid, np.array([20.0, 30.0, 30.0]), matrix)
    inside = np.zeros(grid.shape, bool)
    inside[window] = distance <= 1
    extents = [np.ptp(np.nonzero(inside)[axis]) for axis in range(3)]
    assert extents == [10, 30, 30]


def test_tube_depth_is_largest_on_its_axis() -> None:
    points = np.stack([np.full(20, 16.0), np.arange(6.0, 26.0)], axis=1)
    labels, depth = draw_tubes(
        Grid((32, 32), (1.0, 1.0)), points, np.full(20, 4.0), np.full(20, 7, np.int32)
    )
    assert set(np.unique(labels)) == {0, 7}
    assert depth[16, 15] == depth.max()
    assert labels[16, 15] == 7
    assert labels[21, 15] == 0


@pytest.mark.parametrize("shape", [(40, 50), (9, 20, 30)])
def test_connected_parts_are_numbered_as_scikit_image_does(shape: tuple[int, ...]) -> None:
    labels = np.random.default_rng(4).integers(0, 4, shape).astype(np.int32)
    expected = measure.label(labels, background=0, connectivity=1)
    np.testing.assert_array_equal(connected_parts(labels), expected)


def test_keep_main_parts_drops_fragments_and_renumbers() -> None:
    labels = np.zeros((6, 12), np.int32)
    labels[0:3, 0:3] = 4
    labels[5, 0] = 4  # a fragment of the same object
    labels[0:3, 5:8] = 9
    labels[5, 11] = 2  # too small
    expected = np.zeros((6, 12), np.uint16)
    expected[0:3, 0:3], expected[0:3, 5:8] = 1, 2
    np.testing.assert_array_equal(keep_main_parts(labels, 4), expected)
