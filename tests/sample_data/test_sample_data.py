"""The shipped sample volumes: small, readable, consistent, and what the script generates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage import filters

import stacksam
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PointPrompt
from stacksam.io import read
from stacksam.io.prompt_files import load_prompts
from stacksam.training.synthetic import SAMPLE_SEEDS

FOLDER = Path(stacksam.__file__).parent / "sample_data"
TOOLS = Path(__file__).resolve().parents[2] / "tools"
SAMPLES = {
    "abdomen_ct": ("abdomen_ct.nii.gz", "abdomen_ct_truth.nii.gz"),
    "nuclei": ("nuclei.tif", "nuclei_truth.tif"),
}


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The generating script, imported from the checkout's tools folder."""
    sys.path.insert(0, str(TOOLS))
    try:
        yield import_module("generate_sample_data")
    finally:
        sys.path.remove(str(TOOLS))
        sys.modules.pop("generate_sample_data", None)


def load(name: str) -> Any:
    return np.asarray(read(FOLDER / name).data)


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 3_000_000


@pytest.mark.parametrize("sample", SAMPLES)
def test_truth_lies_on_the_grid_of_its_image(sample: str) -> None:
    image, truth = (read(FOLDER / name) for name in SAMPLES[sample])
    assert image.shape == truth.shape
    assert image.spacing_zyx == pytest.approx(truth.spacing_zyx)
    assert (image.affine is None) == (truth.affine is None)
    if image.affine is not None and truth.affine is not None:
        np.testing.assert_allclose(image.affine, truth.affine)


def test_abdomen_is_in_hounsfield_units() -> None:
    image, truth = read(FOLDER / "abdomen_ct.nii.gz"), load("abdomen_ct_truth.nii.gz")
    hu = np.asarray(image.data)
    assert hu.dtype == np.int16
    assert image.spacing_zyx == pytest.approx((4.0, 2.0, 2.0))
    assert np.median(hu[:, :10, :10]) == pytest.approx(-1000, abs=10)
    names = json.loads((FOLDER / "abdomen_ct_labels.json").read_text(encoding="utf-8"))
    medians = {name: np.median(hu[truth == int(label)]) for label, name in names.items()}
    assert medians["liver"] == pytest.approx(106, abs=6)
    assert medians["spleen"] == pytest.approx(116, abs=6)
    assert medians["left kidney"] == pytest.approx(170, abs=15)
    assert medians["aorta"] == pytest.approx(150, abs=8)
    assert medians["gallbladder"] < 40


def test_liver_cannot_be_found_by_its_intensities() -> None:
    hu, truth = load("abdomen_ct.nii.gz"), load("abdomen_ct_truth.nii.gz")
    liver = truth == 1
    low, high = np.percentile(hu[liver], [5, 95])
    guess = (hu >= low) & (hu <= high)
    dice = 2 * (guess & liver).sum() / (guess.sum() + liver.sum())
    assert dice < 0.75


def test_nuclei_touch_so_that_a_threshold_merges_them() -> None:
    image, truth = read(FOLDER / "nuclei.tif"), load("nuclei_truth.tif")
    counts = np.asarray(image.data)
    assert counts.dtype == np.uint16
    assert image.spacing_zyx == pytest.approx((1e-3, 0.35e-3, 0.35e-3), rel=1e-4)
    assert 20 <= truth.max() <= 30
    bright, _ = ndi.label(counts > filters.threshold_otsu(counts))
    sizes = np.bincount(bright.ravel())[1:]
    assert (sizes > 100).sum() < 0.7 * truth.max()


@pytest.mark.parametrize(("sample", "fewest"), [("abdomen_ct", 6), ("nuclei", 20)])
def test_prompts_are_loose_boxes_around_their_objects(sample: str, fewest: int) -> None:
    truth = load(SAMPLES[sample][1])
    content = load_prompts(FOLDER / f"{sample}_prompts.json", truth.shape)
    assert len(list(content.prompts)) >= fewest
    for prompt in content.prompts:
        assert isinstance(prompt, BoxPrompt)
        mask = truth == prompt.object_id
        assert prompt.index == mask.sum(axis=(1, 2)).argmax()
        rows, columns = np.nonzero(mask[prompt.index])
        tight = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        loosening = (np.array(prompt.yxyx) - tight) * [-1, -1, 1, 1]
        assert loosening.min() >= 0
        assert loosening.max() <= 3


def test_corrections_begin_with_the_boxes_and_point_at_the_truth() -> None:
    truth = load("abdomen_ct_truth.nii.gz")
    boxes = load_prompts(FOLDER / "abdomen_ct_prompts.json", truth.shape)
    corrected = load_prompts(FOLDER / "abdomen_ct_corrected_prompts.json", truth.shape)
    assert corrected.window == boxes.window
    assert corrected.names == boxes.names
    for box in boxes.prompts:
        first, *others = corrected.prompts.by_object()[box.object_id]
        assert isinstance(first, BoxPrompt)
        assert (first.index, first.yxyx) == (box.index, box.yxyx)
        for prompt in others:
            mask = truth[prompt.index] == box.object_id
            if isinstance(prompt, PointPrompt):
                y, x = (int(v) for v in prompt.yx)
                assert mask[y, x] == prompt.positive
            elif isinstance(prompt, MaskPrompt):
                assert prompt.is_absent
                assert not mask.any()
            else:
                assert isinstance(prompt, BoxPrompt)
                assert mask.any()


def test_prompt_files_name_window_and_objects() -> None:
    shape = read(FOLDER / "abdomen_ct.nii.gz").shape
    abdomen = load_prompts(FOLDER / "abdomen_ct_prompts.json", shape)
    labels = json.loads((FOLDER / "abdomen_ct_labels.json").read_text(encoding="utf-8"))
    assert abdomen.window == "ct-soft-tissue"
    assert {"liver", "spleen", "left kidney", "right kidney", "aorta", "spine"} == set(
        abdomen.names.values()
    )
    assert all(labels[str(label)] == name for label, name in abdomen.names.items())
    nuclei = load_prompts(FOLDER / "nuclei_prompts.json", read(FOLDER / "nuclei.tif").shape)
    assert nuclei.window == "auto"


def test_seeds_are_those_the_training_generator_refuses(script: ModuleType) -> None:
    assert {script.ABDOMEN_SEED, script.NUCLEI_SEED} == SAMPLE_SEEDS


def assert_same_up_to_rounding(new: np.ndarray, shipped: np.ndarray) -> None:
    """Equal, but for the few voxels that another platform's arithmetic may round differently."""
    assert new.dtype == shipped.dtype
    assert np.count_nonzero(new != shipped) <= 1e-3 * shipped.size


def test_script_regenerates_the_nuclei(script: ModuleType) -> None:
    image, truth = script.draw_nuclei(script.NUCLEI_SEED)
    assert_same_up_to_rounding(image, load("nuclei.tif"))
    np.testing.assert_array_equal(truth > 0, load("nuclei_truth.tif") > 0)


@pytest.mark.slow
def test_script_regenerates_the_abdomen(script: ModuleType) -> None:
    image, truth = script.draw_abdomen(script.ABDOMEN_SEED)
    assert_same_up_to_rounding(image, load("abdomen_ct.nii.gz"))
    assert_same_up_to_rounding(truth, load("abdomen_ct_truth.nii.gz"))
