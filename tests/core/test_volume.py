import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume


def stack(shape=(5, 6, 7), dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


class Recorder:
    """An array that notes how many voxels were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, key):
        part = self.array[key]
        self.read += part.size
        return part


class ZerosOnDemand:
    """A huge array of zeros that only exists where it is read."""

    def __init__(self, shape):
        self.shape, self.dtype, self.read = shape, np.dtype(np.uint16), 0

    def __getitem__(self, key):
        part = np.zeros(
            [
                len(range(*k.indices(n))) if isinstance(k, slice) else 1
                for k, n in zip(key, self.shape, strict=True)
            ],
            self.dtype,
        )
        self.read += part.size
        drop = tuple(i for i, k in enumerate(key) if not isinstance(k, slice))
        return part.squeeze(drop)


@pytest.mark.parametrize(
    ("axis", "plane", "count", "in_plane", "between"),
    [
        (0, (6, 7), 5, (0.6, 0.7), 5.0),
        (1, (5, 7), 6, (5.0, 0.7), 0.6),
        (2, (5, 6), 7, (5.0, 0.6), 0.7),
    ],
)
def test_planes_keep_the_remaining_axes_in_order(axis, plane, count, in_plane, between):
    data = stack()
    volume = Volume(data, spacing_zyx=(5.0, 0.6, 0.7))
    assert volume.plane_shape(axis) == plane
    assert volume.n_slices(axis) == count
    assert volume.plane_spacing(axis) == in_plane
    assert volume.slice_spacing(axis) == between
    for index in range(count):
        np.testing.assert_array_equal(volume.read_slice(index, axis), data.take(index, axis))


def test_unknown_spacing_stays_unknown():
    volume = Volume(stack())
    assert volume.spacing_zyx is None
    assert volume.affine is None
    assert volume.plane_spacing(0) is None
    assert volume.slice_spacing(0) is None


def test_a_plane_becomes_one_slice():
    volume = Volume(stack((6, 7)))
    assert volume.shape == (1, 6, 7)
    assert volume.data.shape == (1, 6, 7)
    assert volume.read_slice(0, axis=1).shape == (1, 7)


def test_colour_keeps_its_axis_in_slices_and_samples():
    data = stack((4, 5, 6, 3), np.uint8)
    volume = Volume(data, rgb=True)
    assert volume.shape == (4, 5, 6)
    np.testing.assert_array_equal(volume.read_slice(2, axis=2), data[:, :, 2])
    assert volume.sample_values(50).shape == (50, 3)
    assert Volume(data[0], rgb=True).shape == (1, 5, 6)


@pytest.mark.parametrize(
    ("stored", "computed"),
    [
        (np.bool_, np.bool_),
        (np.uint8, np.uint8),
        (np.int64, np.int64),
        (np.uint64, np.uint64),
        (np.float32, np.float32),
        (np.float64, np.float32),
        (np.longdouble, np.float32),
        (">i2", np.int16),
        (">f8", np.float32),
    ],
)
def test_slices_have_the_stored_type_but_floats_are_computed_in_single(stored, computed):
    volume = Volume(stack().astype(stored))
    image = volume.read_slice(1)
    assert image.dtype == computed
    assert image.dtype.isnative
    assert image.flags.c_contiguous
    assert volume.sample_values(10).dtype == computed
    np.testing.assert_array_equal(image, stack()[1].astype(stored).astype(computed))


def test_nan_and_infinity_are_data():
    data = np.array([[np.nan, np.inf], [1e300, 2.0]])
    image = Volume(data).read_slice(0)
    assert np.isnan(image[0, 0])
    assert np.isinf(image[0, 1])
    assert np.isinf(image[1, 0])
    assert len(Volume(data).fingerprint) == 32


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[:, :, ::-2]])
def test_flipped_views_read_as_they_look(view):
    data = stack()[view]
    np.testing.assert_array_equal(Volume(data).read_slice(1), data[1])
    assert min(Volume(data).read_slice(1).strides) > 0


def test_lists_become_arrays():
    assert Volume([[[1, 2], [3, 4]]]).read_slice(0).tolist() == [[1, 2], [3, 4]]


def test_spacing_comes_from_the_affine():
    affine = np.diag([3.0, 0.5, 0.5, 1.0])
    affine[:3, 3] = (-10, 20, 30)
    volume = Volume(stack(), affine=affine)
    assert volume.spacing_zyx == (3.0, 0.5, 0.5)
    affine[0, 0] = 99  # the volume has its own
    volume.affine[0, 0] = 99
    assert volume.affine[0, 0] == 3.0


@settings(deadline=None, max_examples=25)
@given(
    data=arrays(np.int16, st.tuples(*[st.integers(1, 9)] * 3)),
    chunks=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_numpy_dask_and_zarr_are_the_same(data, chunks):
    dask_array = pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    volumes = [
        Volume(data, (3, 1, 1)),
        Volume(dask_array.from_array(data, chunks=chunks), (3, 1, 1)),
        Volume(zarr.array(data, chunks=chunks), (3, 1, 1)),
        Volume(data.astype(">i2"), (3, 1, 1)),
    ]
    assert len({v.fingerprint for v in volumes}) == 1
    for volume in volumes[1:]:
        np.testing.assert_array_equal(volume.sample_values(20), volumes[0].sample_values(20))
        for axis in range(3):
            last = volume.n_slices(axis) - 1
            np.testing.assert_array_equal(volume.read_slice(last, axis), data.take(last, axis))


def test_a_lazy_plane_is_one_slice_and_stays_on_disk():
    zarr = pytest.importorskip("zarr")
    data = stack((6, 7))
    volume = Volume(zarr.array(data, chunks=(2, 3)))
    assert not isinstance(volume.data, np.ndarray)
    np.testing.assert_array_equal(np.asarray(volume.data), data[None])
    np.testing.assert_array_equal(volume.data[0], data)
    np.testing.assert_array_equal(volume.data[:, 2:4, 1], data[None][:, 2:4, 1])
    np.testing.assert_array_equal(volume.data[..., 1], data[None][..., 1])
    assert volume.fingerprint == Volume(data).fingerprint


def test_only_the_slice_is_read():
    recorder = Recorder(stack((50, 20, 30)))
    Volume(recorder).read_slice(7)
    assert recorder.read == 20 * 30


def test_samples_and_fingerprint_of_a_huge_volume_read_little():
    huge = ZerosOnDemand((4000, 60_000, 60_000))
    volume = Volume(huge)
    assert volume.sample_values(1000).shape == (1000,)
    assert huge.read < 2**27
    huge.read = 0
    assert volume.fingerprint == Volume(ZerosOnDemand(huge.shape)).fingerprint
    assert huge.read < 2**25


def test_a_sample_is_seeded_and_spread_over_the_stack():
    data = np.repeat(np.arange(200, dtype=np.int16), 64).reshape(200, 8, 8)
    volume = Volume(data)
    values = volume.sample_values(500, seed=1)
    assert len(values) == 500
    np.testing.assert_array_equal(values, volume.sample_values(500, seed=1))
    assert not np.array_equal(values, volume.sample_values(500, seed=2))
    assert values.min() < 20
    assert values.max() > 180


def test_a_small_volume_is_sampled_completely():
    data = stack()
    np.testing.assert_array_equal(np.sort(Volume(data).sample_values()), np.sort(data.ravel()))


@pytest.mark.parametrize(
    "other",
    [
        Volume(stack(seed=1), (1, 1, 1)),
        Volume(stack().reshape(6, 5, 7), (1, 1, 1)),
        Volume(stack().astype(np.int32), (1, 1, 1)),
        Volume(stack(), (2, 1, 1)),
        Volume(stack()),
    ],
    ids=["values", "shape", "dtype", "spacing", "no spacing"],
)
def test_the_fingerprint_tells_volumes_apart(other):
    assert other.fingerprint != Volume(stack(), (1, 1, 1)).fingerprint


def test_one_changed_voxel_of_a_small_volume_changes_the_fingerprint():
    data = stack().astype(np.float64)
    before = Volume(data).fingerprint
    changed = data.copy()
    changed[3, 2, 1] += 1e-12
    assert Volume(changed).fingerprint != before
    assert Volume(data, name="other name").fingerprint == before


@pytest.mark.parametrize(
    ("data", "rgb", "error", "message"),
    [
        (np.zeros(5), False, ValueError, r"shape \(5,\); expected \(Z, Y, X\) or \(Y, X\)"),
        (np.zeros((2, 3, 4, 5)), False, ValueError, "choose one time point and one channel"),
        (np.zeros((4, 5)), True, ValueError, r"expected \(Z, Y, X, 3\)"),
        (np.zeros((4, 5, 4)), True, ValueError, "drop the alpha channel"),
        (np.zeros((0, 4, 5)), False, ValueError, "at least one voxel"),
        (np.zeros((4, 0)), False, ValueError, "at least one voxel"),
        (np.zeros((2, 3), complex), False, TypeError, "dtype complex128; a volume holds"),
        (np.full((2, 3), "a"), False, TypeError, "booleans, integers or real numbers"),
        (np.full((2, 3), None), False, TypeError, "dtype object"),
        (None, False, TypeError, "dtype object"),
    ],
)
def test_unfit_arrays_are_refused(data, rgb, error, message):
    with pytest.raises(error, match=message):
        Volume(data, rgb=rgb)


@pytest.mark.parametrize(
    "spacing", [(1, 1), 1.0, (0, 1, 1), (-1, 1, 1), (np.nan, 1, 1), (np.inf, 1, 1)]
)
def test_unfit_spacings_are_refused(spacing):
    with pytest.raises(ValueError, match="expected three finite numbers above 0"):
        Volume(stack(), spacing_zyx=spacing)


def test_words_are_no_spacing():
    with pytest.raises(TypeError, match="spacing_zyx is 'thin'; expected numbers"):
        Volume(stack(), spacing_zyx="thin")


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), r"shape \(3, 3\); expected \(4, 4\)"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 1, 0, 1]), "cannot be inverted"),
        (
            np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            "cannot be inverted",
        ),
        (np.ones((4, 4)), "last row"),
    ],
)
def test_unfit_affines_are_refused(affine, message):
    with pytest.raises(ValueError, match=message):
        Volume(stack(), affine=affine)


def test_spacing_and_affine_have_to_agree():
    Volume(stack(), (3.0, 0.5, 0.5), np.diag([3.0, 0.5, -0.5, 1]))
    with pytest.raises(ValueError, match="give only the affine"):
        Volume(stack(), (2.0, 0.5, 0.5), np.diag([3.0, 0.5, 0.5, 1]))


@pytest.mark.parametrize("index", [-1, 5, 10**9])
def test_a_slice_out_of_range_names_the_range(index):
    with pytest.raises(ValueError, match=rf"index is {index}; axis 0 \(z\) has slices 0 to 4"):
        Volume(stack()).read_slice(index)


def test_a_slice_index_is_an_integer():
    assert Volume(stack()).read_slice(np.int64(2)).shape == (6, 7)
    with pytest.raises(TypeError, match=r"index is 1\.5; expected an integer"):
        Volume(stack()).read_slice(1.5)


@pytest.mark.parametrize("axis", [-1, 3, "z"])
def test_an_unknown_axis_is_refused(axis):
    volume = Volume(stack())
    for call in (volume.n_slices, volume.plane_shape, volume.plane_spacing, volume.slice_spacing):
        with pytest.raises(ValueError, match=r"expected 0 \(z\), 1 \(y\) or 2 \(x\)"):
            call(axis)
    with pytest.raises(ValueError, match="expected 0"):
        volume.read_slice(0, axis=axis)


def test_at_least_one_value_is_drawn():
    with pytest.raises(ValueError, match="n is 0; at least one"):
        Volume(stack()).sample_values(0)


# places in space


def test_positions_follow_the_affine():
    affine = np.array([[2.0, 0, 0, 5], [0, 0, 0.5, 6], [0, -0.5, 0, 7], [0, 0, 0, 1]])
    volume = Volume(np.zeros((3, 4, 5)), affine=affine)
    np.testing.assert_allclose(
        volume.positions_mm([[1, 2, 3], [0, 0, 0]]), [[7, 7.5, 6], [5, 6, 7]]
    )
    np.testing.assert_allclose(volume.slice_voxel_volumes(), 0.5)


def uneven(positions, affine=None):
    scan = ScanInfo(slice_positions=tuple((z, 0.0, 0.0) for z in positions))
    return Volume(
        np.zeros((len(positions), 4, 5)), None, np.eye(4) if affine is None else affine, scan=scan
    )


def test_slices_of_changing_distance_keep_their_positions():
    volume = uneven([0, 2, 8])
    heights = volume.positions_mm([[0, 0, 0], [1, 1, 1], [1.5, 0, 0], [2, 0, 0], [3, 0, 0]])[:, 0]
    np.testing.assert_allclose(heights, [0, 2, 5, 8, 14])
    np.testing.assert_allclose(volume.slice_voxel_volumes(), [2, 4, 6])


def test_slice_positions_have_to_fit():
    with pytest.raises(
        ValueError, match=r"slice_positions have shape \(2, 3\); expected .* \(3, 3\)"
    ):
        Volume(np.zeros((3, 4, 5)), None, np.eye(4), scan=uneven([0, 1]).scan)
    with pytest.raises(ValueError, match="without an affine"):
        Volume(np.zeros((2, 4, 5)), scan=uneven([0, 1]).scan)


def test_without_spacing_there_is_no_position():
    volume = Volume(np.zeros((3, 4, 5)))
    assert volume.slice_voxel_volumes() is None
    with pytest.raises(ValueError, match="no spacing, so its voxels have no position in mm"):
        volume.positions_mm([0, 0, 0])
