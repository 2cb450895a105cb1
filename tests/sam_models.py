"""A tiny SAM of ours with random weights, and transformers' with the same ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from stacksam.sam.layouts import official_name
from stacksam.sam.official import SamConfig, SamModel, build_sam

TINY_SAM = SamConfig(
    name="custom",
    embed_dim=32,
    depth=3,
    num_heads=4,
    global_attn_indexes=(1,),
    window_size=3,
    image_size=128,
    out_chans=32,
    decoder_mlp_dim=64,
    iou_head_hidden_dim=48,
)


def tiny_sam() -> SamModel:
    """Random weights everywhere, also where training starts from zeros.

    The same weights in a new network each time: a predictor changes its network's memory format.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_sam(TINY_SAM).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return model.requires_grad_(False)


@cache
def transformers_sam() -> Any:
    """transformers' SamModel with the weights of `tiny_sam`; skips where it is not installed."""
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": TINY_SAM.embed_dim,
            "output_channels": TINY_SAM.out_chans,
            "num_hidden_layers": TINY_SAM.depth,
            "num_attention_heads": TINY_SAM.num_heads,
            "image_size": TINY_SAM.image_size,
            "patch_size": TINY_SAM.patch_size,
            "window_size": TINY_SAM.window_size,
            "global_attn_indexes": list(TINY_SAM.global_attn_indexes),
            "num_pos_feats": TINY_SAM.out_chans // 2,
        },
        prompt_encoder_config={
            "hidden_size": TINY_SAM.out_chans,
            "image_size": TINY_SAM.image_size,
            "patch_size": TINY_SAM.patch_size,
            "mask_input_channels": TINY_SAM.mask_in_chans,
        },
        mask_decoder_config={
            "hidden_size": TINY_SAM.out_chans,
            "mlp_dim": TINY_SAM.decoder_mlp_dim,
            "num_attention_heads": TINY_SAM.decoder_num_heads,
            "num_hidden_layers": TINY_SAM.decoder_depth,
            "iou_head_hidden_dim": TINY_SAM.iou_head_hidden_dim,
        },
    )
    with torch.random.fork_rng(devices=[]):
        model = transformers.SamModel(config).eval()
    ours = tiny_sam().state_dict()
    model.load_state_dict({name: ours[official_name(name)] for name in model.state_dict()})
    return model.requires_grad_(False)
