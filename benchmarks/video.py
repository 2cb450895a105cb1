"""Memory propagation with official sizes and random weights, against two other loops.

Through a `Session` against transformers' own video loop on the same slices of the shipped nuclei,
and, where `--references` holds the publisher's checkout (sam2, MedSAM2 or EdgeTAM), the publisher's
network against transformers' with the same weights (hydra and iopath are needed by their packages
only to be imported; stubs stand in). EdgeTAM needs timm.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import stacksam
from stacksam.core.prompts import BoxPrompt, PromptSet
from stacksam.core.windows import apply_window
from stacksam.propagation import make_plan
from stacksam.propagation.memory import run_memory_plan
from stacksam.sam.edgetam_weights import edgetam_config
from stacksam.sam.video_models import VideoPredictor, preprocess_slice
from stacksam.sam.video_weights import _config_of, build_video_model

sys.path.insert(0, str(Path(__file__).resolve().parent))

from families import write_manifest
from reference import Differences

BOX = (10.0, 10.0, 60.0, 60.0)
WIDTHS = {"tiny": (96, 12), "small": (96, 16), "base-plus": (112, 24), "large": (144, 48)}

PUBLISHERS = {
    ("tiny", 1024): ("sam2", "configs/sam2.1/sam2.1_hiera_t.yaml"),
    ("small", 1024): ("sam2", "configs/sam2.1/sam2.1_hiera_s.yaml"),
    ("base-plus", 1024): ("sam2", "configs/sam2.1/sam2.1_hiera_b+.yaml"),
    ("large", 1024): ("sam2", "configs/sam2.1/sam2.1_hiera_l.yaml"),
    ("tiny", 512): ("MedSAM2", "configs/sam2.1_hiera_t512.yaml"),
    ("edgetam", 1024): ("EdgeTAM", "configs/edgetam.yaml"),
}
"""Checkout and configuration by size and side of the input."""

PACKAGES = ("sam2", "efficient_track_anything")
"""Imported from a checkout without what its first file imports."""


def measure(
    size: str = "tiny",
    image_size: int = 1024,
    slices: int = 5,
    seed: int = 0,
    references: str = "../references",
    manifests: str = "",
) -> dict[str, float]:
    """Largest differences, slices with a mask, seconds per slice.

    Parameters
    ----------
    size : str
        tiny, small, base-plus or large of SAM 2.1, or edgetam.
    image_size : int
        Side of the model's input: 1024, or 512 as for MedSAM2.
    slices : int
        Of the nuclei stack; 0 leaves out the comparison with transformers' loop.
    seed : int
    references : str
        Folder in which the publisher's checkout may lie.
    manifests : str
        Folder for the names and shapes of the publisher's weights; see `benchmarks/families.py`.
    """
    figures: dict[str, float] = {}
    if slices:
        figures |= compare_loops(random_network(size, image_size, seed), slices)
    name, configuration = PUBLISHERS.get((size, image_size), ("", ""))
    folder = Path(references) / name
    if not name or not folder.is_dir():
        print(f"  publisher's code: left out, no checkout {name} in {references}", flush=True)
        return figures
    theirs = publishers_network(folder, configuration, image_size, seed)
    if manifests:
        write_manifest(theirs.state_dict(), Path(manifests) / f"{name.lower()}_{size}.json")
    return figures | compare_publisher(theirs, image_size, seed)


def random_network(size: str, image_size: int, seed: int) -> Any:
    """transformers' network with random weights that sees an object everywhere."""
    import transformers

    torch.manual_seed(seed)
    if size == "edgetam":
        network = transformers.EdgeTamVideoModel(edgetam_config()).eval()
    else:
        network = transformers.Sam2VideoModel(_config_of(shapes_of(size), image_size)).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():  # so that masks have an outline
            spread = 0.1 if name.startswith("mask_decoder.") else 0.02
            parameter += spread * torch.randn_like(parameter)
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return network.requires_grad_(False)


def shapes_of(size: str) -> dict[str, torch.Tensor]:
    """The weights by which a size of SAM 2.1 is recognised."""
    width, depth = WIDTHS[size]
    return {
        "vision_encoder.backbone.patch_embed.projection.bias": torch.zeros(width),
        "vision_encoder.backbone.pos_embed": torch.zeros(1, 1, *background(size)),
        f"vision_encoder.backbone.blocks.{depth - 1}.": torch.zeros(1),
        "occlusion_spatial_embedding_parameter": torch.zeros(1),
        "temporal_positional_encoding_projection_layer.weight": torch.zeros(1),
    }


def background(size: str) -> tuple[int, int]:
    """Side of the grid of positions in the published checkpoint."""
    return (14, 14) if size == "base-plus" else (7, 7)


def compare_loops(network: Any, slices: int) -> dict[str, float]:
    """A session's propagation and transformers', from a box on the middle slice, both ways."""
    model = VideoPredictor(network, name="random", fingerprint="random", device="cpu")
    path = Path(stacksam.__file__).parent / "sample_data" / "nuclei.tif"
    data = np.asarray(stacksam.read(path).data)[:slices]
    session = stacksam.Session(stacksam.Volume(data), model)
    start = slices // 2
    session.add_box(1, start, BOX)
    started = time.perf_counter()
    masks = np.asarray(session.propagate(1).mask)
    seconds = (time.perf_counter() - started) / slices
    plan = make_plan(PromptSet((BoxPrompt(1, 1, 0, start, BOX),)), 1, 0, slices)
    ours = dict(run_memory_plan(session.predictor, plan, patience=None))
    images = (apply_window(image, session.window) for image in data)
    frames = torch.cat([preprocess_slice(image, model.input_size) for image in images])
    theirs = transformers_loop(network, frames, start, data.shape[1:])
    found = Differences()
    pixels = 0
    for index, logits in theirs.items():
        mask = F.interpolate(logits, data.shape[1:], mode="bilinear")[0, 0].numpy() > 0
        pixels += int((mask != masks[index]).sum())
        if index in ours:
            found.add("loop_logits", ours[index].logits, logits)
    return {
        **found.figures,
        "loop_pixels_that_differ": float(pixels),
        "loop_pixels_of_masks": float(masks.sum()),
        "loop_slices_with_a_mask": float(masks.any((1, 2)).sum()),
        "seconds_per_slice": seconds,
    }


@torch.inference_mode()
def transformers_loop(
    network: Any, frames: torch.Tensor, start: int, shape: tuple[int, int]
) -> dict[int, torch.Tensor]:
    """transformers' own loop: a box, forward, then in reverse."""
    import transformers

    side = frames.shape[-1]
    is_edgetam = network.config.model_type == "edgetam_video"
    kind = "EdgeTamVideoInferenceSession" if is_edgetam else "Sam2VideoInferenceSession"
    session = getattr(transformers, kind)(
        video=frames, video_height=side, video_width=side, dtype=torch.float32
    )
    index = session.obj_id_to_idx(1)
    y0, x0, y1, x1 = BOX
    scale = torch.tensor([side / shape[1], side / shape[0]], dtype=torch.float64)
    coords = (torch.tensor([[x0, y0], [x1, y1]], dtype=torch.float64) * scale).float()
    labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
    inputs = {"point_coords": coords[None, None], "point_labels": labels}
    session.add_point_inputs(index, start, inputs)
    session.obj_with_new_inputs = [1]
    found = {start: network(inference_session=session, frame_idx=start).pred_masks}
    for is_reverse in (False, True):
        for output in network.propagate_in_video_iterator(
            session, start_frame_idx=start, reverse=is_reverse
        ):
            found[output.frame_idx] = output.pred_masks
    return found


@torch.inference_mode()
def compare_publisher(theirs: Any, image_size: int, seed: int) -> dict[str, float]:
    """Three frames through the publisher's network and transformers', same weights."""
    state = {name: value.clone() for name, value in theirs.state_dict().items()}
    network = build_video_model(state, image_size=image_size)
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(3, 3, image_size, image_size, generator=generator)
    points = image_size * torch.tensor([[[0.3, 0.4]]])
    expected = publishers_loop(theirs, frames, points)
    model = VideoPredictor(network, name="random", fingerprint="random", device="cpu")
    track = model.track(len(frames))
    found = Differences()
    for index, frame in enumerate(frames):
        output = network.get_image_features(frame[None], return_dict=True)
        model._positions = list(output.fpn_position_encoding)
        levels = [
            level.permute(1, 2, 0).unflatten(2, tuple(size))
            for level, size in zip(
                output.fpn_hidden_states, network.backbone_feature_sizes, strict=True
            )
        ]
        embedding = stacksam.sam.compact_encoder.Embedding(levels[2], (levels[1], levels[0]))
        found.add("publisher_embedding", levels[2], expected[index][0])
        if index == 0:
            prompts = stacksam.sam.FieldPrompts(
                points_yx=((float(points[0, 0, 1]), float(points[0, 0, 0])),), is_positive=(True,)
            )
            seen = track.add_prompts(index, embedding, prompts)
        else:
            seen = track.step(index, embedding, is_reverse=False)
        found.add("publisher_logits", seen.logits, expected[index][1])
    return found.figures


def publishers_loop(
    network: Any, frames: torch.Tensor, points: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Embedding and low-resolution logits of each frame: a click on the first one, then forward."""
    outputs: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    found = []
    for index, frame in enumerate(frames):
        features = network.forward_image(frame[None])
        _, levels, positions, sizes = network._prepare_backbone_features(features)
        is_first = index == 0
        current = network.track_step(
            frame_idx=index,
            is_init_cond_frame=is_first,
            current_vision_feats=levels,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs={"point_coords": points, "point_labels": torch.ones(1, 1).int()}
            if is_first
            else None,
            mask_inputs=None,
            output_dict=outputs,
            num_frames=len(frames),
        )
        # Its predictor keeps memories as halves, as transformers does.
        current["maskmem_features"] = current["maskmem_features"].to(torch.bfloat16)
        outputs["cond_frame_outputs" if is_first else "non_cond_frame_outputs"][index] = current
        top = levels[-1].permute(1, 2, 0).unflatten(2, sizes[-1])
        found.append((top, current["pred_masks"]))
    return found


def publishers_network(folder: Path, configuration: str, image_size: int, seed: int) -> Any:
    """The publisher's network out of its configuration file."""
    import yaml

    names = ("iopath", "iopath.common", "iopath.common.file_io", *PACKAGES)
    stubs: dict[str, Any] = {name: ModuleType(name) for name in names}
    for name in PACKAGES:
        stubs[name].__path__ = [str(folder / name)]
    stubs["iopath.common.file_io"].g_pathmgr = None
    sys.modules.update(stubs)
    path = folder / "sam2" / configuration
    values = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]
    values["image_size"] = image_size
    # As its video predictor is built.
    values["binarize_mask_from_pts_for_mem_enc"] = True
    values["sam_mask_decoder_extra_args"] = {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    }
    for part in ("self_attention", "cross_attention"):
        layer = values["memory_attention"]["layer"][part]
        layer |= {"feat_sizes": [image_size // 16] * 2} if "feat_sizes" in layer else {}
    torch.manual_seed(seed)
    with offline_timm():
        network = made(values).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return network.requires_grad_(False)


@contextmanager
def offline_timm() -> Iterator[None]:
    """Without the weights that EdgeTAM's code asks timm to download."""
    if importlib.util.find_spec("timm") is None:
        yield
        return
    import timm.models

    create = timm.models.create_model
    timm.models.create_model = lambda name, pretrained, **options: create(
        name.split(".")[0], pretrained=False, **options
    )
    try:
        yield
    finally:
        timm.models.create_model = create


def made(value: Any) -> Any:
    """Build what a configuration describes: ``_target_`` names a class, the rest its arguments."""
    if isinstance(value, list):
        return [made(item) for item in value]
    if not isinstance(value, dict):
        return float(value) if value == "1e-6" else value
    arguments = {name: made(item) for name, item in value.items() if name != "_target_"}
    if "_target_" not in value:
        return arguments
    module, name = value["_target_"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**arguments)
