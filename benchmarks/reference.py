"""Largest differences between our SAM and the reference implementations, same random weights.

Against transformers' `SamModel`, and against segment-anything's own modules where that package is
installed (``pip install --no-deps segment-anything``; a stub stands in for torchvision, of which
two of its files need a few functions). Random pixels, float32, every combination of prompts.
``slice_...``: our model used on whole slices against segment-anything's `SamPredictor`, from
pixels to masks, with a click, corrections, and a box.

transformers normalises the decoder's tokens with an epsilon of 1e-6 where the published code has
1e-5; that is most of what differs there.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stacksam.core.prompts import BoxPrompt, PointPrompt, Prompt
from stacksam.core.volume import Volume
from stacksam.core.windows import Window
from stacksam.propagation import SlicePredictor
from stacksam.sam.layouts import official_name
from stacksam.sam.official import SAM_CONFIGS, SamConfig, SamModel, build_sam
from stacksam.sam.whole_slice import WholeSlicePredictor

TOLERANCE = 1e-4

PROMPTS = {
    "points": (True, False, False),
    "box": (False, True, False),
    "mask": (False, False, True),
    "points_box": (True, True, False),
    "points_mask": (True, False, True),
    "box_mask": (False, True, True),
    "points_box_mask": (True, True, True),
}


def measure(models: str = "all", seed: int = 0) -> dict[str, float]:
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
            print(
                f"  {name} {reference}: largest {max(differences_in(differences)):.3g}", flush=True
            )
            figures |= {f"{name}_{reference}_{key}": value for key, value in differences.items()}
            gc.collect()
        del ours
    figures["largest_difference"] = max(differences_in(figures))
    figures["tolerance"] = TOLERANCE
    return figures


def differences_in(figures: dict[str, float]) -> list[float]:
    """The differences among the figures, without scales and counts of pixels."""
    return [value for key, value in figures.items() if "largest" not in key and "pixels" not in key]


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
    low_res = side // config.patch_size * 4
    return image, 4 * torch.randn(1, 1, low_res, low_res, generator=generator)


def prompts_of(config: SamConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Points, their labels and a box in pixels of the model's input."""
    scale = config.image_size / 1024
    points = scale * torch.tensor([[[200.0, 300.0], [901.5, 640.25], [31.0, 1020.0]]])
    box = scale * torch.tensor([[100.0, 200.0, 830.0, 910.0]])
    return points, torch.tensor([[1, 0, 1]]), box


@torch.inference_mode()
def compare_transformers(ours: SamModel, config: SamConfig, seed: int) -> dict[str, float]:
    """Differences from transformers' `SamModel`."""
    theirs = transformers_sam(ours, config)
    image, mask = random_inputs(config, seed)
    points, labels, box = prompts_of(config)
    embedding = ours.image_encoder(image)
    their_embedding = theirs.get_image_embeddings(image)
    found = Differences()
    found.add("embedding", embedding.image_embedding, their_embedding)
    for with_points, with_box, with_mask in PROMPTS.values():
        output = ours.decode(
            embedding,
            (points, labels) if with_points else None,
            box if with_box else None,
            mask if with_mask else None,
        )
        expected = theirs(
            image_embeddings=their_embedding,
            input_points=points[None] if with_points else None,
            input_labels=labels[None] if with_points else None,
            input_boxes=box[None] if with_box else None,
            input_masks=mask if with_mask else None,
        )
        found.add("low_res_masks", output.masks[:, 1:], expected.pred_masks)
        found.add("iou_predictions", output.iou_predictions[:, 1:], expected.iou_scores)
    return found.figures


def transformers_sam(ours: SamModel, config: SamConfig, attention: str = "sdpa") -> Any:
    """transformers' `SamModel` with our weights."""
    import transformers

    side = {"image_size": config.image_size, "patch_size": config.patch_size}
    reference = transformers.SamConfig(
        vision_config={
            **side,
            "hidden_size": config.embed_dim,
            "output_channels": config.out_chans,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.num_heads,
            "window_size": config.window_size,
            "global_attn_indexes": list(config.global_attn_indexes),
            "num_pos_feats": config.out_chans // 2,
        },
        prompt_encoder_config={
            **side,
            "hidden_size": config.out_chans,
            "mask_input_channels": config.mask_in_chans,
        },
        mask_decoder_config={
            "hidden_size": config.out_chans,
            "mlp_dim": config.decoder_mlp_dim,
            "num_attention_heads": config.decoder_num_heads,
            "num_hidden_layers": config.decoder_depth,
            "iou_head_hidden_dim": config.iou_head_hidden_dim,
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
    """Differences from segment-anything's modules and from its predictor."""
    theirs = segment_anything_sam(ours, config)
    image, mask_input = random_inputs(config, seed)
    coords, labels, box = prompts_of(config)
    embedding = ours.image_encoder(image)
    their_embedding = theirs.image_encoder(image)
    found = Differences()
    found.add("embedding", embedding.image_embedding, their_embedding)
    for with_points, with_box, with_mask in PROMPTS.values():
        points = (coords, labels) if with_points else None
        boxes, masks = box if with_box else None, mask_input if with_mask else None
        output = ours.decode(embedding, points, boxes, masks)
        sparse, dense = theirs.prompt_encoder(points, boxes, masks)
        expected, expected_iou = theirs.mask_decoder.predict_masks(
            their_embedding, theirs.prompt_encoder.get_dense_pe(), sparse, dense
        )
        found.add("low_res_masks", output.masks, expected)
        found.add("iou_predictions", output.iou_predictions, expected_iou)
    compare_on_slice(found, ours, theirs, seed)
    return found.figures


def segment_anything_sam(ours: SamModel, config: SamConfig) -> Any:
    """segment-anything's `Sam` with our weights."""
    modeling = import_segment_anything().modeling
    grid = config.image_size // config.patch_size
    with torch.device("meta"):
        encoder = modeling.ImageEncoderViT(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            out_chans=config.out_chans,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=config.window_size,
            global_attn_indexes=config.global_attn_indexes,
        )
        prompt_encoder = modeling.PromptEncoder(
            embed_dim=config.out_chans,
            image_embedding_size=(grid, grid),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_in_chans,
        )
        transformer = modeling.TwoWayTransformer(
            depth=config.decoder_depth,
            embedding_dim=config.out_chans,
            num_heads=config.decoder_num_heads,
            mlp_dim=config.decoder_mlp_dim,
        )
        decoder = modeling.MaskDecoder(
            transformer_dim=config.out_chans,
            transformer=transformer,
            iou_head_hidden_dim=config.iou_head_hidden_dim,
        )
    model = modeling.Sam(encoder, prompt_encoder, decoder).eval()
    model.load_state_dict(ours.state_dict(), assign=True)
    return model


def compare_on_slice(found: Differences, ours: SamModel, theirs: Any, seed: int) -> None:
    """The published predictor on a colour image that is not square, as one would use it."""
    side = theirs.image_encoder.img_size
    scale = side / 1024
    shape = (round(700 * scale), round(931 * scale))
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    predictor = import_segment_anything().SamPredictor(theirs)
    predictor.set_image(image)
    model = WholeSlicePredictor(ours, name="random", fingerprint="", device="cpu")
    slices = SlicePredictor(Volume(image, rgb=True), Window(0, 255), model)
    for prompts in _sequences(scale):
        masks, iou, low_res = _published(predictor, prompts)
        prediction = slices.from_prompts(0, 0, prompts)
        found.add("slice_low_res_masks", prediction.logits, low_res)
        found.add("slice_iou_predictions", np.float32(prediction.score), iou.clip(0, 1))
        found.count("slice_pixels_that_differ", prediction.mask != masks)
        found.count("slice_pixels_of_objects", masks)


def _sequences(scale: float) -> Iterator[tuple[Prompt, ...]]:
    """A click, then corrections of it; a box, then a correction of it."""
    click = PointPrompt(1, 1, 0, 0, (300 * scale, 400.5 * scale), True)
    more = PointPrompt(2, 1, 0, 0, (500 * scale, 130 * scale), False)
    box = BoxPrompt(3, 1, 0, 0, (60 * scale, 50 * scale, 500 * scale, 700 * scale))
    yield from ((click,), (click, more), (click, more, click), (box,), (box, more))


def _published(predictor: Any, prompts: tuple[Prompt, ...]) -> tuple[Any, Any, Any]:
    """One prompt after the other; the best of three for a first click, the logits handed on."""
    points: list[tuple[float, ...]] = []
    labels: list[int] = []
    box = low_res = None
    for prompt in prompts:
        if isinstance(prompt, BoxPrompt):
            box = np.array(prompt.yxyx)[[1, 0, 3, 2]]
        elif isinstance(prompt, PointPrompt):
            points, labels = [*points, prompt.yx[::-1]], [*labels, int(prompt.positive)]
        masks, iou, logits = predictor.predict(
            np.array(points) if points else None,
            np.array(labels) if points else None,
            box,
            low_res,
            multimask_output=box is None and len(points) == 1,
        )
        best = int(iou.argmax())
        low_res = logits[best : best + 1]
    return masks[best], iou[best], low_res[0]


class Differences:
    """The largest absolute difference under each name, and the largest value beside it."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def add(self, name: str, ours: Any, theirs: Any) -> None:
        ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
        theirs = theirs.reshape(ours.shape)
        for figure, value in (
            (name, (ours - theirs).abs().max()),
            (f"{name}_largest_value", theirs.abs().max()),
        ):
            self.figures[figure] = max(self.figures.get(figure, 0.0), float(value))

    def count(self, name: str, pixels: np.ndarray) -> None:
        self.figures[name] = self.figures.get(name, 0.0) + float(np.count_nonzero(pixels))


def import_segment_anything() -> ModuleType:
    """Import the package; where torchvision is missing, a stub stands in for it meanwhile."""
    if importlib.util.find_spec("torchvision"):
        return importlib.import_module("segment_anything")
    from PIL import Image

    names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms")
    stubs: dict[str, Any] = {name: ModuleType(name) for name in names}
    functional: Any = ModuleType("torchvision.transforms.functional")
    functional.to_pil_image = Image.fromarray
    functional.resize = lambda image, size: image.resize(size[::-1], Image.Resampling.BILINEAR)
    boxes = stubs["torchvision.ops.boxes"]
    boxes.batched_nms = boxes.box_area = None  # only its automatic mask generator calls them
    stubs[functional.__name__] = functional
    sys.modules.update(stubs)
    try:
        return importlib.import_module("segment_anything")
    finally:  # others would take the stub for the real one
        for name in stubs:
            del sys.modules[name]
