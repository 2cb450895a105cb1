"""Small networks of every family, with random weights everywhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from sam_models import TINY_SAM
from stacksam.sam.efficient_sam import EfficientSamConfig, build_efficient_sam
from stacksam.sam.model import PromptableModel
from stacksam.sam.sam_med2d import build_sam_med2d
from stacksam.sam.tiny_vit import MobileSamConfig, build_mobile_sam

SMALL_DECODER = {"out_chans": 32, "decoder_mlp_dim": 64, "iou_head_hidden_dim": 48}
CONFIGS = {
    "mobile-sam": MobileSamConfig(
        embed_dims=(8, 16, 16, 32),
        depths=(1, 1, 2, 1),
        num_heads=(2, 2, 4),
        window_sizes=(3, 5, 3),
        rest=replace(TINY_SAM, name="mobile-sam", depth=0, image_size=1024),
    ),
    "efficient-sam": EfficientSamConfig(
        embed_dim=64, depth=2, num_heads=1, mlp_dim=96, upscaling_dims=(16, 8), **SMALL_DECODER
    ),
    "sam-med2d": TINY_SAM,
}
BUILDERS = {
    "mobile-sam": build_mobile_sam,
    "efficient-sam": build_efficient_sam,
    "sam-med2d": build_sam_med2d,
}


@cache
def family_network(family: str) -> PromptableModel:
    """A small network; leave it as it is."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = BUILDERS[family](CONFIGS[family])
        for value in model.state_dict().values():
            noise = 0.2 * torch.randn_like(value)
            value += noise
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return model.eval().requires_grad_(False)
