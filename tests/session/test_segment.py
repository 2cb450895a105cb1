"""An image and a prompts file in, a label file out."""

import json

import numpy as np
import pytest
import SimpleITK
import tifffile

import stacksam
from models import TINY, ThresholdPredictor, overlap, stack_of, tiny_network
from stacksam.core.errors import ReadError, WriteError
from stacksam.sam.checkpoints import save_compact
from stacksam.session import OverlapError, segment_file

OBJECTS = [
    {
        "id": 4,
        "name": "a",
        "prompts": [{"kind": "box", "axis": 0, "index": 6, "yxyx": [12, 14, 32, 34]}],
    },
    {"id": 300, "name": "b", "prompts": [{"kind": "point", "zyx": [5, 44, 52]}]},
]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "Präparat 1"
    folder.mkdir()
    return folder


@pytest.fixture
def image(folder, truth):
    path = folder / "bild ä.nii.gz"
    picture = SimpleITK.GetImageFromArray(np.asarray(stack_of(truth).data))
    picture.SetSpacing((0.7, 0.8, 2.5))
    picture.SetOrigin((-10.0, 20.0, 30.0))
    SimpleITK.WriteImage(picture, str(path))
    return path


def write_prompts(folder, objects=OBJECTS, **more):
    path = folder / "prompts.json"
    path.write_text(json.dumps({"version": 1, "objects": objects, **more}), encoding="utf-8")
    return path


def test_labels_are_written_in_the_images_geometry(folder, image, truth, model):
    out = folder / "labels ü.nii.gz"
    labels = segment_file(image, write_prompts(folder), out, model=model)
    assert set(np.unique(labels)) == {0, 4, 300}
    assert overlap(labels == 4, truth == 1) > 0.9
    assert overlap(labels == 300, truth == 2) > 0.9
    written, original = stacksam.read(out), stacksam.read(image)
    assert np.array_equal(written.data, labels)
    assert written.affine == pytest.approx(original.affine)


def test_model_may_be_a_file(folder, image, truth):
    path = folder / "tiny.safetensors"
    save_compact(path, tiny_network(), TINY, {})
    labels = segment_file(
        image, write_prompts(folder), folder / "x.nii.gz", model=path, device="cpu"
    )
    assert labels.shape == truth.shape


def test_window_of_the_file_and_of_the_caller(folder, image, model):
    prompts = write_prompts(folder, OBJECTS[:1], window=[0, 10_000])
    dark = segment_file(image, prompts, folder / "x.nii.gz", model=model)
    bright = segment_file(image, prompts, folder / "x.nii.gz", model=model, window=(100, 900))
    assert not dark.any()
    assert bright.any()


def test_earlier_objects_win(folder, image, model):
    same = [{**OBJECTS[0], "id": i} for i in (1, 2)]
    labels = segment_file(image, write_prompts(folder, same), folder / "x.nii.gz", model=model)
    assert set(np.unique(labels)) == {0, 1}


def test_objects_stay_on_their_slices_and_inside_their_boxes(folder, image, model):
    small = [{"id": 4, "prompts": [{"kind": "box", "index": 6, "yxyx": [12, 14, 32, 26]}]}]
    labels = segment_file(
        image,
        write_prompts(folder, small),
        folder / "x.nii.gz",
        model=model,
        z_range=(5, 8),
        inside="boxes",
    )
    assert np.flatnonzero(labels.any((1, 2))).tolist() == [5, 6, 7]
    assert np.flatnonzero(labels.any((0, 1))).max() == 25


def test_axis_of_the_first_prompt(folder, image, truth, model):
    across = [{"id": 1, "prompts": [{"kind": "point", "axis": 1, "zyx": [6, 22, 24]}]}]
    labels = segment_file(image, write_prompts(folder, across), folder / "x.nii.gz", model=model)
    assert np.flatnonzero(labels.any((0, 2))).size > 12
    with pytest.raises(ValueError, match="along axis 0"):
        segment_file(image, write_prompts(folder, across), folder / "x.nii.gz", model=model, axis=0)


def test_progress_runs_over_all_objects(folder, image, model):
    seen = []
    segment_file(
        image,
        write_prompts(folder),
        folder / "x.nii.gz",
        model=model,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (24, 24)


def test_flat_colour_image(folder, truth, model):
    colours = np.zeros((64, 72, 3), np.uint8)
    colours[truth[5] > 0] = (200, 190, 210)
    tifffile.imwrite(folder / "rgb.tif", colours, photometric="rgb")
    prompts = [{"id": 1, "prompts": [{"kind": "point", "zyx": [0, 22, 24]}]}]
    labels = segment_file(
        folder / "rgb.tif", write_prompts(folder, prompts), folder / "x.tif", model=model
    )
    assert overlap(labels[0] == 1, truth[5] == 1) > 0.9


def test_bad_files_are_said_before_anything_is_written(folder, image, model):
    out = folder / "x.nii.gz"
    with pytest.raises(ReadError, match=r"none\.nii"):
        segment_file(folder / "none.nii", write_prompts(folder), out, model=model)
    with pytest.raises(ReadError, match=r"none\.json"):
        segment_file(image, folder / "none.json", out, model=model)
    beyond = [{"id": 1, "prompts": [{"kind": "point", "zyx": [99, 1, 1]}]}]
    with pytest.raises(ReadError, match="outside the volume"):
        segment_file(image, write_prompts(folder, beyond), out, model=model)
    with pytest.raises(WriteError, match="folder"):
        segment_file(image, write_prompts(folder), folder / "no" / "x.nii.gz", model=model)
    assert not out.exists()


def test_prompts_that_say_nothing_are_refused(folder, image):
    nothing = [{"id": 1, "prompts": [{"kind": "point", "zyx": [6, 22, 24], "positive": False}]}]
    with pytest.raises(ValueError, match="object 1 has no box, mask or positive point"):
        segment_file(
            image, write_prompts(folder, nothing), folder / "x.nii.gz", model=ThresholdPredictor()
        )


# Object 2 is marked across y: objects along different axes are not shared out before the commit.
CROSSING = [
    {
        "id": 1,
        "prompts": [{"kind": "box", "axis": 0, "index": 6, "yxyx": [12, 14, 32, 34]}],
    },
    {"id": 2, "prompts": [{"kind": "box", "axis": 1, "index": 22, "yxyx": [2, 14, 11, 34]}]},
]


def test_overlap_decides_who_gets_contested_voxels(folder, image, model):
    out, prompts = folder / "labels.nii.gz", write_prompts(folder, CROSSING)
    kept = segment_file(image, prompts, out, model=model)
    taken = segment_file(image, prompts, out, model=model, overlap="overwrite")
    contested = (kept == 1) & (taken == 2)
    assert contested.any()
    assert np.array_equal(kept > 0, taken > 0)


def test_overlap_can_be_asked_about(folder, image, model):
    out, prompts = folder / "labels.nii.gz", write_prompts(folder, CROSSING)
    with pytest.raises(OverlapError, match=r"object 2 covers \d+ voxels of object 1"):
        segment_file(image, prompts, out, model=model, overlap="ask")
    assert not out.exists()
    for policy, answer in (("keep", False), ("overwrite", True)):
        asked = []
        labels = segment_file(
            image,
            prompts,
            out,
            model=model,
            overlap="ask",
            ask=lambda text, a=answer, seen=asked: seen.append(text) or a,
        )
        assert len(asked) == 1
        same = segment_file(image, prompts, out, model=model, overlap=policy)
        assert np.array_equal(labels, same)
