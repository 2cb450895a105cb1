"""Image -> labels -> file -> labels: identical voxels in identical places, whatever the grid."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from dicom_support import write_slice
from stacksam.core.volume import Volume
from stacksam.io import read, read_labels, write_labels

WHOLE = (".nii", ".nii.gz", ".nrrd", ".mha", ".zarr", ".ome.zarr")  # hold direction and origin
SPACING_ONLY = (".tif", ".ome.tif")
shapes = st.tuples(*[st.integers(1, 6)] * 3)


@st.composite
def affines(draw, shear=True):
    """Any orientation and handedness, and a tilted gantry: steps along z oblique to the slices."""
    quaternion = draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
    directions = Rotation.from_quat(quaternion).as_matrix()
    directions = directions @ np.diag(draw(st.tuples(*[st.sampled_from([1, -1])] * 3)))
    if shear:
        tilt = np.deg2rad(draw(st.floats(-30, 30)))
        directions[:, 0] = np.cos(tilt) * directions[:, 0] + np.sin(tilt) * directions[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = directions * draw(st.tuples(*[st.floats(0.05, 8)] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-600, 600)] * 3))
    return affine


def places(volume):
    ends = [(0, n - 1) for n in volume.shape]
    return volume.positions_mm([[z, y, x] for z in ends[0] for y in ends[1] for x in ends[2]])


@settings(deadline=None, max_examples=60)
@given(affine=affines(), shape=shapes, suffix=st.sampled_from(WHOLE), data=st.data())
def test_labels_stay_in_their_place(affine, shape, suffix, data):
    image = Volume(np.zeros(shape, np.int16), affine=affine)
    labels = data.draw(arrays(np.uint16, shape))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{suffix}"
        write_labels(path, labels, like=image)
        again = read_labels(path, like=image)
        np.testing.assert_array_equal(np.asarray(again.data), labels)
    np.testing.assert_allclose(places(again), places(image), atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(affine=affines(shear=False), shape=shapes, suffix=st.sampled_from(SPACING_ONLY))
def test_tiff_keeps_voxels_and_spacing(affine, shape, suffix):
    image = Volume(np.zeros(shape, np.int16), affine=affine)
    labels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder) / f"labels{suffix}", labels, like=image)
        again = read(Path(folder) / f"labels{suffix}")
    np.testing.assert_array_equal(again.data, labels)
    np.testing.assert_allclose(again.spacing_zyx, image.spacing_zyx, rtol=1e-4)


@settings(deadline=None, max_examples=25)
@given(affine=affines(shear=False), shape=shapes, suffix=st.sampled_from((".nii.gz", ".nrrd")))
def test_simpleitk_puts_our_labels_into_the_same_place(affine, shape, suffix):
    image = Volume(np.zeros(shape, np.int16), affine=affine)
    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder) / f"labels{suffix}", np.ones(shape, int), like=image)
        other = sitk.ReadImage(str(Path(folder) / f"labels{suffix}"))
    last = [n - 1 for n in shape]
    found = other.TransformIndexToPhysicalPoint(last[::-1])[::-1]
    np.testing.assert_allclose(found, image.positions_mm(last), atol=1e-3)


@settings(deadline=None, max_examples=20)
@given(
    affine=affines(), gaps=st.lists(st.floats(0.2, 6), min_size=1, max_size=4), seed=st.integers(0)
)
def test_dicom_slices_and_segmentations_stay_in_their_place(affine, gaps, seed):
    """Oblique, tilted and unevenly spaced series: image -> labels -> DICOM SEG -> labels."""
    pytest.importorskip("highdicom")
    rng = np.random.default_rng(seed % 2**32)
    heights = np.concatenate([[0.0], np.cumsum(gaps)])
    pixels = rng.integers(-50, 50, (len(heights), 4, 6)).astype(np.int16)
    rows, columns = affine[:3, 1], affine[:3, 2]
    along = affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    normal = np.cross(columns[::-1], rows[::-1])
    ascends = along[::-1] @ normal > 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # uneven distances
        for number, height in enumerate(heights):
            write_slice(
                Path(folder) / f"{number}.dcm",
                pixels[number],
                position=(affine[:3, 3] + height * along)[::-1],
                orientation=[
                    *(columns / np.linalg.norm(columns))[::-1],
                    *(rows / np.linalg.norm(rows))[::-1],
                ],
                spacing=(np.linalg.norm(rows), np.linalg.norm(columns)),
                t0020_0052="1.2.7",
            )
        volume = read(folder)
        np.testing.assert_array_equal(volume.data, pixels if ascends else pixels[::-1])
        ordered = heights if ascends else heights[::-1]
        expected = affine[:3, 3] + ordered[:, np.newaxis] * along
        found = volume.positions_mm([[z, 0, 0] for z in range(len(heights))])
        np.testing.assert_allclose(found, expected, atol=1e-3)
        labels = rng.integers(0, 3, volume.shape)
        labels[0, 0, :2] = 2, 5
        path = Path(folder) / "labels.dcm"
        write_labels(path, labels, like=volume)
        alone, again = read(path), read_labels(path, like=volume)
    np.testing.assert_array_equal(again.data, labels)
    np.testing.assert_array_equal(alone.data, labels)
    np.testing.assert_allclose(places(again), places(volume), atol=1e-3)
    np.testing.assert_allclose(places(alone), places(volume), atol=1e-3)
