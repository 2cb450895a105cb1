import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from stacksam.core.errors import WriteError
from stacksam.core.volume import Volume
from stacksam.io import read, write_labels, writers

ITK_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
TIFF_SUFFIXES = (".tif", ".ome.tif")
shapes = st.tuples(*[st.integers(1, 7)] * 3)
spacings = st.tuples(*[st.floats(0.01, 10)] * 3)


def affine_of(rotation, flip, spacing, origin):
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([1, 1, flip]) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


@st.composite
def images(draw):
    quaternion = draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
    origin = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    rotation = Rotation.from_quat(quaternion).as_matrix()
    affine = affine_of(rotation, draw(st.sampled_from([1, -1])), draw(spacings), origin)
    return Volume(np.zeros(draw(shapes), np.int16), affine=affine)


@settings(deadline=None, max_examples=40)
@given(image=images(), suffix=st.sampled_from(ITK_SUFFIXES), data=st.data())
def test_labels_come_back_in_the_same_place(image, suffix, data):
    labels = data.draw(arrays(np.uint16, image.shape))
    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder) / f"labels{suffix}", labels, like=image)
        again = read(Path(folder) / f"labels{suffix}")
    np.testing.assert_array_equal(again.data, labels)
    corners = np.array([[z, y, x, 1] for z in (0, 6) for y in (0, 6) for x in (0, 6)])
    np.testing.assert_allclose(corners @ again.affine.T, corners @ image.affine.T, atol=1e-3)
    np.testing.assert_allclose(again.spacing_zyx, image.spacing_zyx, rtol=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    suffix=st.sampled_from(TIFF_SUFFIXES), shape=shapes, spacing=spacings, micron=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_tiff_labels_come_back_with_their_spacing(suffix, shape, spacing, micron, data):
    labels = data.draw(arrays(np.uint16, shape))
    spacing = tuple(step / 1000 if micron else step for step in spacing)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{suffix}"
        write_labels(path, labels, like=Volume(np.zeros(shape), spacing))
        again = read(path)
    np.testing.assert_array_equal(again.data, labels)
    np.testing.assert_allclose(again.spacing_zyx, spacing, rtol=1e-6)


@pytest.mark.parametrize("suffix", ITK_SUFFIXES)
def test_image_and_labels_share_positions_in_simpleitk(tmp_path, suffix):
    rotation = Rotation.from_euler("xyz", [10, -20, 30], degrees=True).as_matrix()
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))
    image.SetSpacing((0.7, 0.8, 5.0))
    image.SetOrigin((-250.0, 130.5, -900.0))
    image.SetDirection(rotation.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / f"image{suffix}"))
    image = sitk.ReadImage(str(tmp_path / f"image{suffix}"))
    volume = read(tmp_path / f"image{suffix}")
    write_labels(tmp_path / f"labels{suffix}", np.ones(volume.shape, bool), like=volume)
    labels = sitk.ReadImage(str(tmp_path / f"labels{suffix}"))
    assert labels.GetSize() == image.GetSize()
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, get)(), getattr(image, get)(), atol=1e-5)
    for index in [(0, 0, 0), (5, 4, 3)]:
        np.testing.assert_allclose(
            labels.TransformIndexToPhysicalPoint(index),
            image.TransformIndexToPhysicalPoint(index),
            atol=1e-3,
        )


@pytest.mark.parametrize("suffix", [*ITK_SUFFIXES, *TIFF_SUFFIXES])
@pytest.mark.parametrize(
    ("highest", "dtype"),
    [(1, np.uint8), (255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)],
)
def test_the_smallest_type_that_holds_the_labels(tmp_path, suffix, highest, dtype):
    labels = np.zeros((3, 4, 5), np.int64)
    labels[1, 2, 3] = highest
    write_labels(tmp_path / f"a{suffix}", labels)
    again = read(tmp_path / f"a{suffix}")
    assert again.dtype == dtype
    np.testing.assert_array_equal(again.data, labels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_spacing_without_affine_gives_identity(tmp_path, suffix):
    write_labels(
        tmp_path / f"a{suffix}",
        np.ones((2, 3, 4), int),
        like=Volume(np.zeros((2, 3, 4)), (3, 2, 1)),
    )
    volume = read(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(np.abs(volume.affine), np.diag([3.0, 2, 1, 1]))


@pytest.mark.parametrize("suffix", TIFF_SUFFIXES)
def test_unknown_spacing_stays_unknown_in_tiff(tmp_path, suffix):
    write_labels(tmp_path / f"a{suffix}", np.ones((2, 3, 4), int), Volume(np.zeros((2, 3, 4))))
    assert read(tmp_path / f"a{suffix}").spacing_zyx is None


def test_tiff_labels_are_an_imagej_stack(tmp_path):
    like = Volume(np.zeros((5, 6, 4)), (2e-3, 5e-4, 5e-4))
    write_labels(tmp_path / "a.tif", np.ones((5, 6, 4), int), like)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZYX"
        assert file.imagej_metadata["unit"] == "micron"
        assert file.imagej_metadata["spacing"] == pytest.approx(2)


@pytest.mark.parametrize("like", [None, Volume(np.zeros((6, 7)))])
@pytest.mark.parametrize("highest", [1, 1000])
def test_a_png_holds_one_slice(tmp_path, like, highest):
    labels = np.zeros((6, 7), int)
    labels[2:4, 3] = highest
    write_labels(tmp_path / "a.png", labels, like)
    np.testing.assert_array_equal(read(tmp_path / "a.png").data[0], labels)


@pytest.mark.parametrize(
    "labels",
    [
        [[[0, 1], [2, 3]]],
        np.array([[[0, 1], [2, 3]]], np.float32),
        np.array([[[0, 1], [2, 3]]], ">i4"),
        np.array([[[0, 1], [2, 3]]], np.uint64),
        np.array([[0, 1], [2, 3]], np.int8),
    ],
)
def test_any_array_like_of_whole_numbers(tmp_path, labels):
    write_labels(tmp_path / "a.nrrd", labels)
    assert read(tmp_path / "a.nrrd").data.tolist() == [[[0, 1], [2, 3]]]


@pytest.mark.parametrize("module", ["dask.array", "zarr"])
def test_labels_in_chunks(tmp_path, module):
    data = np.arange(24).reshape(2, 3, 4)
    labels = pytest.importorskip(module).array(data) if module == "zarr" else None
    if labels is None:
        labels = pytest.importorskip(module).from_array(data, chunks=2)
    write_labels(tmp_path / "a.nii.gz", labels)
    np.testing.assert_array_equal(read(tmp_path / "a.nii.gz").data, data)


@pytest.mark.parametrize("suffix", [*ITK_SUFFIXES, *TIFF_SUFFIXES, ".png"])
def test_any_path_and_no_leftovers(tmp_path, suffix):
    folder = tmp_path / "Jürgens Läsionen 日本"
    folder.mkdir()
    path = folder / f"Größe 1.2 (neu){suffix}"
    write_labels(str(path), np.ones((1, 6, 7), int))
    write_labels(str(path), np.full((1, 6, 7), 2))
    assert (np.asarray(read(path).data) == 2).all()
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((2, 3, 4), -1), "labels hold -1; label ids are 0"),
        (np.full((2, 3, 4), 0.5), "dtype float64 hold values that are not whole numbers"),
        (np.full((2, 3, 4), np.nan), "not whole numbers"),
        (np.full((2, 3, 4), "a"), "not whole numbers"),
        (np.full((2, 3, 4), 2**32), "labels hold 4294967296; the largest id"),
        (np.zeros((2, 3)), r"shape \(1, 2, 3\), but the image has \(2, 3, 4\)"),
        (np.zeros((2, 4, 3)), r"shape \(2, 4, 3\), but the image has \(2, 3, 4\)"),
        (np.zeros((1, 2, 3, 4)), r"shape \(1, 2, 3, 4\); expected \(Z, Y, X\)"),
        (np.zeros((0, 3, 4)), "expected"),
        (np.zeros(4), "expected"),
    ],
)
def test_unfit_labels_are_refused(tmp_path, labels, message):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        write_labels(path, labels, like=Volume(np.zeros((2, 3, 4))))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.mhd", "a.gz"])
def test_formats_that_hold_no_labels_are_refused(tmp_path, name):
    with pytest.raises(WriteError, match=r"cannot be written to; use one of \.dcm, \.mha"):
        write_labels(tmp_path / name, np.ones((2, 3, 4), int))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.ones((2, 3, 4), int), "PNG holds one slice, not 2"), ([[70000]], "up to 65535")],
)
def test_png_limits(tmp_path, labels, message):
    with pytest.raises(WriteError, match=message):
        write_labels(tmp_path / "a.png", labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "no space"), r"a\.tif was not written: the disk is full"),
        (PermissionError(errno.EACCES, "denied"), "no permission"),
        (RuntimeError("sitk::ERROR"), r"a\.tif was not written: the disk may be full"),
    ],
)
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, error, message):
    path = tmp_path / "a.tif"
    write_labels(path, np.ones((2, 3, 4), int))
    before = path.read_bytes()

    def fail(path, stack, like):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setitem(writers._WRITERS, ".tif", fail)
    with pytest.raises(WriteError, match=message):
        write_labels(path, np.zeros((2, 3, 4), int))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_reads_back_differently_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(
        writers._WRITERS,
        ".tif",
        lambda path, stack, like: tifffile.imwrite(path, stack[:, ::-1] + 1),
    )
    with pytest.raises(WriteError, match="differ from the given ones"):
        write_labels(tmp_path / "a.tif", np.ones((2, 3, 5), int))
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
import numpy as np
from stacksam.core.errors import WriteError
from stacksam.io import write_labels
labels = np.random.default_rng(0).integers(0, 60000, (20, 100, 100))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_labels(sys.argv[1], labels)
except WriteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes with POSIX resource")
@pytest.mark.parametrize("suffix", [*ITK_SUFFIXES, *TIFF_SUFFIXES])
def test_a_full_disk_is_noticed(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert f"a{suffix} was not written" in done.stdout
    assert "disk" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name",
    [
        "totalsegmentator_ct/volume_masks/example_ct.nii.gz",
        "sct_spinal_cord/volume_masks/t2s_uncropped.nii.gz",
        "pyradiomics_breast/volume_masks/breast1.nii.gz",
    ],
)
@pytest.mark.parametrize("suffix", ITK_SUFFIXES)
def test_real_labels_keep_their_place(shared_data, tmp_path, name, suffix):
    truth = read(shared_data / "radiology" / name)
    image = read(shared_data / "radiology" / name.replace("volume_masks", "volumes"))
    write_labels(tmp_path / f"a{suffix}", truth.data, like=image)
    again = read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(again.data, truth.data)
    last = [*(n - 1 for n in truth.shape), 1]
    np.testing.assert_allclose(again.affine @ last, image.affine @ last, atol=1e-3)
