"""From world to voxels, without a window."""

import numpy as np
import pytest

pytest.importorskip("napari")
from napari.components import ViewerModel
from napari.layers import Image, Labels

from stacksam.plugin.coordinates import (
    Grid,
    View,
    current_view,
    frame_options,
    read_grid,
    slice_index,
    to_data,
)


def image(shape, **options):
    return Image(np.zeros(shape, np.uint8), **options)


@pytest.mark.parametrize(
    ("shape", "labels", "spatial", "channel", "time"),
    [
        ((20, 30), None, (0, 1), None, None),
        ((5, 20, 30), None, (0, 1, 2), None, None),
        ((3, 20, 30), ("c", "y", "x"), (1, 2), 0, None),
        ((9, 20, 30), ("t", "y", "x"), (0, 1, 2), None, None),  # a time-lapse is a stack
        ((9, 5, 20, 30), None, (1, 2, 3), None, 0),
        ((2, 5, 20, 30), None, (1, 2, 3), 0, None),
        ((2, 5, 20, 30), ("t", "z", "y", "x"), (1, 2, 3), None, 0),
        ((5, 2, 20, 30), ("z", "c", "y", "x"), (0, 2, 3), 1, None),
        ((7, 2, 20, 30), ("t", "c", "y", "x"), (0, 2, 3), 1, None),
        ((7, 2, 5, 20, 30), None, (2, 3, 4), 1, 0),
        ((2, 7, 5, 20, 30), ("c", "t", "z", "y", "x"), (2, 3, 4), 0, 1),
    ],
)
def test_what_the_axes_mean(shape, labels, spatial, channel, time):
    grid = read_grid(image(shape, axis_labels=labels))
    assert (grid.spatial, grid.channel, grid.time) == (spatial, channel, time)


def test_six_axes_are_refused():
    with pytest.raises(ValueError, match="has 6 axes; StackSAM takes time, channel, z, y and x"):
        read_grid(image((2, 2, 2, 2, 4, 4)))


def test_colours_are_not_an_axis():
    assert read_grid(Image(np.zeros((8, 9, 3), np.uint8), rgb=True)).shape == (8, 9)


def test_a_frame_is_chosen_lazily():
    data = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    grid = read_grid(Image(data), channel_index=2, time_index=1)
    np.testing.assert_array_equal(grid.select(data), data[1, 2])
    assert np.shares_memory(grid.select(data), data)
    assert grid.frame_shape == (1, 1, 4, 5, 6)
    np.testing.assert_array_equal(grid.offset, (1, 2, 0, 0, 0))


def test_a_frame_that_is_not_there_becomes_the_nearest():
    grid = read_grid(image((2, 3, 4, 5, 6)), channel_index=9, time_index=-1)
    assert (grid.channel_index, grid.time_index) == (2, 0)


@pytest.mark.parametrize("spatial", [(0, 1, 2), (1, 2, 3), (0, 2, 3), (1, 3)])
def test_voxels_there_and_back(spatial):
    grid = Grid((4,) * 4, spatial)
    zyx = np.random.default_rng(0).uniform(0, 3, (5, 3))
    zyx[:, : 3 - len(spatial)] = 0
    np.testing.assert_allclose(grid.to_zyx(grid.from_zyx(zyx)), zyx)


def test_other_units_in_the_viewer_do_not_move_a_click():
    viewer = ViewerModel()
    ct = viewer.add_image(np.zeros((5, 20, 30)), scale=(2, 0.5, 0.5), units=("mm",) * 3)
    viewer.add_image(np.zeros((4, 8, 8)), scale=(7, 7, 7), units=("um",) * 3)
    np.testing.assert_allclose(to_data(viewer, ct, (6000, 5000, 500)), (3, 10, 1))


def test_a_layer_made_for_drawing_lies_on_the_image_in_the_worlds_units():
    viewer = ViewerModel()
    turn = np.array([[1, 0, 0, 3], [0, -1, 0, 4], [0, 0, -1, 5], [0, 0, 0, 1]])
    options = {"scale": (2, 0.5, 0.5), "translate": (1, 2, 3), "affine": turn}
    ct = viewer.add_image(np.zeros((5, 20, 30)), units=("mm",) * 3, **options)
    viewer.add_image(np.zeros((4, 8, 8)), scale=(7, 7, 7), units=("um",) * 3)
    drawn = Labels(np.zeros((5, 20, 30), int), **frame_options(viewer, ct, read_grid(ct)))
    np.testing.assert_allclose(
        drawn.data_to_world((3, 4, 5)), np.multiply(ct.data_to_world((3, 4, 5)), 1000)
    )
    assert drawn.units == viewer.layers.extent.units


def test_a_frames_layer_lies_at_its_time_point():
    viewer = ViewerModel()
    movie = viewer.add_image(np.zeros((8, 5, 20, 30)), scale=(3, 2, 1, 1))
    grid = read_grid(movie, time_index=4)
    drawn = Labels(np.zeros(grid.frame_shape, int), **frame_options(viewer, movie, grid))
    np.testing.assert_allclose(drawn.data_to_world((0, 1, 2, 3)), movie.data_to_world((4, 1, 2, 3)))


@pytest.mark.parametrize(
    ("order", "point", "view"),
    [
        ((0, 1, 2), (6.2, 0, 0), View(0, 3)),
        ((1, 0, 2), (0, 4.9, 0), View(1, 10)),
        ((2, 1, 0), (0, 0, 14.0), View(2, 28)),
        ((1, 2, 0), (0, 400, 0), View(1, 19)),
    ],
)
def test_the_slice_on_the_screen(order, point, view):
    viewer = ViewerModel()
    ct = viewer.add_image(np.zeros((5, 20, 30)), scale=(2, 0.5, 0.5))
    viewer.add_points(ndim=3)  # its steps are finer than the slices
    viewer.dims.order = order
    viewer.dims.point = point
    assert current_view(viewer, ct, read_grid(ct)) == view


def test_half_way_counts_as_napari_counts():
    assert [slice_index(z, 9) for z in (0.5, 1.5, 2.5, -3, 40)] == [0, 2, 2, 0, 8]


def test_a_viewer_with_more_axes_shows_the_same_slice():
    viewer = ViewerModel()
    ct = viewer.add_image(np.zeros((5, 20, 30)))
    viewer.add_image(np.zeros((3, 2, 5, 20, 30)))
    viewer.dims.set_point(2, 4)
    assert current_view(viewer, ct, read_grid(ct)) == View(0, 4)


def test_the_3d_display_is_not_flat():
    viewer = ViewerModel(ndisplay=3)
    ct = viewer.add_image(np.zeros((5, 20, 30)))
    viewer.dims.ndisplay = 3
    assert not current_view(viewer, ct, read_grid(ct)).is_flat


def test_time_across_the_screen_is_no_slice():
    viewer = ViewerModel()
    movie = viewer.add_image(np.zeros((8, 5, 20, 30)))
    viewer.dims.order = (1, 2, 0, 3)
    assert current_view(viewer, movie, read_grid(movie)) is None


def test_a_flat_image_has_one_slice():
    viewer = ViewerModel()
    flat = viewer.add_image(np.zeros((20, 30)))
    viewer.add_image(np.zeros((5, 20, 30)))
    viewer.dims.set_point(0, 3)
    assert current_view(viewer, flat, read_grid(flat)) == View(0, 0)
