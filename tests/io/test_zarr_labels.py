import errno
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from stacksam.core.errors import WriteError
from stacksam.core.volume import Volume
from stacksam.io import read, write_labels, zarr_labels

SUFFIXES = (".ome.zarr", ".zarr")
TURN = Rotation.from_euler("xyz", [10, -20, 30], degrees=True).as_matrix()


def volume_of(shape=(4, 5, 6), spacing=(3.0, 0.5, 0.25), origin=(0, 0, 0), turn=None):
    affine = np.diag([*spacing, 1.0])
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = origin
    return Volume(np.zeros(shape, np.int16), affine=affine)


def labels_of(shape=(4, 5, 6), highest=3, seed=0):
    labels = np.random.default_rng(seed).integers(0, highest, shape)
    labels.flat[-1] = highest
    return labels


def image_zarr(path, shape, letters, *, zarr_format=2, unit=None, scale=None):
    """Write an OME-Zarr image by hand."""
    kinds = {"c": "channel", "t": "time"}
    axes = [{"name": a, "type": kinds.get(a, "space")} for a in letters]
    if unit:
        axes = [a | ({"unit": unit} if a["type"] == "space" else {}) for a in axes]
    group = zarr.create_group(path, zarr_format=zarr_format)
    group.create_array("0", shape=shape, dtype="u2", chunks=shape, fill_value=0)
    transforms = [{"type": "scale", "scale": scale or [1.0] * len(letters)}]
    dataset = {"path": "0", "coordinateTransformations": transforms}
    attributes = {"multiscales": [{"axes": axes, "datasets": [dataset], "version": "0.4"}]}
    group.attrs.update({"ome": attributes} if zarr_format == 3 else attributes)
    return path


# what comes back


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    spacing=st.tuples(*[st.floats(0.001, 10)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    quaternion=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    suffix=st.sampled_from(SUFFIXES),
    data=st.data(),
)
def test_labels_come_back_in_the_same_place(shape, spacing, origin, quaternion, suffix, data):
    labels = data.draw(arrays(np.uint16, shape))
    like = volume_of(shape, spacing, origin, Rotation.from_quat(quaternion).as_matrix())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{suffix}"
        write_labels(path, labels, like=like)
        again = read(path)
        np.testing.assert_array_equal(np.asarray(again.data), labels)
        np.testing.assert_allclose(again.affine, like.affine, atol=1e-9)
        np.testing.assert_allclose(again.spacing_zyx, spacing)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("like", [None, Volume(np.zeros((4, 5, 6)))], ids=["alone", "no spacing"])
def test_unknown_spacing_stays_unknown(tmp_path, suffix, like):
    write_labels(tmp_path / f"a{suffix}", labels_of(), like)
    assert read(tmp_path / f"a{suffix}").spacing_zyx is None


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("highest", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (65536, np.uint32)]
)
def test_the_smallest_type_that_holds_the_labels(tmp_path, suffix, highest, dtype):
    write_labels(tmp_path / f"a{suffix}", labels_of(highest=highest))
    again = read(tmp_path / f"a{suffix}")
    assert again.dtype == dtype
    np.testing.assert_array_equal(np.asarray(again.data), labels_of(highest=highest))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_slice_and_any_path(tmp_path, suffix):
    folder = tmp_path / "Jürgens Läsionen 日本"
    folder.mkdir()
    path = folder / f"Größe 1.2 (neu){suffix}"
    write_labels(str(path), np.ones((6, 7), bool))
    write_labels(str(path), np.full((1, 6, 7), 2))
    assert np.asarray(read(path).data).tolist() == np.full((1, 6, 7), 2).tolist()
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_lazy_array_is_read_a_few_slices_at_a_time(tmp_path, suffix):
    class Lazy:
        shape, ndim, dtype = (50, 20, 30), 3, np.dtype(np.uint16)
        longest = 0

        def __getitem__(self, key):
            part = np.arange(50)[key]
            Lazy.longest = max(Lazy.longest, len(part))
            return np.broadcast_to(part[:, None, None], (len(part), 20, 30)).astype(np.uint16)

    write_labels(tmp_path / f"a{suffix}", Lazy())
    assert Lazy.longest <= 16
    expected = np.arange(50)[:, None, None]
    assert (np.asarray(read(tmp_path / f"a{suffix}").data) == expected).all()


def test_levels_take_every_second_row_and_column(tmp_path):
    labels = labels_of((3, 1030, 601))
    like = volume_of(labels.shape, origin=(5, 6, 7))
    write_labels(tmp_path / "a.ome.zarr", labels, like)
    for level, step in enumerate([1, 2, 4]):
        volume = read(tmp_path / "a.ome.zarr", series=level)
        np.testing.assert_array_equal(np.asarray(volume.data), labels[:, ::step, ::step])
        np.testing.assert_allclose(volume.affine, like.affine @ np.diag([1, step, step, 1]))


# other programs


def ome_metadata(path):
    return json.loads((path / ".zattrs").read_text(encoding="utf-8"))["multiscales"][0]


@pytest.mark.parametrize(
    ("spacing", "unit", "scale"),
    [
        ((3.0, 0.5, 0.25), "millimeter", [3.0, 0.5, 0.25]),
        ((2e-3, 5e-4, 2.5e-4), "micrometer", [2.0, 0.5, 0.25]),
    ],
)
def test_metadata_says_scale_and_place(tmp_path, spacing, unit, scale):
    write_labels(tmp_path / "a.ome.zarr", labels_of(), volume_of(spacing=spacing, origin=spacing))
    for folder in ("", "labels/labels"):
        multiscale = ome_metadata(tmp_path / "a.ome.zarr" / folder)
        assert multiscale["version"] == "0.4"
        assert [a["unit"] for a in multiscale["axes"]] == [unit] * 3
        found = multiscale["datasets"][0]["coordinateTransformations"]
        assert [t["type"] for t in found] == ["scale", "translation"]
        np.testing.assert_allclose(found[0]["scale"], scale)
        np.testing.assert_allclose(found[1]["translation"], scale)


def test_a_turned_image_gets_no_translation(tmp_path):
    write_labels(tmp_path / "a.ome.zarr", labels_of(), volume_of(origin=(5, 6, 7), turn=TURN))
    (transform,) = ome_metadata(tmp_path / "a.ome.zarr")["datasets"][0]["coordinateTransformations"]
    np.testing.assert_allclose(transform["scale"], (3.0, 0.5, 0.25))


def test_a_scale_changed_by_another_program_wins(tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_labels(path, labels_of(), volume_of(turn=TURN))
    text = (path / ".zattrs").read_text(encoding="utf-8")
    content = json.loads(text)
    content["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][0] = 6.0
    (path / ".zattrs").write_text(json.dumps(content), encoding="utf-8")
    assert read(path).spacing_zyx == pytest.approx((6.0, 0.5, 0.25))


@pytest.mark.filterwarnings("ignore")
def test_ome_zarr_py_opens_them_with_the_right_scale(tmp_path):
    ome_reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    logging.getLogger("ome_zarr").setLevel(logging.ERROR)
    path = tmp_path / "a.ome.zarr"
    write_labels(path, labels_of(), volume_of(origin=(5, 6, 7)))
    nodes = list(ome_reader.Reader(parse_url(str(path)))())
    kinds = [{type(spec).__name__ for spec in node.specs} for node in nodes]
    node = nodes[kinds.index({"Label", "Multiscales"})]
    np.testing.assert_array_equal(np.asarray(node.data[0]), labels_of())
    scale, translation = node.metadata["coordinateTransformations"][0]
    assert scale["scale"] == [3.0, 0.5, 0.25]
    assert translation["translation"] == [5.0, 6.0, 7.0]
    assert [axis["unit"] for axis in node.metadata["axes"]] == ["millimeter"] * 3


@pytest.mark.filterwarnings("ignore")
def test_napari_ome_zarr_opens_them_with_the_right_scale(tmp_path):
    reader = pytest.importorskip("napari_ome_zarr._reader")
    (tmp_path / "home" / "data").mkdir(parents=True)
    path = tmp_path / "home" / "data" / "a.ome.zarr"
    write_labels(path, labels_of(), volume_of())
    layers = reader.napari_get_reader(str(path))(str(path))
    ((data, metadata, _),) = (layer for layer in layers if layer[2] == "labels")
    np.testing.assert_array_equal(np.asarray(data[0]), labels_of())
    assert metadata["scale"] == [3.0, 0.5, 0.25]
    assert metadata["units"] == ("millimeter",) * 3
    # With a label image at the top it would create a Zarr group two folders up.
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["data"]


# labels inside of an existing image


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_are_added_to_an_image(tmp_path, zarr_format):
    scale = [1.0, 3.0, 0.5, 0.25]
    path = image_zarr(
        tmp_path / "i.ome.zarr", (2, 4, 5, 6), "czyx",
        zarr_format=zarr_format, unit="micrometer", scale=scale,
    )  # fmt: skip
    image = read(path, channel=0)
    write_labels(path / "labels" / "cells", labels_of(), like=image)
    write_labels(path / "labels" / "nuclei", labels_of(seed=1), like=image)
    write_labels(path / "labels" / "cells", labels_of(seed=2), like=image)
    again = read(path / "labels" / "cells")
    np.testing.assert_array_equal(np.asarray(again.data), labels_of(seed=2))
    assert again.spacing_zyx == pytest.approx(image.spacing_zyx)
    listed = zarr.open_group(path / "labels", mode="r").attrs.asdict()
    listed = listed["ome"] if zarr_format == 3 else listed
    assert listed["labels"] == ["cells", "nuclei"]
    assert read(path, channel=1).shape == (4, 5, 6)
    names = {p.name for p in (path / "labels").iterdir() if p.is_dir()}
    assert names == {"cells", "nuclei"}


@pytest.mark.parametrize(
    ("letters", "shape", "names", "expected"),
    [
        ("zyx", (4, 5, 6), "zyx", [3.0, 0.5, 0.25]),
        ("tczyx", (4, 2, 1, 5, 6), "tyx", [30.0, 0.5, 0.25]),
        ("yx", (5, 6), "zyx", [1.0, 0.5, 0.25]),
    ],
)
def test_labels_take_the_grid_of_their_image(tmp_path, letters, shape, names, expected):
    scales = {"t": 30.0, "c": 1.0, "z": 3.0, "y": 0.5, "x": 0.25}
    path = image_zarr(tmp_path / "i.zarr", shape, letters, scale=[scales[a] for a in letters])
    labels = labels_of((1 if letters == "yx" else 4, 5, 6))
    write_labels(path / "labels" / "cells", labels)
    multiscale = ome_metadata(path / "labels" / "cells")
    assert "".join(axis["name"] for axis in multiscale["axes"]) == names
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == expected


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_learn_of_new_labels(tmp_path, zarr_format):
    path = image_zarr(tmp_path / "i.zarr", (4, 5, 6), "zyx", zarr_format=zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    write_labels(path / "labels" / "cells", labels_of())
    group = zarr.open_consolidated(path)
    np.testing.assert_array_equal(group["labels/cells/0"][:], labels_of())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_napari_ome_zarr_shows_added_labels_with_their_image(tmp_path, zarr_format):
    reader = pytest.importorskip("napari_ome_zarr._reader")
    path = image_zarr(
        tmp_path / "i.zarr", (4, 5, 6), "zyx", zarr_format=zarr_format, scale=[3.0, 0.5, 0.25]
    )
    write_labels(path / "labels" / "cells", labels_of())
    layers = reader.napari_get_reader(str(path))(str(path))
    assert [layer[2] for layer in layers] == ["image", "labels"]
    assert [layer[1]["scale"] for layer in layers] == [[3.0, 0.5, 0.25]] * 2


# what must not be lost


def test_images_and_other_folders_are_not_replaced(tmp_path):
    image = image_zarr(tmp_path / "i.ome.zarr", (4, 5, 6), "zyx")
    with pytest.raises(WriteError, match=r"holds an image or other labels, .* i\.ome\.zarr/labels"):
        write_labels(image, labels_of())
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros(3))
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "notes.txt").touch()
    for name in ("a.zarr", "b.zarr"):
        with pytest.raises(WriteError, match="is a folder with other content; choose another"):
            write_labels(tmp_path / name, labels_of())
    (tmp_path / "c.zarr").touch()
    with pytest.raises(WriteError, match="a file has that name"):
        write_labels(tmp_path / "c.zarr", labels_of())
    assert read(image).shape == (4, 5, 6)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.zarr",
        "b.zarr",
        "c.zarr",
        "i.ome.zarr",
    ]


def test_labels_with_others_beside_them_are_not_replaced(tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_labels(path, labels_of())
    write_labels(path / "labels" / "cells", labels_of(seed=1))
    with pytest.raises(WriteError, match="holds an image or other labels"):
        write_labels(path, labels_of())
    np.testing.assert_array_equal(np.asarray(read(path).data), labels_of())


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    write_labels(tmp_path / "a.zarr", labels_of())
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.zarr").data), labels_of())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((2, 3, 4), -1), "labels hold -1; label ids are 0"),
        (np.full((2, 3, 4), 0.5), "not whole numbers"),
        (np.full((2, 3, 4), 2**32), "labels hold 4294967296; the largest id"),
        (np.zeros((2, 4, 3)), r"shape \(2, 4, 3\), but the image has \(2, 3, 4\)"),
        (np.zeros((1, 2, 3, 4)), r"shape \(1, 2, 3, 4\); expected \(Z, Y, X\)"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unfit_labels_are_refused(tmp_path, suffix, labels, message):
    write_labels(tmp_path / f"a{suffix}", labels_of())
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / f"a{suffix}", labels, like=Volume(np.zeros((2, 3, 4))))
    np.testing.assert_array_equal(np.asarray(read(tmp_path / f"a{suffix}").data), labels_of())
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "no space"), "was not written: the disk is full"),
        (PermissionError(errno.EACCES, "denied"), "no permission"),
        (RuntimeError("codec"), "was not written: the disk may be full"),
    ],
)
def test_a_failing_disk_leaves_the_old_labels(tmp_path, monkeypatch, error, message):
    path = tmp_path / "a.ome.zarr"
    write_labels(path, labels_of())

    def fail(levels, labels):
        raise error

    monkeypatch.setattr(zarr_labels, "_write_levels", fail)
    with pytest.raises(WriteError, match=rf"a\.ome\.zarr.*{message}|{message}"):
        write_labels(path, labels_of(seed=1))
    np.testing.assert_array_equal(np.asarray(read(path).data), labels_of())
    assert list(tmp_path.iterdir()) == [path]


def test_labels_that_read_back_differently_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_labels, "_write_levels", lambda levels, labels: None)
    with pytest.raises(WriteError, match="differ from the given ones"):
        write_labels(tmp_path / "a.zarr", labels_of())
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
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_noticed(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_labels(path, labels_of())
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert f"a{suffix} was not written: the disk is full" in done.stdout
    np.testing.assert_array_equal(np.asarray(read(path).data), labels_of())
    assert list(tmp_path.iterdir()) == [path]
