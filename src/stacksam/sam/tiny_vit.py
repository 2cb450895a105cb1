"""MobileSAM: SAM with TinyViT as its image encoder (Zhang et al. 2023; Wu et al. 2022, TinyViT).

A stem and one stage of convolutions, then three stages of attention within windows, each block
with a depthwise convolution between attention and MLP. The last stage keeps the resolution, so that
the embedding has SAM's size. Parameter names equal those of the published checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.fast_linear import FastLinear
from stacksam.sam.image_encoder import join_windows, make_neck, partition_windows
from stacksam.sam.official import SamConfig, SamModel, build_sam

ENCODER = "image_encoder."


@dataclass(frozen=True)
class MobileSamConfig:
    """Sizes of a MobileSAM; the defaults are the published ones.

    Attributes
    ----------
    embed_dims, depths : tuple of int
        Of the four stages.
    num_heads, window_sizes : tuple of int
        Of the three stages with attention.
    mlp_ratio, expand_ratio : float
        Hidden channels of the MLPs and of the convolution blocks, by those around them.
    rest : SamConfig
        Sizes of prompt encoder and mask decoder, and of the image.
    """

    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 14, 7)
    mlp_ratio: float = 4.0
    expand_ratio: float = 4.0
    rest: SamConfig = field(default_factory=lambda: SamConfig("mobile-sam", depth=0))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MobileSamConfig:
        """Read the sizes off the shapes of published weights.

        Raises
        ------
        ValueError
            If they are not those of a MobileSAM; it continues "the checkpoint NAME ...".
        """
        try:
            return cls._measured(state)
        except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
            raise ValueError("does not hold a complete MobileSAM; choose another file") from error

    @classmethod
    def _measured(cls, state: Mapping[str, Tensor]) -> MobileSamConfig:
        first = state[ENCODER + "layers.0.blocks.0.conv1.c.weight"].shape
        widths = [first[1]]
        widths += [len(state[f"{ENCODER}layers.{i}.blocks.0.mlp.norm.weight"]) for i in (1, 2, 3)]
        biases = [state[f"{ENCODER}layers.{i}.blocks.0.attn.attention_biases"] for i in (1, 2, 3)]
        hidden = len(state[ENCODER + "layers.1.blocks.0.mlp.fc1.bias"])
        return cls(
            tuple(widths),
            tuple(count(state, rf"{ENCODER}layers\.{i}\.blocks\.(\d+)\.") for i in range(4)),
            tuple(len(bias) for bias in biases),
            tuple(round(bias.shape[1] ** 0.5) for bias in biases),
            hidden / widths[1],
            first[0] / first[1],
            decoder_sizes(state, "mobile-sam"),
        )


def build_mobile_sam(config: MobileSamConfig = MobileSamConfig()) -> SamModel:
    """Build a MobileSAM with random weights.

    Parameters
    ----------
    config : MobileSamConfig

    Returns
    -------
    model : SamModel
        Its parameter names and shapes equal those of the published checkpoint.
    """
    rest = build_sam(config.rest)
    return SamModel(TinyViT(config), rest.prompt_encoder, rest.mask_decoder)


class TinyViT(nn.Module):
    """Encode images of any size that is a multiple of 16.

    Parameters
    ----------
    config : MobileSamConfig
    """

    def __init__(self, config: MobileSamConfig) -> None:
        super().__init__()
        dims = config.embed_dims
        self.patch_embed = Stem(dims[0])
        hidden = int(dims[0] * config.expand_ratio)
        blocks: list[list[nn.Module]]
        blocks = [[ConvBlock(dims[0], hidden) for _ in range(config.depths[0])]]
        for width, depth, heads, window in zip(
            dims[1:], config.depths[1:], config.num_heads, config.window_sizes, strict=True
        ):
            hidden = int(width * config.mlp_ratio)
            blocks.append([WindowBlock(width, heads, window, hidden) for _ in range(depth)])
        # The last stage keeps the resolution of the one before.
        merges = [Merge(*pair, stride=s) for pair, s in zip(pairwise(dims), (2, 2, 1), strict=True)]
        self.layers = nn.ModuleList(
            Stage(*stage) for stage in zip(blocks, [*merges, None], strict=True)
        )
        self.neck = make_neck(dims[-1], config.rest.out_chans)

    def forward(self, image: Tensor) -> Embedding:
        """Encode images.

        Parameters
        ----------
        image : Tensor of shape (B, 3, H, W)
            Normalised; see `stacksam.sam.official`.

        Returns
        -------
        embedding : Embedding
            At (H / 16, W / 16), without skips.

        Raises
        ------
        ValueError
            If 16 does not divide height and width.
        """
        height, width = image.shape[-2:]
        if height % 16 or width % 16:
            raise ValueError(f"the image is {height} x {width}; both have to be multiples of 16")
        x = self.patch_embed(image)  # (B, C, H / 4, W / 4)
        for stage in self.layers:
            x = stage(x)
        return Embedding(self.neck(x))


class Stem(nn.Module):
    """Two convolutions to a quarter of the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, channels // 2, 3, stride=2),
            nn.GELU(),
            ConvNorm(channels // 2, channels, 3, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class Stage(nn.Module):
    """Blocks, and a step to the next stage's width and resolution."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class FrozenNorm(nn.Module):
    """Batch norm with the statistics of its training, also while fine-tuning."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class ConvNorm(nn.Sequential):
    """A convolution without bias and its norm; the resolution is kept or divided by the stride."""

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = kernel // 2
        conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.add_module("c", conv)
        self.add_module("bn", FrozenNorm(out))


class ConvBlock(nn.Module):
    """Widen, mix depthwise, narrow, around a shortcut (Sandler et al. 2018, MobileNetV2)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, hidden, 1)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(y))


class Merge(nn.Module):
    """Widen, and halve the resolution where the stride is 2."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, out, 1)
        self.conv2 = ConvNorm(out, out, 3, stride=stride, groups=out)
        self.conv3 = ConvNorm(out, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowBlock(nn.Module):
    """Attention within windows, a depthwise convolution, an MLP; (B, C, h, w) in and out."""

    def __init__(self, dim: int, num_heads: int, window_size: int, hidden: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.attn = BiasedAttention(dim, num_heads, window_size)
        self.local_conv = ConvNorm(dim, dim, 3, groups=dim)
        self.mlp = NormedMLP(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)  # (B, h, w, C)
        windows = partition_windows(tokens, self.window_size)
        mixed = self.attn(windows.flatten(1, 2)).view_as(windows)
        tokens = tokens + join_windows(mixed, (x.shape[2], x.shape[3]))
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class BiasedAttention(nn.Module):
    """Multi-head attention within a window, biased by how many rows and columns lie between."""

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.norm = nn.LayerNorm(dim)
        self.qkv = FastLinear(dim, 3 * dim)
        self.proj = FastLinear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, window_size**2))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x)).unflatten(-1, (self.num_heads, 3, -1))  # (B, N, heads, 3, c)
        q, k, v = qkv.permute(3, 0, 2, 1, 4)  # each (B, heads, N, c)
        bias = self.attention_biases[:, distances(self.window_size, x.device)]  # (heads, N, N)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(mixed.transpose(1, 2).flatten(2))


class NormedMLP(nn.Module):
    """A norm and two linear layers with a GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = FastLinear(dim, hidden)
        self.fc2 = FastLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


def distances(size: int, device: torch.device | None = None) -> Tensor:
    """Number the distances between the tokens of a window, shape (size², size²).

    Examples
    --------
    >>> distances(2)[0].tolist()  # itself, one column, one row, one of each
    [0, 1, 2, 3]
    """
    line = torch.arange(size, device=device)
    apart = (line[:, None] - line[None]).abs()  # (size, size)
    table = apart[:, None, :, None] * size + apart[None, :, None, :]  # (row, column, row, column)
    return table.reshape(size**2, size**2)


def decoder_sizes(state: Mapping[str, Tensor], name: str) -> SamConfig:
    """Sizes of SAM's prompt encoder and mask decoder, read off the shapes; no image encoder."""
    decoder = "mask_decoder."
    return SamConfig(
        name=name,
        depth=0,
        out_chans=state[decoder + "iou_token.weight"].shape[1],
        decoder_depth=count(state, decoder + r"transformer\.layers\.(\d+)\."),
        decoder_mlp_dim=len(state[decoder + "transformer.layers.0.mlp.lin1.bias"]),
        mask_in_chans=len(state["prompt_encoder.mask_downscaling.3.bias"]),
        iou_head_hidden_dim=len(state[decoder + "iou_prediction_head.layers.0.bias"]),
    )


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many layers are numbered in names that begin with a pattern."""
    found = (re.match(pattern, name) for name in state)
    return 1 + max(int(match[1]) for match in found if match)
