"""Prompts are facts: ordered, comparable, hashable, checked, and they survive JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
    check_axis,
    check_box,
    check_index,
    check_mask,
    check_point,
    check_scribble,
    point_on_axis,
    prompt_from_dict,
    prompt_to_dict,
    sample_scribble,
)

MASK = np.eye(4, 6, dtype=bool)


def click(prompt_id, object_id=1, index=0, axis=0, positive=True):
    return PointPrompt(prompt_id, object_id, axis, index, (1.0, 2.0), positive)


def mask_prompt(prompt_id, object_id=1, index=0, axis=0, mask=MASK):
    return MaskPrompt.from_array(prompt_id, object_id, axis, index, mask)


def one_of_each():
    return [
        click(1),
        BoxPrompt(2, 1, 0, 0, (0.0, 1.0, 3.5, 4.0)),
        ScribblePrompt(3, 1, 2, 5, ((0.0, 0.0), (1.0, 1.5)), False, 2.0),
        mask_prompt(4),
    ]


@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_mask_prompt_keeps_every_pixel(mask):
    prompt = mask_prompt(1, mask=mask)
    assert np.array_equal(prompt.to_array(), mask)
    assert prompt.to_array().dtype == bool
    assert prompt.is_absent == (not mask.any())


def test_equal_masks_make_equal_prompts():
    assert mask_prompt(1) == mask_prompt(1, mask=MASK.copy())
    assert hash(mask_prompt(1)) == hash(mask_prompt(1, mask=MASK.copy()))
    assert mask_prompt(1) != mask_prompt(1, mask=~MASK)


def test_mask_prompt_tells_shapes_of_equal_bits_apart():
    assert mask_prompt(1, mask=np.zeros((2, 8), bool)) != mask_prompt(
        1, mask=np.zeros((8, 2), bool)
    )


def test_mask_prompt_does_not_change_with_the_array_it_came_from():
    mask = MASK.copy()
    prompt = mask_prompt(1, mask=mask)
    mask[:] = True
    assert np.array_equal(prompt.to_array(), MASK)


def test_mask_prompt_refuses_a_volume():
    with pytest.raises(ValueError, match=r"not of shape \(2, 2, 2\)"):
        mask_prompt(1, mask=np.zeros((2, 2, 2), bool))


@pytest.mark.parametrize("prompt", one_of_each(), ids=lambda p: p.kind)
def test_prompts_survive_json(prompt):
    assert prompt_from_dict(json.loads(json.dumps(prompt_to_dict(prompt)))) == prompt


def test_numpy_numbers_become_json():
    prompt = PointPrompt(np.int64(1), 1, 0, np.int64(2), (np.float32(1), np.float32(2)), np.True_)
    assert json.loads(json.dumps(prompt_to_dict(prompt)))["yx"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "lasso"}, "unknown prompt kind 'lasso'"),
        ({"yx": None}, "is damaged"),
        ({"axis": "first"}, "invalid literal"),
    ],
)
def test_wrong_stored_prompts_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        prompt_from_dict(prompt_to_dict(click(1)) | change)


def test_stored_prompt_without_a_key_is_refused():
    stored = prompt_to_dict(click(1))
    del stored["yx"]
    with pytest.raises(ValueError, match="lacks 'yx'"):
        prompt_from_dict(stored)


def test_stored_mask_with_broken_bytes_is_refused():
    with pytest.raises(ValueError, match="is damaged"):
        prompt_from_dict(prompt_to_dict(mask_prompt(1)) | {"packed": "AAAA"})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_point_knows_its_voxel(axis):
    index, yx = point_on_axis((3.0, 10.25, 20.5), axis)
    zyx = PointPrompt(1, 1, axis, index, yx).zyx
    expected = [3.0, 10.25, 20.5]
    expected[axis] = float(index)
    assert zyx == tuple(expected)


def test_set_keeps_the_order_and_the_old_set():
    empty = PromptSet()
    prompts = empty.with_prompt(click(2)).with_prompt(click(1))
    assert [p.prompt_id for p in prompts] == [2, 1]
    assert len(empty) == 0
    assert prompts.next_id == 3
    assert empty.next_id == 1


def test_equal_sets_are_equal():
    assert PromptSet((click(1),)) == PromptSet().with_prompt(click(1))
    assert hash(PromptSet((mask_prompt(1),))) == hash(PromptSet((mask_prompt(1),)))


def test_a_taken_id_is_refused():
    with pytest.raises(ValueError, match="prompt id 1 is already taken"):
        PromptSet((click(1),)).with_prompt(click(1, object_id=2))


def test_without_a_missing_prompt_is_refused():
    with pytest.raises(ValueError, match="there is no prompt 7"):
        PromptSet((click(1),)).without(7)


def test_cleared_by_object_slice_and_axis():
    prompts = PromptSet(
        (click(1), click(2, index=3), click(3, index=3, axis=1), click(4, object_id=2, index=3))
    )
    ids = lambda s: [p.prompt_id for p in s]  # noqa: E731
    assert ids(prompts.cleared(1)) == [4]
    assert ids(prompts.cleared(1, index=3)) == [1, 4]
    assert ids(prompts.cleared(1, index=3, axis=0)) == [1, 3, 4]
    assert ids(prompts.cleared(1, axis=1)) == [1, 2, 4]
    assert ids(prompts.for_object(2)) == [4]
    assert prompts.object_ids == (1, 2)


def test_a_mask_supersedes_what_came_before_it():
    prompts = PromptSet((click(1), mask_prompt(2), click(3), mask_prompt(4), click(5), click(6)))
    assert [p.prompt_id for p in prompts.on_slice(1, 0)] == [4, 5, 6]


def test_a_mask_acts_on_its_own_slice_only():
    prompts = PromptSet((click(1, index=1), mask_prompt(2), mask_prompt(3, 2, 1), click(4, axis=1)))
    assert [p.prompt_id for p in prompts.on_slice(1, 1)] == [1]
    assert [p.prompt_id for p in prompts.on_slice(1, 0, axis=1)] == [4]


def test_touched_slices_are_sorted_and_by_axis():
    prompts = PromptSet((click(1, index=9), click(2, index=2), click(3, index=9), click(4, axis=1)))
    assert prompts.touched_slices(1) == [2, 9]
    assert prompts.touched_slices(1, axis=1) == [0]
    assert prompts.touched_slices(5) == []


@pytest.mark.parametrize("yx", [(-0.5, 0), (3.49, 5.49), (0, 0)])
def test_points_inside_pass(yx):
    assert check_point(yx, (4, 6)) == yx


@pytest.mark.parametrize(
    ("yx", "message"),
    [
        ((-0.51, 0), "first coordinate has to be from -0.5 up to .not including. 3.5"),
        ((0, 5.5), "second coordinate has to be from -0.5 up to .not including. 5.5"),
        ((math.nan, 0), "has to be finite"),
        ((0, math.inf), "has to be finite"),
        ((10**400, 0), "2 numbers"),
        ((0, 1, 2), "2 numbers, not 3"),
        (("a", 1), "2 numbers"),
        (None, "2 numbers"),
    ],
)
def test_points_outside_or_not_finite_are_refused(yx, message):
    with pytest.raises(ValueError, match=message):
        check_point(yx, (4, 6))


def test_boxes_are_clipped():
    assert check_box((-5, 1, 99, 2.5), (4, 6)) == (0.0, 1.0, 4.0, 2.5)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((2, 0, 2, 4), "is empty"),
        ((0, 4, 2, 1), "is empty"),
        ((4, 0, 9, 4), "outside the plane of 4 x 6 pixels"),
        ((-3, 0, 0, 4), "outside the plane"),
        ((0, math.nan, 1, 1), "finite"),
        ((0, 1, 2), "4 numbers, not 3"),
    ],
)
def test_empty_boxes_are_refused(box, message):
    with pytest.raises(ValueError, match=message):
        check_box(box, (4, 6))


def test_scribbles_become_floats():
    assert check_scribble([[0, 1], [2, 3]], (4, 6), 3) == (((0.0, 1.0), (2.0, 3.0)), 3.0)


@pytest.mark.parametrize(
    ("points", "width", "message"),
    [
        ([], 3, "no points"),
        ([[0, 9]], 3, "outside the plane"),
        ([[0, 0]], 0, "width is 0"),
        ([[0, 0]], math.inf, "width is inf"),
        ([[0, 0]], "3", "width is '3'"),
        (5, 3, "have to be pairs"),
    ],
)
def test_wrong_scribbles_are_refused(points, width, message):
    with pytest.raises(ValueError, match=message):
        check_scribble(points, (4, 6), width)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_bool_like_masks_pass(dtype):
    assert np.array_equal(check_mask(MASK.astype(dtype), (4, 6)), MASK)


def test_masks_of_0_and_255_pass():
    assert np.array_equal(check_mask(MASK * np.uint8(255), (4, 6)), MASK)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (MASK.T, r"shape \(6, 4\); this slice has \(4, 6\)"),
        (np.arange(24).reshape(4, 6), "more than two values"),
        (np.full((4, 6), np.nan), "more than two values"),
        (MASK.astype(complex), "dtype complex128"),
    ],
)
def test_wrong_masks_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        check_mask(mask, (4, 6))


def test_axis_and_index():
    assert check_axis(np.int64(2)) == 2
    assert check_index(np.int64(3), 4) == 3
    with pytest.raises(ValueError, match="axis is 3"):
        check_axis(3)
    with pytest.raises(ValueError, match="slices 0 to 3"):
        check_index(4, 4)
    with pytest.raises(ValueError, match="slices 0 to 3"):
        check_index(-1, 4)
    for wrong in (1.5, math.nan, "1", True, None):
        with pytest.raises(ValueError, match="whole number"):
            check_index(wrong, 4)


@pytest.mark.parametrize(("z", "index"), [(-0.5, 0), (0.49, 0), (0.5, 1), (1.5, 2), (2.4, 2)])
def test_integers_are_voxel_centres(z, index):
    assert point_on_axis((z, 1, 1), 0, (3, 4, 4))[0] == index


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_every_point_inside_has_a_slice(size, part):
    z = part * size - 0.5
    if z < size - 0.5:
        assert 0 <= point_on_axis((z, 0, 0), 0, (size, 1, 1))[0] < size


def test_points_outside_the_volume_are_refused():
    with pytest.raises(ValueError, match="outside the volume; x has to be from"):
        point_on_axis((0, 0, 4), 0, (3, 4, 4))
    with pytest.raises(ValueError, match="finite"):
        point_on_axis((math.nan, 0, 0), 0)


def test_scribbles_are_sampled_by_length():
    points = sample_scribble(((0.0, 0.0), (0.0, 1.0), (3.0, 1.0)), 5)
    assert np.allclose(points, [[0, 0], [0, 1], [1, 1], [2, 1], [3, 1]])
    assert np.allclose(sample_scribble(((0.0, 0.0), (4.0, 0.0)), 1), [[2, 0]])
    assert np.allclose(sample_scribble(((1.0, 2.0),), 3), [[1, 2]] * 3)
