"""The built-in model's image encoder: a small residual network with a feature pyramid."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class Embedding(NamedTuple):
    """What the decoder needs of a field.

    Attributes
    ----------
    image_embedding : Tensor of shape (B, C, H, W)
    skips : (Tensor of shape (B, C / 4, 2 H, 2 W), (B, C / 8, 4 H, 4 W)) or None
    """

    image_embedding: Tensor
    skips: tuple[Tensor, Tensor] | None = None


class CompactEncoder(nn.Module):
    """Encode a grey field.

    Parameters
    ----------
    embed_dim : int
        Width of the image embedding, at 1/8 of the input's resolution.
    widths : five ints
        Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's resolution.
    depths : four ints
        Residual blocks at 1/4, 1/8, 1/16 and 1/32.
    """

    def __init__(
        self,
        embed_dim: int = 128,
        widths: tuple[int, ...] = (32, 64, 128, 192, 256),
        depths: tuple[int, ...] = (1, 2, 3, 2),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, stride=2, padding=1), _norm(widths[0]), nn.ReLU()
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(below, width, 3, stride=2, padding=1),
                _norm(width),
                nn.ReLU(),
                *(ResidualBlock(width) for _ in range(depth)),
            )
            for below, width, depth in zip(widths[:-1], widths[1:], depths, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, embed_dim, 1) for width in widths[2:])
        self.skip_2x = nn.Conv2d(widths[1], embed_dim // 4, 1)
        self.skip_4x = nn.Conv2d(widths[0], embed_dim // 8, 1)
        self.top_norm = _norm(embed_dim)
        self.smooth = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)

    def forward(self, image: Tensor) -> Embedding:
        """Encode fields.

        Parameters
        ----------
        image : Tensor of shape (B, 1, S, S)
            Windowed intensities in [0, 1].

        Returns
        -------
        embedding : Embedding
            At (S / 8, S / 8), with skips at S / 4 and S / 2.
        """
        half = self.stem((image - 0.5) * 4)
        quarter = self.stages[0](half)
        features, x = [], quarter
        for stage in self.stages[1:]:
            x = stage(x)
            features.append(x)
        top = self.laterals[-1](features[-1])
        for lateral, feature in zip(
            reversed(self.laterals[:-1]), reversed(features[:-1]), strict=True
        ):
            top = lateral(feature) + F.interpolate(top, scale_factor=2.0, mode="nearest")
        return Embedding(
            self.smooth(F.gelu(self.top_norm(top))), (self.skip_2x(quarter), self.skip_4x(half))
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016, pre-activation form)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(channels), _norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


def _norm(channels: int) -> nn.GroupNorm:
    """Group norm keeps training and inference alike and forgives odd contrasts."""
    return nn.GroupNorm(max(1, channels // 16), channels)
