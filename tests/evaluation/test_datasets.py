"""Which files a split holds, and that image and mask are read alike."""

import json

import pytest

from stacksam.core.errors import ReadError
from stacksam.evaluation.cases import choose_cases
from stacksam.evaluation.datasets import find_items, short_modality


def test_items_of_the_whole_folder(data):
    items = find_items(data)
    assert [i.dataset for i in items] == ["cells"] * 3 + ["nuclei", "stain", "lesions"]
    assert {i.dataset for i in items if i.is_volume} == {"nuclei"}
    assert {i.dataset for i in items if i.is_unseen} == {"nuclei", "lesions"}
    assert [i.group for i in items if i.dataset == "lesions"] == ["radiology"]


def test_a_folder_inside_has_its_own_files_only(data):
    assert {i.dataset for i in find_items(data / "microscopy")} == {"cells", "nuclei", "stain"}
    assert len(find_items(data / "microscopy" / "cells")) == 3
    assert [i.path.name for i in find_items(data / "microscopy" / "cells", "val")] == ["v.png"]


def test_image_and_labels_have_one_shape(data):
    for item in find_items(data):
        volume, labels = item.read_volume(), item.read_labels()
        assert volume.shape == labels.shape
        assert labels.dtype.kind in "iu"
        assert volume.rgb == (item.dataset == "stain")


def test_modality_is_the_files_or_the_data_sets(data):
    modalities = {i.dataset: i.modality for i in find_items(data)}
    assert modalities == {
        "cells": "phase contrast",
        "nuclei": "fluorescence",
        "stain": "unknown",
        "lesions": "CT",
    }


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("fluorescence nuclei; also stained tissue", "fluorescence"),
        ("PET (FDG)", "PET"),
        ("US", "ultrasound"),
        ("MR T2-FLAIR-like", "MR"),
        ("X-ray tomography", "X-ray tomography"),
        ("", "unknown"),
    ],
)
def test_short_modality(text, short):
    assert short_modality(text) == short


@pytest.mark.parametrize("text", ["{", "[3]", '[{"modality": "CT"}]', "7"])
def test_damaged_manifest(data, text):
    (data / "radiology" / "MANIFEST.json").write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=r"MANIFEST\.json in radiology is not a list"):
        find_items(data / "radiology")


def test_unknown_split(data):
    with pytest.raises(ValueError, match="split is 'dev'"):
        find_items(data, "dev")


def test_nothing_in_the_split(data):
    with pytest.raises(ReadError, match="lists no train file in lesions"):
        find_items(data / "radiology" / "lesions", "train")


def test_no_split_file(tmp_path):
    with pytest.raises(ReadError, match=r"no SPLIT\.json in nothing here"):
        find_items(tmp_path / "nothing here")


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}'])
def test_damaged_split_file(tmp_path, text):
    (tmp_path / "SPLIT.json").write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=r"SPLIT\.json in .* (cannot be read|has no 'files')"):
        find_items(tmp_path)


@pytest.mark.parametrize(
    ("key", "message"),
    [("a/b.png", "lists 'a/b.png'"), ("m/d/images/gone.png", "no mask for gone.png in d/masks")],
)
def test_files_that_do_not_fit(tmp_path, key, message):
    (tmp_path / "SPLIT.json").write_text(json.dumps({"files": {key: "test"}}), encoding="utf-8")
    with pytest.raises(ReadError, match=message):
        find_items(tmp_path)


def test_every_shared_test_file_has_its_mask(shared_data):
    items = find_items(shared_data)
    assert {i.group for i in items} == {"microscopy", "radiology"}
    assert len({i.dataset for i in items}) == 23
    assert not {i.key for i in items} & {i.key for i in find_items(shared_data, "train")}
    assert {i.modality for i in items} == {
        "CT",
        "MR",
        "PET",
        "ultrasound",
        "electron microscopy",
        "fluorescence",
        "phase contrast",
    }


def test_shared_images_and_masks_agree(shared_data):
    cases = choose_cases(find_items(shared_data), limit=1)
    assert len(cases) == 23
    for case in cases:
        assert case.item.read_volume().shape == case.shape
