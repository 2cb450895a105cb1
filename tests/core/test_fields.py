"""Fields: which part of a slice the encoder sees, and the way there and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacksam.core.fields import (
    LOGIT_OUTSIDE,
    POSITIONS_PER_SIZE,
    SIZE_STEP,
    SMALLEST_FIELD,
    TARGET_FILL,
    Field,
    crop_image,
    crop_labels,
    field_around,
    logits_box,
    move_logits,
    paste_logits,
    whole_slice,
)

coordinates = st.floats(-500, 500)
extents = st.floats(5, 900)
fields = st.builds(Field, coordinates, coordinates, extents, extents)


@st.composite
def boxes_on_planes(draw):
    height, width = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y1, x1 = draw(st.integers(y0 + 1, height)), draw(st.integers(x0 + 1, width))
    return (y0, x0, y1, x1), (height, width)


def smooth_image(shape, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    a, b = rng.uniform(0.02, 0.05, 2)
    return (np.sin(a * y) + np.cos(b * x)).astype(np.float32)


class ReadsCounted:
    """A huge plane that computes the part asked for, and remembers how much that was."""

    def __init__(self, shape):
        self.shape = shape
        self.read = 0

    def __getitem__(self, key):
        rows, columns = (np.arange(s.start, s.stop, dtype=np.float32) for s in key)
        self.read += len(rows) * len(columns)
        return rows[:, None] + columns[None]


@given(fields, coordinates, coordinates, st.integers(8, 256))
def test_points_return_from_the_field(field, y, x, size):
    back = field.from_field(field.to_field(np.array([[y, x]]), size), size)
    assert back[0] == pytest.approx((y, x), abs=1e-6)


def test_pixel_edges_stay_pixel_edges():
    field = Field(10.0, 20.0, 40.0, 40.0)
    corners = field.to_field(np.array([[9.5, 19.5], [49.5, 59.5], [10.0, 20.0]]), 80)
    assert corners.tolist() == [[-0.5, -0.5], [79.5, 79.5], [0.5, 0.5]]


def test_field_contains_what_lies_in_it():
    field = Field(10.0, 20.0, 30.0, 40.0)
    assert field.contains((10.0, 20.0, 40.0, 60.0))
    for outside in ((9.0, 20, 30, 30), (10, 19.0, 30, 30), (10, 20, 41.0, 30), (10, 20, 30, 61.0)):
        assert not field.contains(outside)


@given(boxes_on_planes(), st.sampled_from([0.2, 0.5, 1.0, 3.0, 7.0]), st.booleans())
def test_field_stays_inside_and_holds_the_object(case, aspect, is_snapped):
    box, (height, width) = case
    field = field_around(box, (height, width), pixel_aspect=aspect, snap=is_snapped)
    for start, extent, plane in ((field.y, field.height, height), (field.x, field.width, width)):
        if extent <= plane:
            assert start >= -1e-6
            assert start + extent <= plane + 1e-6
        else:  # as much on either side
            assert start == pytest.approx((plane - extent) / 2)
    assert field.width <= max(height * aspect, width, SMALLEST_FIELD) + 1e-6
    y0, x0, y1, x1 = box
    assert field.contains((y0 + 1e-6, x0 + 1e-6, y1 - 1e-6, x1 - 1e-6))


@pytest.mark.parametrize("aspect", [0.5, 1.0, 4.0])
def test_field_is_square_in_millimetres(aspect):
    field = field_around((40, 40, 60, 90), (300, 400), pixel_aspect=aspect)
    assert field.height * aspect == pytest.approx(field.width)


@pytest.mark.parametrize("side", [20, 33, 50, 71, 100, 200])
def test_object_takes_about_its_share(side):
    field = field_around((300, 300, 300 + side, 300 + side // 2), (1000, 1000))
    assert TARGET_FILL / 2**0.26 <= side / field.width <= TARGET_FILL * 2**0.26


def test_share_is_exact_without_snapping():
    field = field_around((100, 100, 150, 120), (1000, 1000), fill=0.25, snap=False)
    assert field == Field(25.0, 10.0, 200.0, 200.0)


def test_sizes_and_places_come_in_steps():
    for y in range(100, 160):
        field = field_around((y, 200, y + 40, 233), (600, 600))
        steps = math.log(field.width / SMALLEST_FIELD, SIZE_STEP)
        assert steps == pytest.approx(round(steps))
        places = field.y / (field.height / POSITIONS_PER_SIZE)
        assert places == pytest.approx(round(places))


def test_neighbouring_boxes_share_fields():
    fields = {field_around((100 + d, 200 - d, 140 + d, 233), (600, 600)) for d in range(10)}
    assert len(fields) <= 3


def test_tiny_object_gets_the_smallest_field():
    assert field_around((50, 50, 51, 51), (100, 100)).width == SMALLEST_FIELD


@pytest.mark.parametrize("shape", [(100, 100), (30, 500), (500, 30), (512, 512), (5, 7)])
@pytest.mark.parametrize("aspect", [1.0, 2.5])
def test_whole_slice_shows_all_of_it(shape, aspect):
    field = whole_slice(shape, pixel_aspect=aspect)
    assert field.contains((1e-6, 1e-6, shape[0] - 1e-6, shape[1] - 1e-6))


def test_crop_of_full_resolution_is_a_copy():
    image = np.random.default_rng(0).random((40, 50), np.float32)
    crop = crop_image(image, Field(4.0, 6.0, 16.0, 16.0), 16)
    assert crop == pytest.approx(image[4:20, 6:22], abs=1e-6)


@pytest.mark.parametrize("place", [Field(8.0, 16.0, 64.0, 64.0), Field(-8.0, -8.0, 112.0, 112.0)])
def test_crop_and_paste_return_the_image(place):
    image = smooth_image((96, 96))
    pasted = paste_logits(crop_image(image, place, 224), place, image.shape)
    inside = (slice(max(0, int(place.y)) + 2, 70), slice(max(0, int(place.x)) + 2, 70))
    assert np.abs(pasted - image)[inside].max() < 0.05


def test_paste_of_full_resolution_is_a_copy_and_the_rest_background():
    logits = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    pasted = paste_logits(logits, Field(4.0, 6.0, 16.0, 16.0), (40, 50))
    assert pasted[4:20, 6:22] == pytest.approx(logits, abs=1e-5)
    pasted[4:20, 6:22] = LOGIT_OUTSIDE
    assert (pasted == LOGIT_OUTSIDE).all()


def test_paste_cuts_what_lies_beyond_the_slice():
    pasted = paste_logits(np.full((8, 8), 3.0, np.float32), Field(-4.0, -4.0, 16.0, 16.0), (6, 20))
    assert pasted[:, :12] == pytest.approx(3.0)
    assert (pasted[:, 12:] == LOGIT_OUTSIDE).all()


def test_move_to_the_same_field_changes_nothing():
    logits = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    field = Field(3.0, 4.0, 32.0, 32.0)
    assert np.array_equal(move_logits(logits, field, field), logits)


def test_move_shifts_and_fills_with_background():
    logits = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    moved = move_logits(logits, Field(0.0, 0.0, 32.0, 32.0), Field(8.0, 0.0, 32.0, 32.0))
    assert moved[:12] == pytest.approx(logits[4:], abs=1e-5)
    assert moved[12:] == pytest.approx(LOGIT_OUTSIDE)


def test_moving_there_and_back_keeps_the_middle():
    wide, close = Field(0.0, 0.0, 128.0, 128.0), Field(32.0, 32.0, 64.0, 64.0)
    logits = 5 * smooth_image((64, 64))
    back = move_logits(move_logits(logits, wide, close), close, wide)
    assert np.abs(back - logits)[18:46, 18:46].max() < 0.1


def test_shrinking_averages():
    image = np.random.default_rng(0).random((256, 256), np.float32)
    crop = crop_image(image, Field(0.0, 0.0, 256.0, 256.0), 32)
    assert crop.mean() == pytest.approx(image.mean(), abs=0.01)
    assert crop.std() < image.std() / 4
    board = (np.indices((128, 128)).sum(0) % 2).astype(np.float32)
    shrunk = crop_image(board, Field(0.0, 0.0, 128.0, 128.0), 16)
    assert shrunk == pytest.approx(0.5, abs=0.02)


def test_only_the_part_under_the_field_is_read():
    plane = ReadsCounted((200_000, 300_000))
    crop = crop_image(plane, Field(5000.0, 7000.0, 64.0, 64.0), 32)
    assert plane.read <= 66 * 66
    assert crop[0, 0] == pytest.approx(12001, abs=1)


def test_edges_repeat_and_beyond_is_zero():
    image = np.full((20, 20), 7.0, np.float32)
    inside = crop_image(image, Field(0.0, 0.0, 20.0, 20.0), 64)
    assert inside == pytest.approx(7.0)
    around = crop_image(image, Field(-10.0, -10.0, 40.0, 40.0), 40)
    assert around[10:30, 10:30] == pytest.approx(7.0)
    around[10:30, 10:30] = 0
    assert not around.any()


def test_prepare_sees_the_pixels_under_the_field_only():
    image = np.arange(400).reshape(20, 20)
    seen = []

    def prepare(part):
        seen.append(part.copy())
        return np.zeros(part.shape)

    assert not crop_image(image, Field(2.0, 3.0, 5.0, 5.0), 10, prepare).any()
    assert np.array_equal(seen[0], image[2:7, 3:8])


def test_prepare_may_take_colours_away():
    image = np.ones((20, 20, 3), np.uint8)
    crop = crop_image(image, Field(0.0, 0.0, 20.0, 20.0), 10, lambda part: part.sum(-1))
    assert crop == pytest.approx(3.0)


def test_image_is_left_alone():
    image = np.random.default_rng(0).integers(0, 255, (30, 30)).astype(np.uint8)
    before = image.copy()
    crop_image(image, Field(-3.0, 2.0, 25.0, 25.0), 16)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32])
def test_labels_are_never_mixed(dtype):
    labels = np.zeros((40, 40), dtype)
    labels[10:20, 10:20] = 1
    crop = crop_labels(labels, Field(5.0, 5.0, 20.0, 20.0), 60)
    assert crop.dtype == dtype
    expected = np.zeros((60, 60), dtype)
    expected[15:45, 15:45] = 1
    assert np.array_equal(crop, expected)


def test_labels_beyond_the_slice_are_background():
    crop = crop_labels(np.ones((10, 10), np.uint8), Field(-10.0, -10.0, 30.0, 30.0), 30)
    assert crop.sum() == 100
    assert crop[10:20, 10:20].all()


def test_box_of_logits_is_in_slice_pixels():
    logits = np.full((16, 16), -1.0)
    field = Field(100.0, 200.0, 32.0, 64.0)
    assert logits_box(logits, field) is None
    logits[2:5, 8:16] = 1
    assert logits_box(logits, field) == (104.0, 232.0, 110.0, 264.0)
