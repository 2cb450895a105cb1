"""Geometry between layers and volumes; no viewer needed."""

import numpy as np
import pytest

pytest.importorskip("napari")
from napari.layers import Image, Labels

from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume
from stacksam.plugin.coordinates import read_grid
from stacksam.plugin.layers import (
    METADATA,
    affine_mm,
    grid_options,
    layer_to_volume,
    volume_to_layer,
)

OBLIQUE = np.array(
    [[2.0, 0.0, 0.0, -30.0], [0.0, 0.48, -0.6, 5.0], [0.0, 0.64, 0.45, 7.0], [0, 0, 0, 1.0]]
)
SAGITTAL = np.array(
    [[0.0, -0.8, 0.0, 40.0], [0.0, 0.0, 0.8, 5.0], [1.5, 0.0, 0.0, 7.0], [0, 0, 0, 1.0]]
)
FLIPPED = np.array(
    [[2.0, 0.0, 0.0, -30.0], [0.0, -0.5, 0.0, 5.0], [0.0, 0.0, -0.5, 7.0], [0, 0, 0, 1.0]]
)


def image_of(volume):
    data, options, _ = volume_to_layer(volume)
    return Image(data, **options)


def ramp(shape=(4, 6, 8)):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


@pytest.mark.parametrize(
    "geometry",
    [{"spacing_zyx": (2.0, 0.8, 0.5)}, {"affine": OBLIQUE}, {"affine": SAGITTAL}],
    ids=["spacing", "oblique", "sagittal"],
)
def test_volume_survives_the_layer(geometry):
    volume = Volume(ramp(), name="ct", **geometry)
    back = layer_to_volume(image_of(volume))
    np.testing.assert_array_equal(back.data, volume.data)
    assert back.spacing_zyx == pytest.approx(volume.spacing_zyx)
    if volume.affine is not None:
        np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)


def test_world_is_the_volumes_world_and_scale_the_spacing():
    layer = image_of(Volume(ramp(), affine=FLIPPED))
    np.testing.assert_allclose(
        layer.data_to_world((3, 1, 2)), (FLIPPED @ [3, 1, 2, 1])[:3], atol=1e-9
    )
    np.testing.assert_allclose(layer.scale, (2.0, 0.5, 0.5))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3


@pytest.mark.parametrize("affine", [OBLIQUE, SAGITTAL], ids=["oblique", "sagittal"])
def test_what_lies_across_naparis_slices_is_drawn_straight_from_its_origin(affine):
    layer = image_of(Volume(ramp(), affine=affine))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(
        layer.data_to_world((3, 1, 2)), affine[:3, 3] + spacing * (3, 1, 2), atol=1e-9
    )
    np.testing.assert_allclose(layer.metadata[METADATA]["affine"], affine)


def test_a_layer_that_was_scaled_since_says_so_itself():
    layer = image_of(Volume(ramp(), affine=OBLIQUE))
    layer.scale = (1.0, 1.0, 1.0)
    np.testing.assert_allclose(np.linalg.norm(affine_mm(layer)[:3, :3], axis=0), 1.0)


def test_unknown_spacing_stays_unknown():
    layer = image_of(Volume(ramp()))
    assert [str(unit) for unit in layer.units] == ["pixel"] * 3
    assert affine_mm(layer) is None
    assert layer_to_volume(layer).spacing_zyx is None


def test_micrometres_become_millimetres():
    layer = Image(ramp(), scale=(5, 0.5, 0.5), units=("um",) * 3, translate=(100, 0, 0))
    volume = layer_to_volume(layer)
    assert volume.spacing_zyx == pytest.approx((0.005, 0.0005, 0.0005))
    assert volume.affine[0, 3] == pytest.approx(0.1)


def test_contrast_limits_are_the_models_window():
    data = ramp((10, 20, 30))
    data[0, 0, 0] = 30_000
    assert image_of(Volume(data)).contrast_limits[1] < 30_000


def test_a_constant_volume_can_be_shown():
    assert image_of(Volume(np.zeros((2, 3, 4), np.uint8))).data.shape == (2, 3, 4)


def test_colour_keeps_three_channels():
    rgba = Image(np.zeros((5, 6, 4), np.uint8), rgb=True)
    volume = layer_to_volume(rgba)
    assert volume.rgb
    assert volume.data.shape == (1, 5, 6, 3)
    assert image_of(volume).rgb


def test_a_flat_image_becomes_one_slice():
    assert layer_to_volume(Image(np.zeros((5, 6)))).shape == (1, 5, 6)


def test_multiscale_gives_its_finest_level():
    layer = Image([np.zeros((2, 8, 8)), np.zeros((2, 4, 4))], multiscale=True)
    assert layer_to_volume(layer).shape == (2, 8, 8)


def test_a_time_point_and_a_channel_of_many():
    data = np.arange(2 * 7 * 4 * 5 * 6).reshape(7, 2, 4, 5, 6)
    layer = Image(data, scale=(9, 1, 2, 0.5, 0.5), units=("s", "pixel", "mm", "mm", "mm"))
    volume = layer_to_volume(layer, read_grid(layer, channel_index=1, time_index=3))
    np.testing.assert_array_equal(volume.data, data[3, 1])
    assert volume.spacing_zyx == pytest.approx((2.0, 0.5, 0.5))


def test_six_axes_are_refused():
    with pytest.raises(ValueError, match="has 6 axes; StackSAM takes time"):
        layer_to_volume(Image(np.zeros((2, 2, 2, 2, 4, 5)), name="movie"))


def test_the_windows_of_scanners_are_taken_over():
    scan = ScanInfo(unit="HU", window=(-100.0, 200.0))
    assert image_of(Volume(ramp(), scan=scan)).contrast_limits == [-100, 200]


def test_labels_on_the_images_grid_lie_where_the_image_lies():
    image = image_of(Volume(ramp(), affine=FLIPPED))
    labels = Labels(np.zeros(image.data.shape, np.uint8), **grid_options(image))
    np.testing.assert_allclose(labels.data_to_world((3, 4, 5)), image.data_to_world((3, 4, 5)))
    assert labels.units == image.units
