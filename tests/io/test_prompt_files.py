"""prompts.json: read, checked against the volume, and written back."""

import json

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet, ScribblePrompt
from stacksam.core.windows import Window
from stacksam.io.prompt_files import dump_prompts, load_prompts

SHAPE = (6, 8, 9)
MASK = np.eye(8, 9, dtype=bool)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "Prüfung mit Leerzeichen"
    folder.mkdir()
    return folder


def write(folder, content):
    path = folder / "prompts.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def one_prompt(folder, **prompt):
    return write(folder, {"version": 1, "objects": [{"id": 1, "prompts": [prompt]}]})


def all_kinds():
    return PromptSet(
        (
            BoxPrompt(1, 3, 0, 4, (1.0, 2.0, 5.5, 6.0)),
            PointPrompt(2, 3, 1, 2, (1.25, 3.0), False),
            ScribblePrompt(3, 3, 2, 8, ((0.0, 0.0), (5.0, 7.0)), True, 3.0),
            MaskPrompt.from_array(4, 3, 0, 0, MASK),
            MaskPrompt.from_array(5, 9, 0, 1, np.zeros_like(MASK)),
        )
    )


def test_the_documented_example_reads(folder):
    tifffile.imwrite(folder / "slice.tif", np.ones((300, 300), np.uint8))
    path = folder / "prompts.json"
    path.write_text(
        """{"version": 1, "window": "auto", "objects": [{"id": 1, "name": "liver", "prompts": [
        {"kind": "box", "axis": 0, "index": 40, "yxyx": [150, 120, 260, 300]},
        {"kind": "point", "zyx": [40, 200, 180], "positive": true},
        {"kind": "mask", "axis": 0, "index": 40, "path": "slice.tif"}]}]}""",
        encoding="utf-8",
    )
    file = load_prompts(path, (50, 300, 300))
    assert file.window == "auto"
    assert file.names == {1: "liver"}
    assert [p.kind for p in file.prompts] == ["box", "point", "mask"]
    assert [p.prompt_id for p in file.prompts] == [1, 2, 3]
    assert file.prompts.get(2) == PointPrompt(2, 1, 0, 40, (200.0, 180.0), True)


@pytest.mark.parametrize("window", [None, "ct-lung", (-160.0, 240.0)])
def test_what_is_written_is_read(folder, window):
    dump_prompts(folder / "p.json", all_kinds(), window=window, names={3: "Läsion", 9: ""})
    file = load_prompts(folder / "p.json", SHAPE)
    assert file.prompts == all_kinds()
    assert file.window == window
    assert file.names == {3: "Läsion", 9: ""}
    assert sorted(p.name for p in folder.iterdir()) == ["p.json", "p_mask_4.tif", "p_mask_5.tif"]


def test_a_window_object_is_written_as_two_numbers(folder):
    dump_prompts(folder / "p.json", PromptSet(), window=Window(1.0, 2.0))
    assert load_prompts(folder / "p.json", SHAPE).window == (1.0, 2.0)


def test_points_may_carry_an_axis(folder):
    path = one_prompt(folder, kind="point", zyx=[1, 2.6, 3], axis=1)
    assert load_prompts(path, SHAPE).prompts.get(1) == PointPrompt(1, 1, 1, 3, (1.0, 3.0), True)


def test_boxes_are_clipped_to_the_plane(folder):
    path = one_prompt(folder, kind="box", index=0, yxyx=[-5, 0, 99, 3])
    assert load_prompts(path, SHAPE).prompts.get(1).yxyx == (0.0, 0.0, 8.0, 3.0)


def test_masks_may_be_pictures_in_another_folder(folder):
    (folder / "masks").mkdir()
    (folder / "here").mkdir()
    imsave(folder / "masks" / "m.png", MASK * np.uint8(255), check_contrast=False)
    path = one_prompt(folder / "here", kind="mask", index=0, path="../masks/m.png")
    assert np.array_equal(load_prompts(path, SHAPE).prompts.get(1).to_array(), MASK)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"kind": "lasso", "index": 0}, "prompt 1 of object 1 in prompts.json: unknown kind"),
        ({"zyx": [0, 0, 0]}, "'kind' is missing"),
        ({"kind": "point"}, "'zyx' is missing"),
        ({"kind": "box", "index": 0}, "'yxyx' is missing"),
        ({"kind": "box", "yxyx": [0, 0, 1, 1]}, "'index' is missing"),
        ({"kind": "scribble", "index": 0}, "'points_yx' is missing"),
        ({"kind": "mask", "index": 0}, "'path' is missing"),
        ({"kind": "point", "zyx": [0, 0, 9]}, "outside the volume; x"),
        ({"kind": "point", "zyx": [0, 0]}, "3 numbers, not 2"),
        ({"kind": "point", "zyx": [0, 0, 0], "positive": 1}, "has to be true or false"),
        ({"kind": "point", "zyx": [0, 0, 0], "axis": 3}, "axis is 3"),
        ({"kind": "box", "index": 6, "yxyx": [0, 0, 1, 1]}, "slices 0 to 5"),
        ({"kind": "box", "index": None, "yxyx": [0, 0, 1, 1]}, "whole number"),
        ({"kind": "box", "index": 0, "yxyx": [3, 0, 3, 1]}, "is empty"),
        ({"kind": "scribble", "index": 0, "points_yx": 3}, "have to be pairs"),
        ({"kind": "mask", "index": 0, "path": "gone.tif"}, "gone.tif does not exist"),
        ({"kind": "mask", "index": 0, "path": "broken.tif"}, "cannot be read as an image"),
        ({"kind": "mask", "index": 0, "path": "small.tif"}, r"shape \(2, 2\)"),
        ({"kind": "mask", "index": 0, "path": "/etc/mask.tif"}, "is absolute"),
        ({"kind": "mask", "index": 0, "path": "C:\\mask.tif"}, "is absolute"),
        ({"kind": "mask", "index": 0, "path": 5}, "'path' is 5"),
    ],
)
def test_wrong_prompts_are_refused(folder, prompt, message):
    (folder / "broken.tif").write_bytes(b"not a picture")
    tifffile.imwrite(folder / "small.tif", np.ones((2, 2), np.uint8))
    with pytest.raises(ReadError, match=message):
        load_prompts(one_prompt(folder, **prompt), SHAPE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has to hold a JSON object"),
        ({}, "has version None; this StackSAM reads 1"),
        ({"version": 2, "objects": []}, "has version 2"),
        ({"version": 1}, "has no 'objects'"),
        ({"version": 1, "objects": {}}, "'objects' of prompts.json has to be a list, not dict"),
        ({"version": 1, "objects": [3]}, "object number 1 in prompts.json has to be a JSON object"),
        ({"version": 1, "objects": [{"id": 0, "prompts": []}]}, "has id 0"),
        ({"version": 1, "objects": [{"prompts": []}]}, "has id None"),
        ({"version": 1, "objects": [{"id": 1}]}, "object 1 in prompts.json has no 'prompts'"),
        ({"version": 1, "objects": [{"id": 1, "prompts": [1]}]}, "prompt 1 of object 1"),
        ({"version": 1, "objects": [{"id": 1, "name": 3, "prompts": []}]}, "has name 3"),
        ({"version": 1, "objects": [{"id": 1, "prompts": []}] * 2}, "object 1 twice"),
        ({"version": 1, "window": [1], "objects": []}, "has window"),
    ],
)
def test_wrong_files_are_refused(folder, content, message):
    with pytest.raises(ReadError, match=message):
        load_prompts(write(folder, content), SHAPE)


def test_files_that_are_not_json_or_missing(folder):
    (folder / "a.json").write_text("{", encoding="utf-8")
    (folder / "b.json").write_bytes(b"\xff\xfe\x00")
    for name in ("a.json", "b.json"):
        with pytest.raises(ReadError, match="is not valid JSON"):
            load_prompts(folder / name, SHAPE)
    with pytest.raises(ReadError, match=r"cannot open c\.json"):
        load_prompts(folder / "c.json", SHAPE)


def test_writing_into_a_missing_folder_is_refused(folder):
    with pytest.raises(WriteError, match="folder does not exist"):
        dump_prompts(folder / "gone" / "p.json", all_kinds())
