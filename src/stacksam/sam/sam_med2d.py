"""SAM-Med2D: SAM with an adapter in every block, at 256 x 256 pixels (Cheng et al. 2023).

The adapter works beside the MLP on the same normed tokens: channels are weighted by what the whole
image holds, then pass through an hourglass of two convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.image_encoder import MLPBlock
from stacksam.sam.official import SamConfig, SamModel, build_sam

REDUCTION = 4
"""Of the channel weights' hidden layer."""


class Adapter(nn.Module):
    """Channel weights and an hourglass, added to the tokens; (B, h, w, C) in and out."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        hidden = dim // REDUCTION
        self.channel = nn.Sequential(
            nn.Linear(dim, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, dim, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(dim, dim, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.channel(x.mean((1, 2)))  # (B, C)
        weighted = (x * weights[:, None, None]).permute(0, 3, 1, 2)  # (B, C, h, w)
        spread = self.spatial(weighted)[..., : x.shape[1], : x.shape[2]]  # odd grids come out even
        spread = F.pad(spread, (0, x.shape[2] - spread.shape[3], 0, x.shape[1] - spread.shape[2]))
        return self.norm(x + spread.permute(0, 2, 3, 1))


class AdaptedMLP(MLPBlock):
    """An MLP with an adapter beside it."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(dim, hidden)
        self.adapter = Adapter(dim)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.adapter(x)


def build_sam_med2d(config: SamConfig) -> SamModel:
    """Build a SAM-Med2D network with random weights.

    Parameters
    ----------
    config : SamConfig
        The published one is ViT-B with ``image_size=256``.

    Returns
    -------
    model : SamModel
    """
    model = build_sam(config)
    model.pads_slices = False
    for block in model.image_encoder.blocks:  # type: ignore[union-attr]
        block.mlp = AdaptedMLP(config.embed_dim, int(config.embed_dim * config.mlp_ratio))
    return model


def from_med2d_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names to ours: the adapters belong to the MLPs."""
    return {re.sub(r"\.Adapter\.", ".mlp.adapter.", name): value for name, value in state.items()}
