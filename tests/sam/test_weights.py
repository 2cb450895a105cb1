"""The shipped weights: they fit the package and use both the image and the prompts."""

from __future__ import annotations

import numpy as np
import pytest

import stacksam
from stacksam.core.metrics import iou
from stacksam.sam import FieldPrompts
from stacksam.sam.registry import MODELS
from stacksam.training.synthetic import generate_image

pytestmark = pytest.mark.skipif(
    not MODELS["compact"].is_here, reason="weights/compact.safetensors is not in this checkout"
)
MEGABYTES = 2**20


@pytest.fixture(scope="module")
def model():
    return stacksam.load_model("compact", device="cpu")


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[:256, :256]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def segment(model, image: np.ndarray, prompts: FieldPrompts) -> np.ndarray:
    logits = model.decode(model.encode(image.astype(np.float32)), prompts).logits[0]
    return np.kron(logits > 0, np.ones((2, 2), bool))


def test_they_are_small_enough_for_the_wheel():
    assert MODELS["compact"].path.stat().st_size <= 16 * MEGABYTES


def test_a_box_gives_the_disc_inside(model):
    wanted = disc(120, 130, 50)
    noise = np.random.default_rng(0).normal(0, 0.05, (256, 256))
    image = np.clip(0.2 + 0.5 * wanted + noise, 0, 1)
    assert iou(wanted, segment(model, image, FieldPrompts(box_yxyx=(68, 78, 172, 182)))) > 0.85


def test_one_click_finds_a_large_and_a_small_disc(model):
    noise = np.random.default_rng(1).normal(0, 0.03, (256, 256))
    for radius in (25, 60):
        wanted = disc(128, 128, radius)
        image = np.clip(0.15 + 0.6 * wanted + noise, 0, 1)
        prediction = model.decode(
            model.encode(image.astype(np.float32)),
            FieldPrompts(points_yx=((128.0, 128.0),), is_positive=(True,)),
        )
        best = prediction.logits[1 + int(np.argmax(prediction.scores[1:]))]
        assert iou(wanted, np.kron(best > 0, np.ones((2, 2), bool))) > 0.6, radius


def test_another_image_under_the_same_prompts_gives_another_mask(model):
    """A network may learn to fill boxes without ever looking (docs/decisions/0008)."""
    prompts = FieldPrompts(box_yxyx=(60, 60, 190, 190))
    masks = []
    for seed in range(100, 108):
        image = generate_image(seed)[0] / 255
        masks.append(segment(model, image, prompts))
        embedding = model.encode(image.astype(np.float32)).image_embedding
        assert float(embedding.float().std()) > 0.05
    overlaps = [iou(a, b) for i, a in enumerate(masks) for b in masks[:i]]
    assert np.mean(overlaps) < 0.9


def test_a_neighbours_mask_is_followed_but_not_copied(model):
    shown, known = disc(128, 140, 45), disc(128, 122, 45)
    image = np.clip(0.2 + 0.6 * shown, 0, 1)
    logits = np.where(known[::2, ::2], 8.0, -8.0).astype(np.float32)
    found = segment(model, image, FieldPrompts(logits=logits, is_neighbour=True))
    assert iou(shown, found) > iou(known, shown)
