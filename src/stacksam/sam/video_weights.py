"""Networks with a memory for transformers: sizes read off the weights, names in its layout."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stacksam.core.errors import StackSAMError
from stacksam.sam.edgetam_weights import (
    edgetam_config,
    has_perceiver,
    need_timm,
    rename_perceiver,
)

MARK = "memory_attention."
"""Part of a name that only networks with a memory have."""

BLOCKS = {
    (96, 12): ([1, 2, 7, 2], 1, [8, 4, 14, 7], [5, 7, 9]),
    (96, 16): ([1, 2, 11, 2], 1, [8, 4, 14, 7], [7, 10, 13]),
    (112, 24): ([2, 3, 16, 3], 2, [8, 4, 14, 7], [12, 16, 20]),
    (144, 48): ([2, 6, 36, 4], 2, [8, 4, 16, 8], [23, 33, 43]),
}
"""By width and number of blocks: blocks per stage, heads of the first stage, windows, global blocks
(tiny, small, base-plus and large; from the configurations in the publisher's repository)."""

OFFICIAL_NAMES = (
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"mask_downsampler\.encoder\.12\.", "mask_downsampler.final_conv."),
    (r"\.pix_feat_proj\.", ".feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"\.fuser\.layers\.(\d+)\.gamma$", r".memory_fuser.layers.\1.scale"),
    (r"\.fuser\.layers\.(\d+)\.dwconv\.", r".memory_fuser.layers.\1.depthwise_conv."),
    (r"\.fuser\.layers\.(\d+)\.pwconv(\d)\.", r".memory_fuser.layers.\1.pointwise_conv\2."),
    (r"\.fuser\.layers\.(\d+)\.norm\.", r".memory_fuser.layers.\1.layer_norm."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"_attn(_token_to_image|_image_to_token|_image)?\.out_proj\.", r"_attn\1.o_proj."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
)
"""Patterns of the publisher's names and transformers', applied in this order."""

THREE_LAYERS = re.compile(r"(.*(?:_mlps\.\d+|_head|object_pointer_proj)\.)layers\.([012])\.(.*)")
DOWNSAMPLER = re.compile(r"(.*mask_downsampler\.)encoder\.(\d+)\.(.*)")
POINTS = re.compile(r"prompt_encoder\.point_embeddings\.(\d)\.weight")
POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def has_memory(state: Mapping[str, Tensor]) -> bool:
    """Whether weights are those of SAM 2 or a relative."""
    return any(MARK in name for name in state)


def build_video_model(
    state: Mapping[str, Tensor], file: Path | None = None, *, image_size: int = 1024
) -> Any:
    """Build transformers' network for SAM 2, MedSAM2 or EdgeTAM.

    Parameters
    ----------
    state : mapping of names to tensors
        The publisher's names or transformers'.
    file : Path, optional
        Where they come from; a ``config.json`` beside it tells the sizes.
    image_size : int
        Side of the model's input, where no ``config.json`` tells it.

    Returns
    -------
    network : transformers.Sam2VideoModel or transformers.EdgeTamVideoModel
        In float32, in evaluation mode.

    Raises
    ------
    ValueError
        If the weights are incomplete or of an unknown size; the message continues "the checkpoint
        NAME ...".
    StackSAMError
        If the extra ``models`` is not installed, or timm for EdgeTAM.
    """
    need_transformers()
    if has_perceiver(state):
        need_timm()
    import transformers

    config = _config_beside(file)
    if config is None:
        state = to_transformers(state)
        config = edgetam_config() if has_perceiver(state) else _config_of(state, image_size)
    kind = {"edgetam_video": "EdgeTamVideoModel"}.get(config.model_type, "Sam2VideoModel")
    with torch.random.fork_rng(devices=[]):
        network = getattr(transformers, kind)(config)
    expected = network.state_dict()
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which {kind} has not"
        raise ValueError(f"{what}; get it again or choose another file")
    try:
        network.load_state_dict({name: state[name].float() for name in expected})
    except RuntimeError as error:
        raise ValueError("has weights of other sizes; choose another file") from error
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise ValueError("holds values that are not finite numbers; get it again")
    return network.eval().requires_grad_(False)


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring the publishers' names of SAM 2 and EdgeTAM to transformers'; those stay as they are."""
    if any(name.startswith("vision_encoder.") for name in state):
        return dict(state)
    named: dict[str, Tensor] = {}
    points: dict[int, Tensor] = {}
    for name, value in state.items():
        renamed = transformers_name(name)
        if renamed == POSITIONS:
            named["shared_image_embedding.positional_embedding"] = value
            named["prompt_encoder.shared_embedding.positional_embedding"] = value
        elif match := POINTS.fullmatch(renamed):
            points[int(match[1])] = value
        else:
            named[renamed] = value
    if len(points) == 4:
        named["prompt_encoder.point_embed.weight"] = torch.cat([points[i] for i in range(4)])
    return rename_perceiver(named) if has_perceiver(named) else named


def transformers_name(name: str) -> str:
    """A weight's name in transformers' `Sam2VideoModel`.

    Examples
    --------
    >>> transformers_name("sam_mask_decoder.iou_prediction_head.layers.2.bias")
    'mask_decoder.iou_prediction_head.proj_out.bias'
    >>> transformers_name("memory_encoder.mask_downsampler.encoder.3.weight")
    'memory_encoder.mask_downsampler.layers.1.conv.weight'
    """
    for pattern, replacement in OFFICIAL_NAMES:
        name = re.sub(pattern, replacement, name)
    if match := THREE_LAYERS.fullmatch(name):
        part = ("proj_in", "layers.0", "proj_out")[int(match[2])]
        return f"{match[1]}{part}.{match[3]}"
    if match := DOWNSAMPLER.fullmatch(name):
        layer, place = divmod(int(match[2]), 3)
        return f"{match[1]}layers.{layer}.{('conv', 'layer_norm')[place]}.{match[3]}"
    return name


def need_transformers() -> None:
    """StackSAMError where the extra ``models`` is not installed, or too old for SAM 2."""
    if find_spec("transformers") is not None:
        import transformers

        if hasattr(transformers, "Sam2VideoModel"):
            return
    raise StackSAMError(
        'SAM 2 needs a recent transformers; pip install -U "napari-stacksam[models]" brings it'
    )


def _config_beside(file: Path | None) -> Any:
    """What a ``config.json`` in the file's folder says, if it is one of these networks'."""
    path = None if file is None else file.with_name("config.json")
    if path is None or not path.is_file():
        return None
    import transformers

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        names = {"sam2_video": "Sam2VideoConfig", "edgetam_video": "EdgeTamVideoConfig"}
        kind = names.get(values.get("model_type"))
        return None if kind is None else getattr(transformers, kind).from_dict(values)
    except Exception as error:
        raise ValueError("lies beside a config.json that cannot be read; get both again") from error


def _config_of(state: Mapping[str, Tensor], image_size: int) -> Any:
    """Sizes of the published networks, by what the weights look like."""
    import transformers

    backbone = "vision_encoder.backbone."
    try:
        width = len(state[backbone + "patch_embed.projection.bias"])
        background = list(state[backbone + "pos_embed"].shape[-2:])
    except KeyError as error:
        raise ValueError(f"lacks {error.args[0]}; choose another file") from error
    found = (re.match(rf"{re.escape(backbone)}blocks\.(\d+)\.", name) for name in state)
    depth = 1 + max((int(match[1]) for match in found if match), default=-1)
    if (width, depth) not in BLOCKS:
        raise ValueError(f"holds a SAM 2 of {depth} blocks of width {width}, which is unknown")
    per_stage, heads, windows, global_blocks = BLOCKS[width, depth]
    widths = [width * 2**i for i in range(4)]
    sizes = [[image_size // step] * 2 for step in (4, 8, 16)]
    return transformers.Sam2VideoConfig(
        image_size=image_size,
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": width,
                "num_attention_heads": heads,
                "image_size": [image_size, image_size],
                "blocks_per_stage": per_stage,
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [heads * 2**i for i in range(4)],
                "window_size_per_stage": windows,
                "global_attention_blocks": global_blocks,
                "window_positional_embedding_background_size": background,
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": sizes,
        },
        prompt_encoder_config={"image_size": image_size},
        memory_attention_rope_feat_sizes=sizes[-1],
        enable_occlusion_spatial_embedding="occlusion_spatial_embedding_parameter" in state,
        enable_temporal_pos_encoding_for_object_pointers=(
            "temporal_positional_encoding_projection_layer.weight" in state
        ),
    )
