"""A tiny SAM of ours, and transformers' with the same weights."""

from __future__ import annotations

import pytest
import torch

from stacksam.sam.layouts import official_name
from stacksam.sam.official import SamConfig, build_sam

TINY = SamConfig(
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


@pytest.fixture(scope="session")
def tiny_config():
    return TINY


@pytest.fixture(scope="session")
def tiny_sam():
    """Random weights everywhere, also where training starts from zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_sam(TINY).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def reference_sam(tiny_sam):
    """transformers' SamModel with the weights of `tiny_sam`."""
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": TINY.embed_dim,
            "output_channels": TINY.out_chans,
            "num_hidden_layers": TINY.depth,
            "num_attention_heads": TINY.num_heads,
            "image_size": TINY.image_size,
            "patch_size": TINY.patch_size,
            "window_size": TINY.window_size,
            "global_attn_indexes": list(TINY.global_attn_indexes),
            "num_pos_feats": TINY.out_chans // 2,
        },
        prompt_encoder_config={
            "hidden_size": TINY.out_chans,
            "image_size": TINY.image_size,
            "patch_size": TINY.patch_size,
            "mask_input_channels": TINY.mask_in_chans,
        },
        mask_decoder_config={
            "hidden_size": TINY.out_chans,
            "mlp_dim": TINY.decoder_mlp_dim,
            "num_attention_heads": TINY.decoder_num_heads,
            "num_hidden_layers": TINY.decoder_depth,
            "iou_head_hidden_dim": TINY.iou_head_hidden_dim,
        },
    )
    with torch.random.fork_rng(devices=[]):
        model = transformers.SamModel(config).eval()
    ours = tiny_sam.state_dict()
    model.load_state_dict({name: ours[official_name(name)] for name in model.state_dict()})
    return model.requires_grad_(False)
