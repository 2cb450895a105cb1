import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from skimage.measure import regionprops

from stacksam.measurement.shapes import longest_distance, outline_points, sphericity, surface_area

TURN = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()


def ball(radius, spacing=(1.0, 1.0, 1.0), centre=(0.13, 0.2, -0.3)):
    half = [int(radius / step) + 3 for step in spacing]
    grid = np.meshgrid(
        *[np.arange(-n, n + 1) * s + c for n, s, c in zip(half, spacing, centre, strict=True)],
        indexing="ij",
    )
    return sum(axis**2 for axis in grid) <= radius**2


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("turn", [np.eye(3), TURN], ids=["upright", "oblique"])
@pytest.mark.parametrize("radius", [8, 15])
def test_surface_of_a_ball(radius, spacing, turn):
    area = surface_area(ball(radius, spacing), turn @ np.diag(spacing))
    assert area == pytest.approx(4 * np.pi * radius**2, rel=0.03)


def test_surface_of_a_sheared_ball():
    """A ball seen by a tilted gantry: voxels that are no boxes."""
    steps = np.array([[2.0, 0, 0], [0.6, 1.0, 0], [0, 0, 1.0]])
    index = np.stack(np.mgrid[-12:13, -20:21, -20:21], axis=-1)
    mask = np.linalg.norm(index @ steps.T, axis=-1) <= 12
    assert surface_area(mask, steps) == pytest.approx(4 * np.pi * 12**2, rel=0.03)


def itk_shape(mask, spacing):
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    expected = sitk.LabelShapeStatisticsImageFilter()
    expected.ComputePerimeterOn()
    expected.Execute(image)
    return expected


@pytest.mark.parametrize("step", [1.0, 0.3])
@pytest.mark.parametrize("shape", ["ball", "box", "noise"])
def test_surface_and_roundness_are_those_of_simpleitk(shape, step):
    rng = np.random.default_rng(0)
    mask = {
        "ball": ball(6),
        "box": np.pad(np.ones((4, 7, 9), bool), 2),
        "noise": np.pad(rng.random((9, 10, 11)) < 0.4, 1),
    }[shape]
    expected = itk_shape(mask, (step,) * 3)
    area = surface_area(mask, step * np.eye(3))
    assert area == pytest.approx(expected.GetPerimeter(1), rel=1e-3)
    assert sphericity(mask.sum() * step**3, area) == pytest.approx(
        expected.GetRoundness(1), rel=1e-3
    )


@pytest.mark.parametrize("spacing", [(3.0, 0.8, 0.8), (5.0, 0.7, 0.7), (2.0, 1.0, 1.0)])
def test_surface_in_thick_slices_is_simpleitks_within_three_per_cent(spacing):
    mask = ball(15, spacing)
    other = itk_shape(mask, spacing).GetPerimeter(1)
    assert surface_area(mask, np.diag(spacing)) == pytest.approx(other, rel=0.03)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (3.0, 0.8, 0.8)])
def test_flat_faces_along_the_grid_come_out_a_little_too_small(spacing):
    sides = np.array([12, 25, 35]) * spacing
    truth = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[0] * sides[2])
    area = surface_area(np.ones((12, 25, 35), bool), np.diag(spacing))
    assert 0.8 * truth < area <= truth


def test_sphericity_of_balls_and_sticks():
    mask = ball(10)
    assert sphericity(mask.sum(), surface_area(mask, np.eye(3))) == pytest.approx(1, abs=0.02)
    stick = np.pad(np.ones((40, 2, 2), bool), 1)
    assert sphericity(stick.sum(), surface_area(stick, np.eye(3))) < 0.65


def test_a_box_is_as_long_as_its_diagonal_between_borders():
    mask = np.zeros((6, 20, 30), bool)
    mask[2:4, 3:15, 5:25] = True
    length = longest_distance(outline_points(mask))
    assert np.linalg.norm([1, 11, 20]) <= length <= np.linalg.norm([2, 12, 20])


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_longest_diameter_is_scikit_images(ndim):
    rng = np.random.default_rng(1)
    index = np.stack(np.meshgrid(*[np.arange(-12, 13)] * ndim, indexing="ij"), axis=-1)
    for _ in range(5):
        matrix = rng.normal(size=(ndim, ndim)) + 2 * np.eye(ndim)
        mask = np.linalg.norm(index @ matrix, axis=-1) < 12
        (region,) = regionprops(mask.astype(int))
        found = longest_distance(outline_points(mask))
        assert found == pytest.approx(region.feret_diameter_max, abs=1)


def test_the_hull_finds_what_all_pairs_find():
    points = np.random.default_rng(0).normal(size=(300, 3))
    assert longest_distance(points) == pytest.approx(pdist(points).max())


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4), (1, 3, 3)])
def test_flat_and_single_voxels_have_a_length(shape):
    length = longest_distance(outline_points(np.ones(shape, bool)))
    assert max(shape) <= length <= np.linalg.norm(shape)
