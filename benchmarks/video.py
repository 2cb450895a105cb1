"""Memory propagation with SAM 2.1's official sizes and random weights, against two other loops.

Against transformers' own video loop on the same slices of the shipped nuclei, and, where
`--references` holds a checkout called sam2, transformers' network against the publisher's with the
same weights (its package needs hydra and iopath only to be imported; stubs stand in).
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import stacksam
from stacksam.core.prompts import BoxPrompt, PromptSet
from stacksam.core.windows import apply_window, resolve_window
from stacksam.propagation import SlicePredictor, make_plan
from stacksam.propagation.memory import run_memory_plan
from stacksam.sam.video_models import VideoPredictor, preprocess_slice
from stacksam.sam.video_weights import BLOCKS, _config_of, build_video_model

sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import Differences

BOX = (10.0, 10.0, 60.0, 60.0)
WIDTHS = {"tiny": (96, 12), "small": (96, 16), "base-plus": (112, 24), "large": (144, 48)}


def measure(
    size: str = "tiny",
    image_size: int = 1024,
    slices: int = 5,
    seed: int = 0,
    references: str = "../references",
) -> dict[str, float]:
    """Largest differences, slices with a mask, seconds per slice.

    Parameters
    ----------
    size : str
        tiny, small, base-plus or large.
    image_size : int
        Side of the model's input: 1024, or 512 as for MedSAM2.
    slices : int
        Of the nuclei stack.
    seed : int
    references : str
        Folder in which a checkout sam2 may lie.
    """
    network = random_network(size, image_size, seed)
    figures = compare_loops(network, slices)
    folder = Path(references) / "sam2"
    if folder.is_dir() and size == "tiny":
        return figures | compare_publisher(folder, image_size, seed)
    print(f"  publisher's code: left out, no checkout sam2 in {references} (or not tiny)")
    return figures


def random_network(size: str, image_size: int, seed: int) -> Any:
    """transformers' network with random weights that sees an object everywhere."""
    import transformers

    torch.manual_seed(seed)
    shapes = {
        "vision_encoder.backbone.patch_embed.projection.bias": torch.zeros(WIDTHS[size][0]),
        "vision_encoder.backbone.pos_embed": torch.zeros(1, 1, *background(size)),
        f"vision_encoder.backbone.blocks.{WIDTHS[size][1] - 1}.": torch.zeros(1),
        "occlusion_spatial_embedding_parameter": torch.zeros(1),
        "temporal_positional_encoding_projection_layer.weight": torch.zeros(1),
    }
    assert WIDTHS[size] in BLOCKS
    network = transformers.Sam2VideoModel(_config_of(shapes, image_size)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return network.requires_grad_(False)


def background(size: str) -> tuple[int, int]:
    """Side of the grid of positions in the published checkpoint."""
    return (14, 14) if size == "base-plus" else (7, 7)


def compare_loops(network: Any, slices: int) -> dict[str, float]:
    """Our propagation and transformers', from a box on the middle slice, both ways."""
    model = VideoPredictor(network, name="random", fingerprint="random", device="cpu")
    path = Path(stacksam.__file__).parent / "sample_data" / "nuclei.tif"
    data = np.asarray(stacksam.read(path).data)[:slices]
    volume = stacksam.Volume(data)
    window = resolve_window(volume, "auto")
    start = slices // 2
    prompts = PromptSet((BoxPrompt(1, 1, 0, start, BOX),))
    plan = make_plan(prompts, 1, 0, slices)
    started = time.perf_counter()
    ours = dict(run_memory_plan(SlicePredictor(volume, window, model), plan, patience=None))
    seconds = (time.perf_counter() - started) / slices
    images = (apply_window(volume.read_slice(i, 0), window) for i in range(slices))
    frames = torch.cat([preprocess_slice(image, model.input_size) for image in images])
    theirs = transformers_loop(network, frames, start, data.shape[1:])
    found = Differences()
    pixels = 0
    for index, logits in theirs.items():
        mask = F.interpolate(logits, data.shape[1:], mode="bilinear")[0, 0].numpy() > 0
        if index not in ours:
            pixels += int(mask.sum())
            continue
        found.add("loop_logits", ours[index].logits, logits)
        pixels += int((mask != ours[index].mask).sum())
    return {
        **found.figures,
        "loop_pixels_that_differ": float(pixels),
        "loop_slices_with_a_mask": float(sum(p.mask.any() for p in ours.values())),
        "seconds_per_slice": seconds,
    }


@torch.inference_mode()
def transformers_loop(
    network: Any, frames: torch.Tensor, start: int, shape: tuple[int, int]
) -> dict[int, torch.Tensor]:
    """transformers' own loop: a box, forward, then in reverse."""
    import transformers

    side = frames.shape[-1]
    session = transformers.Sam2VideoInferenceSession(
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
def compare_publisher(folder: Path, image_size: int, seed: int) -> dict[str, float]:
    """Three frames through the publisher's network and transformers', same weights."""
    theirs = publishers_network(folder, image_size, seed)
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


def publishers_network(folder: Path, image_size: int, seed: int) -> Any:
    """The publisher's network out of its configuration file."""
    import yaml

    package = ModuleType("sam2")
    package.__path__ = [str(folder / "sam2")]
    stubs: dict[str, Any] = {"sam2": package}
    stubs |= {n: ModuleType(n) for n in ("iopath", "iopath.common", "iopath.common.file_io")}
    stubs["iopath.common.file_io"].g_pathmgr = None
    sys.modules.update(stubs)
    path = folder / "sam2" / "configs" / "sam2.1" / "sam2.1_hiera_t.yaml"
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
        values["memory_attention"]["layer"][part]["feat_sizes"] = [image_size // 16] * 2
    torch.manual_seed(seed)
    network = made(values).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return network.requires_grad_(False)


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
