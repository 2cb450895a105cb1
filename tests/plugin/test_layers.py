"""Geometry between layers and volumes; no viewer needed."""

import numpy as np
import pytest

pytest.importorskip("napari")
from napari.layers import Image, Labels, Shapes

from stacksam.core.volume import Volume
from stacksam.plugin.layers import (
    affine_mm,
    box_on_slice,
    grid_options,
    layer_to_volume,
    volume_to_layer,
)

OBLIQUE = np.array(
    [[2.0, 0.0, 0.0, -30.0], [0.0, 0.48, -0.6, 5.0], [0.0, 0.64, 0.45, 7.0], [0, 0, 0, 1.0]]
)


def image_of(volume):
    data, options, _ = volume_to_layer(volume)
    return Image(data, **options)


def ramp(shape=(4, 6, 8)):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


@pytest.mark.parametrize(
    "geometry", [{"spacing_zyx": (2.0, 0.8, 0.5)}, {"affine": OBLIQUE}], ids=["spacing", "oblique"]
)
def test_volume_survives_the_layer(geometry):
    volume = Volume(ramp(), name="ct", **geometry)
    back = layer_to_volume(image_of(volume))
    np.testing.assert_array_equal(back.data, volume.data)
    assert back.spacing_zyx == pytest.approx(volume.spacing_zyx)
    if volume.affine is not None:
        np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)


def test_world_is_the_volumes_world_and_scale_the_spacing():
    layer = image_of(Volume(ramp(), affine=OBLIQUE))
    np.testing.assert_allclose(
        layer.data_to_world((3, 1, 2)), (OBLIQUE @ [3, 1, 2, 1])[:3], atol=1e-9
    )
    np.testing.assert_allclose(layer.scale, np.linalg.norm(OBLIQUE[:3, :3], axis=0))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3


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


def test_four_axes_are_refused():
    with pytest.raises(ValueError, match="has 4 axes; StackSAM takes 2 or 3"):
        layer_to_volume(Image(np.zeros((2, 3, 4, 5)), name="movie"))


def test_labels_on_the_images_grid_lie_where_the_image_lies():
    image = image_of(Volume(ramp(), affine=OBLIQUE))
    labels = Labels(np.zeros(image.data.shape, np.uint8), **grid_options(image))
    np.testing.assert_allclose(labels.data_to_world((3, 4, 5)), image.data_to_world((3, 4, 5)))
    assert labels.units == image.units


def rectangle(image, corners):
    shapes = Shapes(ndim=image.ndim, **grid_options(image))
    shapes.add_rectangles(np.array(corners, float))
    return shapes


def test_box_is_half_open_and_on_its_slice():
    image = image_of(Volume(ramp(), spacing_zyx=(2.0, 0.8, 0.5)))
    # from the outer edge of pixel (1, 2) to that of pixel (3, 5)
    corners = [[2, 0.5, 1.5], [2, 0.5, 5.5], [2, 3.5, 5.5], [2, 3.5, 1.5]]
    assert box_on_slice(rectangle(image, corners), image) == (0, 2, (1, 2, 4, 6))


def test_box_on_another_axis():
    image = image_of(Volume(ramp()))
    corners = [[0.5, 4, 1.5], [0.5, 4, 5.5], [2.5, 4, 5.5], [2.5, 4, 1.5]]
    assert box_on_slice(rectangle(image, corners), image) == (1, 4, (1, 2, 3, 6))


def test_the_last_box_counts():
    image = Image(np.zeros((20, 30)))
    shapes = rectangle(image, [[0, 0], [0, 4], [4, 4], [4, 0]])
    shapes.add_rectangles(np.array([[9.5, 9.5], [9.5, 14.5], [12.5, 14.5], [12.5, 9.5]]))
    assert box_on_slice(shapes, image) == (0, 0, (10, 10, 13, 15))


def test_a_box_drawn_backwards_or_without_width_holds_a_pixel():
    image = Image(np.zeros((20, 30)))
    shapes = rectangle(image, [[5, 9], [5, 9], [5, 9], [5, 9]])
    assert box_on_slice(shapes, image) == (0, 0, (6, 10, 7, 11))


def test_no_box_says_what_to_do():
    image = Image(np.zeros((4, 20, 30)))
    with pytest.raises(ValueError, match="press Draw box"):
        box_on_slice(None, image)
    with pytest.raises(ValueError, match="press Draw box"):
        box_on_slice(Shapes(ndim=3), image)


def test_a_box_across_slices_is_refused():
    image = Image(np.zeros((4, 20, 30)))
    corners = [[0, 0, 0], [0, 5, 9], [3, 5, 9], [3, 0, 0]]
    with pytest.raises(ValueError, match="not in one slice"):
        box_on_slice(rectangle(image, corners), image)
