"""Windows: from what is stored to what the model sees."""

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume
from stacksam.core.windows import PRESETS, Window, apply_window, resolve_window, to_grey


def make_volume(values, **options):
    return Volume(np.asarray(values), **options)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_their_own_limits(name):
    volume = make_volume(np.zeros((1, 2, 2)))
    assert resolve_window(volume, name) == PRESETS[name]


def test_presets_cover_the_usual_organs():
    assert {f"ct-{n}" for n in ("soft-tissue", "lung", "bone", "brain", "liver", "angio")} <= {
        *PRESETS
    }


def test_auto_takes_percentiles_of_the_stack():
    volume = make_volume(np.arange(1001, dtype=np.int16).reshape(1, 7, 143))
    window = resolve_window(volume, "auto")
    assert (window.low, window.high) == pytest.approx((5.0, 995.0))


def test_auto_does_not_depend_on_the_type():
    values = np.random.default_rng(0).integers(0, 200, (3, 20, 20))
    windows = {resolve_window(make_volume(values.astype(t))) for t in (np.uint8, np.int32, float)}
    assert len(windows) == 1


@pytest.mark.parametrize("padding", [-1024, -2000, -3024])
def test_auto_and_full_ignore_padding(padding):
    values = np.linspace(-100, 300, 1000).reshape(1, 20, 50)
    padded = np.full((1, 40, 50), padding, np.float32)
    padded[:, :20] = values
    for spec in ("auto", "full"):
        assert resolve_window(make_volume(padded), spec) == resolve_window(
            make_volume(values), spec
        )


def test_auto_ignores_nan_and_infinity():
    values = np.linspace(0, 10, 400).reshape(1, 20, 20)
    spoiled = np.concatenate([values, [[[np.nan, np.inf, -np.inf] + [np.nan] * 17]]], axis=1)
    assert resolve_window(make_volume(spoiled)) == resolve_window(make_volume(values))


@pytest.mark.parametrize("value", [0, 7, -1024, np.nan])
def test_constant_image_gives_zeros(value):
    volume = make_volume(np.full((2, 4, 4), value))
    window = resolve_window(volume, "auto")
    assert not apply_window(volume.read_slice(0), window).any()


def test_few_bright_pixels_on_black_are_seen():
    image = np.zeros((1, 100, 100), np.uint16)
    image[0, 3, 4] = 500
    assert resolve_window(make_volume(image)) == Window(0.0, 500.0)


def test_bool_image_becomes_zero_and_one():
    image = np.zeros((1, 8, 8), bool)
    image[0, 2:5] = True
    window = resolve_window(make_volume(image))
    assert np.array_equal(apply_window(image, window), image.astype(np.float32))


def test_colours_share_one_window():
    image = np.zeros((1, 10, 10, 3), np.uint8)
    image[..., 0], image[..., 2] = 50, 200
    assert resolve_window(make_volume(image, rgb=True)) == Window(0.0, 200.0)


def test_full_takes_the_extremes():
    assert resolve_window(make_volume([[1.0, -5.0, 8.0]]), "full") == Window(-5.0, 8.0)


def test_auto_is_the_same_for_numpy_dask_and_zarr(tmp_path):
    values = np.random.default_rng(0).integers(-1024, 3000, (40, 65, 70)).astype(np.int16)
    stored = zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(7, 30, 31))
    lazy = da.from_array(values, chunks=(9, 33, 29))
    assert len({resolve_window(Volume(v)) for v in (values, stored, lazy)}) == 1


def test_limits_and_windows_pass():
    volume = make_volume(np.zeros((1, 2, 2)))
    assert resolve_window(volume, (-10, 20)) == Window(-10.0, 20.0)
    assert resolve_window(volume, Window(1.0, 2.0)) == Window(1.0, 2.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ct-hair", "unknown; choose one of auto, full"),
        ((1.0,), "two numbers"),
        ((1.0, 2.0, 3.0), "two numbers"),
        (5.0, "two numbers"),
        (("a", "b"), "two numbers"),
        ((np.nan, 1.0), "finite"),
        ((0.0, np.inf), "finite"),
        ((2.0, 1.0), "low before high"),
    ],
)
def test_bad_specifications_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        resolve_window(make_volume(np.zeros((1, 2, 2))), spec)


def test_values_outside_are_cut_and_nan_is_dark():
    image = np.array([-np.inf, -5.0, 0.0, 5.0, 10.0, 99.0, np.inf, np.nan])
    windowed = apply_window(image, Window(0.0, 10.0))
    assert windowed.dtype == np.float32
    assert windowed.tolist() == [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.0]
    assert np.isnan(image[-1])  # the input is left alone


@given(hnp.arrays(np.int16, st.integers(2, 30)), st.integers(-2000, 0), st.integers(1, 3000))
def test_order_of_intensities_is_kept(values, low, width):
    windowed = apply_window(values, Window(low, low + width))
    assert (np.diff(windowed[np.argsort(values, kind="stable")]) >= 0).all()
    assert windowed.min() >= 0
    assert windowed.max() <= 1


def test_grey_is_luminance_and_leaves_grey_alone():
    image = np.array([[[255, 0, 0], [0, 255, 0], [10, 10, 10]]], np.uint8)
    assert to_grey(image)[0] == pytest.approx([0.299 * 255, 0.587 * 255, 10.0])
    grey = np.ones((2, 3), np.int16)
    assert to_grey(grey) is grey


def test_the_files_own_window_or_auto():
    data = np.arange(1000.0).reshape(10, 10, 10)
    own = Volume(data, scan=ScanInfo(window=(-160.0, 240.0)))
    assert resolve_window(own, "file") == Window(-160.0, 240.0)
    assert resolve_window(own, "auto") == resolve_window(Volume(data), "file")
