import json
import shutil

import numpy as np
import pytest
import zarr

from stacksam.core.errors import ReadError
from stacksam.io import read

UNITS = {"z": "micrometer", "y": "nanometer", "x": "micrometer", "t": "second"}
KINDS = {"t": "time", "c": "channel"}
SCALES = {"z": 2.0, "y": 500.0, "x": 0.25, "t": 30.0, "c": 1.0}


def stack(shape=(4, 5, 6), dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def axes_of(letters, units=UNITS):
    return [
        {"name": a, "type": KINDS.get(a, "space")} | ({"unit": units[a]} if a in units else {})
        for a in letters
    ]


def write_ome(path, levels, letters, *, version="0.5", translation=None, **changes):
    """Write levels, each half as large as the one before, by hand and not by our writer."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.create_group(path, zarr_format=zarr_format)
    datasets = []
    for level, data in enumerate(levels):
        factor = [2**level if a in "yx" else 1 for a in letters]
        scale = [SCALES[a] * f for a, f in zip(letters, factor, strict=True)]
        transforms = [{"type": "scale", "scale": scale}]
        if translation:
            transforms.append({"type": "translation", "translation": translation})
        datasets.append({"path": f"s{level}", "coordinateTransformations": transforms})
        chunks = tuple(min(3, n) for n in data.shape)
        group.create_array(f"s{level}", data=data, chunks=chunks)
    multiscale = {"version": version, "axes": axes_of(letters), "datasets": datasets} | changes
    attributes = {"multiscales": [{k: v for k, v in multiscale.items() if v is not None}]}
    if "c" in letters:
        names = ["DAPI", "GFP", "RFP"][: levels[0].shape[letters.index("c")]]
        attributes["omero"] = {"channels": [{"label": name} for name in names]}
    group.attrs.update({"ome": attributes} if zarr_format == 3 else attributes)
    return path


# OME-Zarr


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_finest_level_and_its_spacing_in_mm(tmp_path, version):
    levels = [stack((4, 8, 10)), stack((4, 4, 5))]
    path = write_ome(tmp_path / "a b ü.ome.zarr", levels, "zyx", version=version)
    volume = read(path)
    np.testing.assert_array_equal(np.asarray(volume.data), levels[0])
    assert volume.spacing_zyx == pytest.approx((2e-3, 5e-4, 2.5e-4))
    assert volume.affine is None
    assert volume.name == "a b ü.ome.zarr"
    coarse = read(path, series=1)
    np.testing.assert_array_equal(np.asarray(coarse.data), levels[1])
    assert coarse.spacing_zyx == pytest.approx((2e-3, 1e-3, 5e-4))
    with pytest.raises(ReadError, match=r"series=2 is not one of 0 \(4x8x10\), 1 \(4x4x5\)"):
        read(path, series=2)


def test_nothing_is_read_but_the_chunks_of_a_slice(tmp_path):
    path = write_ome(tmp_path / "a.zarr", [stack((9, 8, 10))], "zyx")
    for chunk in (path / "s0" / "c").iterdir():
        if chunk.name != "1":  # slices 3 to 5
            shutil.rmtree(chunk)
    (path / "s0" / "c" / "0").mkdir()
    (path / "s0" / "c" / "0" / "0").mkdir()
    (path / "s0" / "c" / "0" / "0" / "0").write_bytes(b"damaged")
    volume = read(path)
    np.testing.assert_array_equal(volume.read_slice(4), stack((9, 8, 10))[4])
    with pytest.raises(ReadError, match=r"a\.zarr has a chunk that is damaged"):
        volume.read_slice(0)


def test_an_array_larger_than_memory_opens_at_once(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("0", shape=(10**5,) * 3, dtype="u2", chunks=(1, 512, 512), fill_value=7)
    group.attrs["ome"] = {"multiscales": [{"axes": axes_of("zyx"), "datasets": [{"path": "0"}]}]}
    volume = read(tmp_path / "a.zarr")
    assert volume.shape == (10**5,) * 3
    assert set(volume.sample_values(1000)) == {7}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_and_time_points_are_chosen(tmp_path, version):
    data = stack((2, 3, 4, 5, 6))
    path = write_ome(tmp_path / "a.zarr", [data], "tczyx", version=version)
    np.testing.assert_array_equal(np.asarray(read(path, channel=2, time=1).data), data[1, 2])
    volume = read(path, channel="GFP", time=0)
    np.testing.assert_array_equal(np.asarray(volume.data), data[0, 1])
    assert volume.spacing_zyx == pytest.approx((2e-3, 5e-4, 2.5e-4))
    for axis in range(3):
        np.testing.assert_array_equal(volume.read_slice(2, axis), data[0, 1].take(2, axis))
    with pytest.raises(ReadError, match=r"3 channels; .* 0 \(DAPI\), 1 \(GFP\), 2 \(RFP\)"):
        read(path)
    with pytest.raises(ReadError, match="holds 2 time points; choose one with time="):
        read(path, channel=0)


def test_a_time_lapse_of_planes_keeps_time_as_axis_0(tmp_path):
    data = stack((7, 1, 1, 5, 6))
    volume = read(write_ome(tmp_path / "a.zarr", [data], "tczyx"))
    np.testing.assert_array_equal(np.asarray(volume.data), data[:, 0, 0])
    assert volume.spacing_zyx is None
    one = read(tmp_path / "a.zarr", time=3)
    np.testing.assert_array_equal(np.asarray(one.data), data[3, 0])
    assert one.spacing_zyx == pytest.approx((2e-3, 5e-4, 2.5e-4))


def test_a_2d_image_is_one_slice(tmp_path):
    volume = read(write_ome(tmp_path / "a.zarr", [stack((5, 6))], "yx"))
    np.testing.assert_array_equal(np.asarray(volume.data), stack((5, 6))[None])
    assert volume.spacing_zyx is None


def test_a_translation_becomes_the_affine(tmp_path):
    path = write_ome(tmp_path / "a.zarr", [stack()], "zyx", translation=[10.0, 500.0, 3.0])
    expected = np.diag([2e-3, 5e-4, 2.5e-4, 1])
    expected[:3, 3] = (1e-2, 5e-4, 3e-3)
    np.testing.assert_allclose(read(path).affine, expected)


def test_a_scale_of_the_whole_image_comes_on_top(tmp_path):
    whole = [{"type": "scale", "scale": [2.0, 3.0, 4.0]}]
    path = write_ome(tmp_path / "a.zarr", [stack()], "zyx", coordinateTransformations=whole)
    assert read(path).spacing_zyx == pytest.approx((4e-3, 15e-4, 1e-3))


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": axes_of("zyx", {})},
        {"axes": axes_of("zyx", UNITS | {"y": "parsec"})},
        {"axes": [*"zyx"]},
        {"datasets": [{"path": "s0"}], "axes": axes_of("zyx", {})},
    ],
    ids=["no unit", "no length", "0.3", "no scale"],
)
def test_an_unknown_spacing_is_none(tmp_path, changes):
    volume = read(write_ome(tmp_path / "a.zarr", [stack()], "zyx", version="0.4", **changes))
    assert volume.spacing_zyx is None
    np.testing.assert_array_equal(np.asarray(volume.data), stack())


def test_before_version_0_3_there_are_five_axes(tmp_path):
    data = stack((1, 2, 4, 5, 6))
    path = write_ome(tmp_path / "a.zarr", [data], "tczyx", version="0.1", axes=None)
    np.testing.assert_array_equal(np.asarray(read(path, channel=1).data), data[0, 1])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_several_images_are_named(tmp_path, zarr_format):
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME")
    version = "0.4" if zarr_format == 2 else "0.5"
    write_ome(tmp_path / "a.zarr" / "0", [stack()], "zyx", version=version)
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.zarr").data), stack())
    write_ome(tmp_path / "a.zarr" / "1", [stack(seed=1)], "zyx", version=version)
    with pytest.raises(ReadError, match=r"several images \(0, 1\); open .* a\.zarr/0"):
        read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.zarr/1").data), stack(seed=1))


def test_a_plate_and_an_empty_group_are_refused(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    with pytest.raises(ReadError, match=r"a\.zarr is a Zarr group without an image"):
        read(tmp_path / "a.zarr")
    group.attrs["ome"] = {"plate": {"wells": [{"path": "B/3"}]}}
    with pytest.raises(ReadError, match=r"is a plate .* such as a\.zarr/B/3/0"):
        read(tmp_path / "a.zarr")


# plain arrays


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["bool", "u1", "i2", ">u2", "f4", "f8"])
def test_plain_arrays_stay_as_stored(tmp_path, zarr_format, dtype):
    data = stack(dtype=dtype)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(2, 3, 4), zarr_format=zarr_format)
    volume = read(tmp_path / "a.zarr")
    assert not isinstance(volume.data, np.ndarray)
    assert volume.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(volume.data), data)
    assert volume.spacing_zyx is None
    with pytest.raises(ReadError, match="has 1 series, so series=1 is not one of 0"):
        read(tmp_path / "a.zarr", series=1)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected", "rgb"),
    [
        ((5, 6), "f8", (1, 5, 6), False),
        ((5, 6, 3), "u1", (1, 5, 6), True),
        ((4, 5, 6, 3), "u1", (4, 5, 6), True),
        ((4, 5, 3), "i2", (4, 5, 3), False),
        ((1, 4, 5, 6), "u1", (4, 5, 6), False),
    ],
)
def test_shapes_of_plain_arrays(tmp_path, shape, dtype, expected, rgb):
    data = stack(shape, dtype)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(2,) * len(shape))
    volume = read(tmp_path / "a.zarr")
    assert (volume.shape, volume.rgb) == (expected, rgb)
    planes = [volume.read_slice(z) for z in range(volume.n_slices())]
    np.testing.assert_array_equal(np.ravel(planes), data.ravel())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_named_dimensions_are_followed(tmp_path, zarr_format):
    data = stack((3, 4, 5, 6))
    names = {"dimension_names": [*"czyx"]} if zarr_format == 3 else {}
    attributes = {"_ARRAY_DIMENSIONS": [*"czyx"]} if zarr_format == 2 else {}
    zarr.create_array(
        tmp_path / "a.zarr", data=data, zarr_format=zarr_format, attributes=attributes, **names
    )
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.zarr", channel=2).data), data[2])


def test_the_only_array_of_a_group_is_read(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("volume", data=stack())
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.zarr").data), stack())
    group.create_array("mask", data=stack())
    with pytest.raises(ReadError, match=r"several images \(mask, volume\); .* a\.zarr/mask"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 2, 2, 2, 2)), r"has shape \(2, 2, 2, 2, 2\); name its dimensions"),
        (np.zeros((2, 4, 5, 6)), "holds 2 time points; choose one with time="),
        (np.zeros((4, 5), complex), "cannot be used: data has dtype complex128"),
        (np.zeros((0, 4, 5)), "cannot be used: .* at least one voxel"),
    ],
)
def test_unfit_arrays_are_refused(tmp_path, data, message):
    zarr.create_array(
        tmp_path / "a.zarr", shape=data.shape, dtype=data.dtype, chunks=(2,) * data.ndim
    )
    with pytest.raises(ReadError, match=message):
        read(tmp_path / "a.zarr")


# damage


def _drop(content, rng):
    """Remove a random key somewhere in the metadata."""
    node = content
    while True:
        inner = [v for v in (node.values() if isinstance(node, dict) else node) if v]
        inner = [v for v in inner if isinstance(v, (dict, list))]
        if not inner or rng.random() < 0.4:
            break
        node = inner[rng.integers(len(inner))]
    node.pop(rng.choice(list(node)) if isinstance(node, dict) else rng.integers(len(node)))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("seed", range(40))
def test_damaged_metadata_gives_an_image_or_one_sentence(tmp_path, version, seed):
    rng = np.random.default_rng(seed)
    path = write_ome(tmp_path / "a.zarr", [stack()], "zyx", version=version)
    files = sorted(p for p in path.rglob("*") if p.name in ("zarr.json", ".zattrs", ".zarray"))
    damaged = files[rng.integers(len(files))]
    text = damaged.read_text(encoding="utf-8")
    content = json.loads(text)
    if seed % 2 and content:
        _drop(content, rng)
        damaged.write_text(json.dumps(content), encoding="utf-8")
    else:
        damaged.write_text(text[: rng.integers(len(text))], encoding="utf-8")
    outcome = "an image"
    try:
        assert read(path).shape == (4, 5, 6)
    except ReadError as error:
        outcome = str(error)
    assert "\n" not in outcome
    assert str(tmp_path) not in outcome


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", ".zgroup"])
@pytest.mark.parametrize("content", ["", "no json", "{}", "[]", '{"zarr_format": 9}'])
def test_garbage_is_refused(tmp_path, name, content):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / name).write_text(content, encoding="utf-8")
    with pytest.raises(ReadError, match=r"a\.zarr is (damaged or not a Zarr folder|a Zarr group)"):
        read(tmp_path / "a.zarr")


def test_axes_that_do_not_fit_the_array_are_refused(tmp_path):
    path = write_ome(tmp_path / "a.zarr", [stack((4, 5, 6))], "zyx", axes=axes_of("yx"))
    with pytest.raises(ReadError, match="names 2 axes, but its array has 3"):
        read(path)


def test_a_missing_level_is_refused(tmp_path):
    path = write_ome(tmp_path / "a.zarr", [stack((4, 8, 10)), stack((4, 4, 5))], "zyx")
    shutil.rmtree(path / "s1")
    with pytest.raises(ReadError, match=r"a\.zarr is damaged or not a Zarr folder"):
        read(path)
