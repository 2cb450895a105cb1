"""The same task on every kind of image: a box, its mask, through the stack, into the labels."""

import dask.array
import numpy as np
import pytest
import zarr

from models import overlap, two_tubes
from window_support import why_no_window

pytest.importorskip("qtpy.QtWidgets", reason=why_no_window(), exc_type=ImportError)
pytest.importorskip("napari")
from qtpy.QtCore import Qt

from hand import press

TUBES = two_tubes()
GREY = np.where(TUBES > 0, 900, 100).astype(np.uint16)
BOX = [(11, 13), (33, 35)]  # around tube 1, in y and x


def segment(one, corners):
    """Drag a box, propagate, commit; returns the labels layer."""
    press(one.dock.prompts.buttons["box"])
    one.hand.drag(one.image, corners)
    one.wait(lambda: one.bench.desk.preview.layer is not None)
    one.settle()
    if one.bench.session.volume.shape[one.bench.desk.view.axis] > 1:
        press(one.dock.propagation.run_button)
        one.wait(lambda: not one.bench.desk.run.is_running)
    press(one.dock.commit.commit_button)
    return next(layer for layer in one.viewer.layers if layer.name.startswith("stack labels"))


def corners(*before):
    return [(*before, *corner) for corner in BOX]


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_a_stack_however_it_is_stored(open_bench, kind, tmp_path):
    data = GREY
    if kind == "dask":
        data = dask.array.from_array(GREY, chunks=(5, 30, 50))
    elif kind == "zarr":
        data = zarr.open_array(tmp_path / "a.zarr", mode="w", shape=GREY.shape, dtype=GREY.dtype)
        data[:] = GREY
    one = open_bench(data)
    one.bench.desk.go_to(6)
    labels = segment(one, corners(6))
    np.testing.assert_array_equal(labels.data == 1, TUBES == 1)
    assert type(one.bench.session.volume.data) is type(data)  # nothing loaded it


def test_a_flat_image(open_bench):
    one = open_bench(GREY[6])
    labels = segment(one, corners())
    assert labels.data.shape == GREY[6].shape
    np.testing.assert_array_equal(labels.data == 1, TUBES[6] == 1)


def test_a_colour_image(open_bench):
    colour = np.zeros((*TUBES.shape[1:], 3), np.uint8)
    colour[..., 1] = np.where(TUBES[6] > 0, 250, 20)
    one = open_bench(colour, rgb=True)
    labels = segment(one, corners())
    assert overlap(labels.data == 1, TUBES[6] == 1) > 0.9


def test_a_colour_stack(open_bench):
    colour = np.repeat(np.where(TUBES > 0, 250, 20).astype(np.uint8)[..., None], 3, axis=-1)
    one = open_bench(colour, rgb=True)
    one.bench.desk.go_to(6)
    assert overlap(segment(one, corners(6)).data == 1, TUBES == 1) > 0.9


def test_another_axis(open_bench):
    one = open_bench(scale=(3.0, 0.5, 0.5), units=("mm",) * 3)
    one.viewer.dims.order = (1, 0, 2)
    one.viewer.reset_view()
    one.settle()
    one.bench.desk.go_to(22)
    assert one.bench.desk.view.axis == 1
    labels = segment(one, [(1.6, 22, 13), (10.4, 22, 35)])
    assert one.bench.session.objects[1].prompts[0].axis == 1
    assert one.bench.session.result(1).axis == 1
    assert overlap(labels.data == 1, TUBES == 1) > 0.98
    np.testing.assert_allclose(labels.scale, one.image.scale)


def test_columns_before_rows(open_bench):
    one = open_bench()
    one.viewer.dims.order = (0, 2, 1)
    one.viewer.reset_view()
    one.settle()
    one.bench.desk.go_to(6)
    np.testing.assert_array_equal(segment(one, corners(6)).data == 1, TUBES == 1)


def test_other_layers_in_other_units(open_bench):
    one = open_bench(scale=(2.0, 0.5, 0.5), units=("mm",) * 3, translate=(5.0, -3.0, 8.0))
    one.viewer.add_image(
        np.zeros((3, 9, 9)), name="detail", scale=(400, 300, 300), units=("um",) * 3
    )
    one.viewer.reset_view()
    one.settle()
    one.bench.desk.go_to(6)
    one.settle()
    labels = segment(one, corners(6))
    np.testing.assert_array_equal(labels.data == 1, TUBES == 1)
    box = one.bench.session.objects[1].prompts[0].yxyx
    np.testing.assert_allclose(box, (11.5, 13.5, 33.5, 35.5), atol=0.6)

    one.viewer.layers.remove("detail")
    one.settle()
    one.bench.desk.go_to(6)  # napari keeps the slider's step, which is another slice now
    one.hand.key(Qt.Key.Key_Q)  # another object, in other units than before
    one.hand.click(one.image, (6, 44, 52))
    one.settle()
    assert one.bench.session.objects[2].prompts[0].zyx == pytest.approx((6, 44, 52), abs=0.5)


def test_a_layer_with_a_finer_step(open_bench):
    one = open_bench(scale=(2.0, 1.0, 1.0))
    one.viewer.add_image(np.zeros((40, 9, 9)), name="fine", scale=(0.5, 1, 1))
    one.viewer.dims.set_point(0, 13.0)  # 6.5 slices, which napari shows as slice 6
    one.settle()
    assert one.bench.desk.view.index == 6
    one.hand.key(Qt.Key.Key_Q)
    one.hand.click(one.image, (6.5, 22, 24))
    one.settle()
    assert one.bench.session.objects[1].prompts[0].index == 6


def test_stacks_over_time(open_bench):
    movie = np.stack([GREY, GREY[:, ::-1], GREY[:, :, ::-1]])
    one = open_bench(movie, axis_labels=("t", "z", "y", "x"))
    one.viewer.dims.set_point(0, 0)
    one.wait(lambda: one.bench.desk is not None and one.bench.desk.grid.time_index == 0)
    one.settle()
    first = one.bench.session
    one.bench.desk.go_to(6)
    labels = segment(one, corners(0, 6))
    assert labels.data.shape == movie.shape

    one.viewer.dims.set_point(0, 1)  # the session follows the slider
    one.wait(lambda: one.bench.session is not None and one.bench.session is not first)
    one.settle()
    assert one.dock.image.time_spin.value() == 1
    one.bench.desk.go_to(6)
    mirrored = [(1, 6, 63 - y, x) for y, x in BOX]
    assert segment(one, mirrored).data is labels.data
    np.testing.assert_array_equal(labels.data[0] == 1, TUBES == 1)
    np.testing.assert_array_equal(labels.data[1] == 1, TUBES[:, ::-1] == 1)
    assert not labels.data[2].any()

    one.dock.image.time_spin.setValue(0)  # and the slider follows the panel
    one.wait(lambda: one.bench.session is first)
    assert one.viewer.dims.point[0] == 0
    assert first.objects[1].is_locked


def test_one_channel_of_several(open_bench):
    channels = np.stack([np.zeros_like(GREY), GREY], axis=1)  # (Z, C, Y, X)
    one = open_bench(channels, axis_labels=("z", "c", "y", "x"))
    one.viewer.dims.set_point(1, 1)
    one.dock.image.channel_chosen.emit(1)
    one.settle()
    np.testing.assert_array_equal(one.bench.session.volume.read_slice(6), GREY[6])
    one.bench.desk.go_to(6)
    labels = segment(one, [(6, 1, y, x) for y, x in BOX])
    assert labels.data.shape == (12, 1, 64, 72)
    np.testing.assert_array_equal(labels.data[:, 0] == 1, TUBES == 1)
    one.viewer.dims.set_point(1, 0)  # prompts stay in sight when looking at another channel
    shapes = one.bench.desk.shapes.layer
    assert shapes.translate[1] == 0


def test_the_3d_display_shows_and_takes_no_prompts(open_bench):
    one = open_bench()
    one.bench.desk.go_to(6)
    segment(one, corners(6))
    one.viewer.dims.ndisplay = 3
    one.settle()
    one.bench.desk.points.start(positive=True)
    one.bench.desk.points.layer.add((6, 44, 52))
    one.wait(lambda: "2D display" in one.dock.message_line.text)
    assert list(one.bench.session.objects) == [1]
