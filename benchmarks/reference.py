"""Largest differences between our SAM and the reference implementations, same random weights.

Against transformers' `SamModel`, and against segment-anything's own modules where that package is
installed (``pip install --no-deps segment-anything``; a stub stands in for torchvision, of which
two of its files need a few functions). Random pixels, float32, every combination of prompts.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stacksam.sam.layouts import official_name
from stacksam.sam.official import SAM_CONFIGS, SamConfig, SamModel, build_sam
from stacksam.sam.whole_slice import WholeSlicePredictor

POINTS = torch.tensor([[[200.0, 300.0], [901.5, 640.25], [31.0, 1020.0]]])
LABELS = torch.tensor([[1, 0, 1]])
BOX = torch.tensor([[100.0, 200.0, 830.0, 910.0]])
PROMPTS = {
    "points": (True, False, False),
    "box": (False, True, False),
    "mask": (False, False, True),
    "points_box": (True, True, False),
    "points_mask": (True, False, True),
    "box_mask": (False, True, True),
    "points_box_mask": (True, True, True),
}


def measure(models: str = "vit_b", seed: int = 0) -> dict[str, float]:
    """Largest absolute differences, by model and reference.

    Parameters
    ----------
    models : str
        Names of `SAM_CONFIGS` with commas between them, or "all".
    seed : int
    """
    figures: dict[str, float] = {}
    for name in SAM_CONFIGS if models == "all" else models.split(","):
        ours = random_sam(SAM_CONFIGS[name], seed)
        for reference, compare in references():
            differences = compare(ours, SAM_CONFIGS[name], seed)
            for figure, value in differences.items():
                figures[f"{name}_{reference}_{figure}"] = value
                print(f"  {name} {reference} {figure}: {value:.3g}", flush=True)
            gc.collect()
    return figures


def references() -> Iterator[tuple[str, Callable[[SamModel, SamConfig, int], dict[str, float]]]]:
    """The reference implementations that are installed."""
    if importlib.util.find_spec("transformers"):
        yield "transformers", compare_transformers
    if importlib.util.find_spec("segment_anything"):
        yield "segment_anything", compare_segment_anything
    else:
        print("  segment-anything is not installed: pip install --no-deps segment-anything")


def random_sam(config: SamConfig, seed: int) -> SamModel:
    """Random weights everywhere, also where training starts from zeros."""
    torch.manual_seed(seed)
    model = build_sam(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        spread = 0.1 if "pos" in name else 0.02
        parameter += spread * torch.randn_like(parameter)
    return model


def random_inputs(config: SamConfig, seed: int) -> tuple[Tensor, Tensor]:
    """A normalised image and the logits of a mask."""
    generator = torch.Generator().manual_seed(seed + 1)
    side = config.image_size
    image = torch.randn(1, 3, side, side, generator=generator)
    return image, 4 * torch.randn(1, 1, side // 4, side // 4, generator=generator)


@torch.inference_mode()
def compare_transformers(ours: SamModel, config: SamConfig, seed: int) -> dict[str, float]:
    """Differences from transformers' `SamModel`."""
    theirs = transformers_sam(ours, config)
    image, mask = random_inputs(config, seed)
    embedding = ours.image_encoder(image)
    their_embedding = theirs.get_image_embeddings(image)
    found = Differences()
    found.add("embedding", embedding.image_embedding, their_embedding)
    for with_points, with_box, with_mask in PROMPTS.values():
        output = ours.decode(
            embedding,
            (POINTS, LABELS) if with_points else None,
            BOX if with_box else None,
            mask if with_mask else None,
        )
        expected = theirs(
            image_embeddings=their_embedding,
            input_points=POINTS[None] if with_points else None,
            input_labels=LABELS[None] if with_points else None,
            input_boxes=BOX[None] if with_box else None,
            input_masks=mask if with_mask else None,
        )
        found.add("low_res_masks", output.masks[:, 1:], expected.pred_masks)
        found.add("iou_predictions", output.iou_predictions[:, 1:], expected.iou_scores)
    return found.largest


def transformers_sam(ours: SamModel, config: SamConfig, attention: str = "sdpa") -> Any:
    """transformers' `SamModel` with our weights."""
    import transformers

    reference = transformers.SamConfig(
        vision_config={
            "hidden_size": config.embed_dim,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.num_heads,
            "global_attn_indexes": list(config.global_attn_indexes),
        },
        attn_implementation=attention,
    )
    with torch.device("meta"):
        model = transformers.SamModel(reference)
    state = ours.state_dict()
    values = {name: state[official_name(name)] for name in model.state_dict()}
    model.load_state_dict(values, assign=True)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def compare_segment_anything(ours: SamModel, config: SamConfig, seed: int) -> dict[str, float]:
    """Differences from segment-anything's modules and from its predictor, from pixels to masks."""
    stub_torchvision()
    import segment_anything

    theirs = segment_anything.sam_model_registry[config.name]()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    image, mask = random_inputs(config, seed)
    embedding = ours.image_encoder(image)
    their_embedding = theirs.image_encoder(image)
    found = Differences()
    found.add("embedding", embedding.image_embedding, their_embedding)
    for with_points, with_box, with_mask in PROMPTS.values():
        points = (POINTS, LABELS) if with_points else None
        boxes, masks = BOX if with_box else None, mask if with_mask else None
        output = ours.decode(embedding, points, boxes, masks)
        sparse, dense = theirs.prompt_encoder(points, boxes, masks)
        expected, expected_iou = theirs.mask_decoder.predict_masks(
            their_embedding, theirs.prompt_encoder.get_dense_pe(), sparse, dense
        )
        found.add("low_res_masks", output.masks, expected)
        found.add("iou_predictions", output.iou_predictions, expected_iou)
    return found.largest | compare_predictors(ours, theirs, segment_anything, seed)


def compare_predictors(
    ours: SamModel, theirs: Any, segment_anything: ModuleType, seed: int
) -> dict[str, float]:
    """The published predictor on a slice that is not square, with point, box and mask."""
    slice_rgb = np.random.default_rng(seed).integers(0, 256, (700, 931, 3), dtype=np.uint8)
    point, label, box = np.array([[400.0, 300.0]]), np.array([1]), np.array([50, 60, 700, 500])
    mask_input = np.random.default_rng(seed + 1).normal(0, 4, (1, 256, 256)).astype(np.float32)
    predictor = segment_anything.SamPredictor(theirs)
    predictor.set_image(slice_rgb)
    masks, iou, low_res = predictor.predict(point, label, box, mask_input)
    whole = WholeSlicePredictor(ours)
    prediction = whole.predict(whole.encode(slice_rgb), point, label, box, mask_input)
    return {
        "predictor_low_res_masks": float(np.abs(prediction.low_res_masks - low_res).max()),
        "predictor_iou_predictions": float(np.abs(prediction.iou_predictions - iou).max()),
        "predictor_pixels_that_differ": float((prediction.masks != masks).sum()),
        "predictor_pixels_of_object": float(masks.sum()),
    }


class Differences:
    """The largest absolute difference under each name, and the largest value beside it."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = {}

    def add(self, name: str, ours: Tensor, theirs: Tensor) -> None:
        theirs = theirs.reshape(ours.shape)
        for figure, value in (
            (name, (ours - theirs).abs().max()),
            (f"{name}_largest_value", theirs.abs().max()),
        ):
            self.largest[figure] = max(self.largest.get(figure, 0.0), float(value))


def stub_torchvision() -> None:
    """Stand in for the functions that segment-anything takes from torchvision."""
    if importlib.util.find_spec("torchvision"):
        return
    from PIL import Image

    names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms")
    for name in (*names, "torchvision.transforms.functional"):
        sys.modules[name] = ModuleType(name)
    boxes: Any = sys.modules["torchvision.ops.boxes"]
    boxes.batched_nms = boxes.box_area = None  # only its automatic mask generator calls them
    functional: Any = sys.modules["torchvision.transforms.functional"]
    functional.to_pil_image = Image.fromarray
    functional.resize = lambda image, size: image.resize(size[::-1], Image.Resampling.BILINEAR)
