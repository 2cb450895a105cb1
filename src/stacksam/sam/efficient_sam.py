"""EfficientSAM: a plain vision transformer and a decoder of its own (Xiong et al. 2023).

It takes points and boxes, not masks; a negative point is told by its place alone, and there is
room for six points, two of which a box needs. Parameter names equal those of the published
checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.fast_linear import FastLinear
from stacksam.sam.image_encoder import PatchEmbed, make_neck, resize_positions
from stacksam.sam.mask_decoder import DecoderOutput
from stacksam.sam.model import PromptableModel
from stacksam.sam.official import normalize_pixels
from stacksam.sam.prompt_encoder import (
    BOX_END,
    BOX_START,
    PADDING,
    POSITIVE,
    PositionEmbeddingRandom,
)
from stacksam.sam.tiny_vit import count
from stacksam.sam.transformer import Attention, TwoWayTransformer

ENCODER, DECODER = "image_encoder.", "mask_decoder."


@dataclass(frozen=True)
class EfficientSamConfig:
    """Sizes of an EfficientSAM; the defaults are those of EfficientSAM-Ti.

    Attributes
    ----------
    embed_dim, depth, num_heads, mlp_dim : int
        Of the image encoder.
    image_size, patch_size : int
    pretrained_grid : int
        Side of the grid of positions in the checkpoint.
    out_chans : int
        Width of the image embedding and of the decoder.
    decoder_depth, decoder_num_heads, decoder_mlp_dim, iou_head_hidden_dim : int
    upscaling_dims : (int, int)
    max_points : int
        Points the decoder takes, a box being two.
    """

    embed_dim: int = 192
    depth: int = 12
    num_heads: int = 3
    mlp_dim: int = 768
    image_size: int = 1024
    patch_size: int = 16
    pretrained_grid: int = 14
    out_chans: int = 256
    decoder_depth: int = 2
    decoder_num_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_hidden_dim: int = 256
    upscaling_dims: tuple[int, int] = (64, 32)
    max_points: int = 6

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> EfficientSamConfig:
        """Read the sizes off the shapes of published weights; heads are 64 wide, as published.

        Raises
        ------
        ValueError
            If they are not those of an EfficientSAM; it continues "the checkpoint NAME ...".
        """
        try:
            dim, _, patch_size, _ = state[ENCODER + "patch_embed.proj.weight"].shape
            upscaling = DECODER + "final_output_upscaling_layers."
            return cls(
                embed_dim=dim,
                depth=count(state, ENCODER + r"blocks\.(\d+)\."),
                num_heads=max(1, dim // 64),
                mlp_dim=len(state[ENCODER + "blocks.0.mlp.fc1.bias"]),
                patch_size=patch_size,
                pretrained_grid=round((state[ENCODER + "pos_embed"].shape[1] - 1) ** 0.5),
                out_chans=len(state[ENCODER + "neck.0.weight"]),
                decoder_depth=count(state, DECODER + r"transformer\.layers\.(\d+)\."),
                decoder_mlp_dim=len(state[DECODER + "transformer.layers.0.mlp.layers.0.0.bias"]),
                iou_head_hidden_dim=len(state[DECODER + "iou_prediction_head.layers.0.0.bias"]),
                upscaling_dims=(
                    len(state[upscaling + "0.0.bias"]),
                    len(state[upscaling + "1.0.bias"]),
                ),
            )
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                "does not hold a complete EfficientSAM; choose another file"
            ) from error


class EfficientSamModel(PromptableModel):
    """An EfficientSAM that takes windowed intensities like every other model of StackSAM."""

    def encode(self, image: Tensor) -> Embedding:
        """Encode fields of shape (B, 1 or 3, H, W) in [0, 1]."""
        return self.image_encoder(normalize_pixels(255 * image))


def build_efficient_sam(config: EfficientSamConfig = EfficientSamConfig()) -> EfficientSamModel:
    """Build an EfficientSAM with random weights.

    Parameters
    ----------
    config : EfficientSamConfig

    Returns
    -------
    model : EfficientSamModel
        Its parameter names and shapes equal those of the published checkpoints.
    """
    return EfficientSamModel(
        PlainEncoder(config),
        PointEncoder(config),  # type: ignore[arg-type]
        PointDecoder(config),  # type: ignore[arg-type]
    )


class PlainEncoder(nn.Module):
    """A vision transformer that attends to the whole image in every block."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        self.grid = config.pretrained_grid
        dim = config.embed_dim
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        # The first position belonged to a class token in pretraining.
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2 + 1, dim))
        self.blocks = nn.ModuleList(
            PlainBlock(dim, config.num_heads, config.mlp_dim) for _ in range(config.depth)
        )
        self.neck = make_neck(dim, config.out_chans)

    def forward(self, image: Tensor) -> Embedding:
        """Encode normalised images of shape (B, 3, H, W) at (H / patch, W / patch)."""
        x = self.patch_embed(image)  # (B, h, w, C)
        grid = (x.shape[1], x.shape[2])
        positions = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid))
        x = (x + resize_positions(positions, grid)).flatten(1, 2)  # (B, h * w, C)
        for block in self.blocks:
            x = block(x)
        return Embedding(self.neck(x.unflatten(1, grid).permute(0, 3, 1, 2)))


class PlainBlock(nn.Module):
    """Attention and an MLP, each after a norm and around a shortcut."""

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": FastLinear(dim, 3 * dim), "proj": FastLinear(dim, dim)})
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": FastLinear(dim, hidden), "fc2": FastLinear(hidden, dim)})

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.attn["qkv"](self.norm1(x)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, c)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.attn["proj"](mixed)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class PointEncoder(nn.Module):
    """Points and boxes as tokens, filled up to the number with which the decoder was trained."""

    has_prompt_maps = False
    num_context_maps = 0

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        side = config.image_size // config.patch_size
        dim = config.out_chans
        self.max_points = config.max_points
        self.image_embedding_size = (side, side)
        self.input_image_size = (config.image_size, config.image_size)
        self.mask_input_size = (4 * side, 4 * side)
        self.pe_layer = PositionEmbeddingRandom(dim // 2)
        self.invalid_points = nn.Embedding(1, dim)
        self.point_embeddings = nn.Embedding(1, dim)
        self.bbox_top_left_embeddings = nn.Embedding(1, dim)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, dim)

    def get_dense_pe(self) -> Tensor:
        """Positions of the image embedding's cells, shape (1, C, H, W)."""
        return self.pe_layer.grid(*self.image_embedding_size)[None]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None = None,
        *,
        is_neighbour: Tensor | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of prompt combinations; masks are not looked at.

        Parameters
        ----------
        points, boxes, masks, is_neighbour, context
            See `PromptEncoder.forward`. Of more points than there is room for, a box and the newest
            ones count.

        Returns
        -------
        sparse_embeddings : Tensor of shape (B, max_points, C)
        dense_embeddings : Tensor of shape (1, 1, 1, 1)
            Zero.
        """
        sparse = self.embed(*self.arrange(points, boxes))
        return sparse, sparse.new_zeros(1, 1, 1, 1)

    def arrange(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Fill up to the number of points with which the decoder was trained."""
        return arrange_points(points, boxes, self.max_points)

    def embed(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Points of shapes (B, N, 2) and (B, N) as tokens (B, N, C)."""
        is_invalid = labels == PADDING
        coords = torch.where(is_invalid[..., None], -1.0, coords.clamp(min=0))
        size = coords.new_tensor([self.input_image_size[1], self.input_image_size[0]])
        sparse = self.pe_layer((coords + 0.5) / size)
        for value, embedding in (
            (PADDING, self.invalid_points),
            (POSITIVE, self.point_embeddings),
            (BOX_START, self.bbox_top_left_embeddings),
            (BOX_END, self.bbox_bottom_right_embeddings),
        ):
            sparse = sparse + (labels == value)[..., None] * embedding.weight
        return sparse


def arrange_points(
    points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, max_points: int
) -> tuple[Tensor, Tensor]:
    """Corners of a box, then the newest points, then padding.

    Parameters
    ----------
    points : (coords, labels) of shapes (B, N, 2) and (B, N), or None
        A box among them comes first.
    boxes : Tensor of shape (B, 4) or None
    max_points : int

    Returns
    -------
    coords : Tensor of shape (B, max_points, 2), float32
    labels : Tensor of shape (B, max_points), float32
    """
    like = boxes if points is None else points[0]
    coords = torch.zeros(1, 0, 2) if like is None else like.new_zeros(1, 0, 2)
    labels = coords[..., 0]
    if points is not None:
        coords, labels = points[0].float(), points[1].float()
    corners, ends = coords[:, :0], labels[:, :0]
    if boxes is not None:
        corners = boxes.float().reshape(-1, 2, 2)
        ends = corners.new_tensor([BOX_START, BOX_END]).expand(len(corners), 2)
        coords, labels = coords.expand(len(corners), -1, -1), labels.expand(len(corners), -1)
    elif labels.shape[1] >= 2 and bool((labels[:, 0] == BOX_START).all()):
        corners, coords = coords[:, :2], coords[:, 2:]
        ends, labels = labels[:, :2], labels[:, 2:]
    room = max_points - corners.shape[1]
    coords = torch.cat([corners, coords[:, -room:]], 1)
    labels = torch.cat([ends, labels[:, -room:]], 1)
    missing = max_points - coords.shape[1]
    return (
        F.pad(coords, (0, 0, 0, missing), value=-1.0),
        F.pad(labels, (0, missing), value=float(PADDING)),
    )


class PointDecoder(nn.Module):
    """Predict masks from tokens and the image embedding."""

    has_object_score = False

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        dim, hidden = config.out_chans, config.iou_head_hidden_dim
        first, second = config.upscaling_dims
        self.num_mask_tokens = 4
        self.transformer = TokenTransformer(
            config.decoder_depth, config.out_chans, config.decoder_num_heads, config.decoder_mlp_dim
        )
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.final_output_upscaling_layers = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(dim, first, 2, stride=2), nn.GroupNorm(1, first), nn.GELU()
                ),
                nn.Sequential(nn.ConvTranspose2d(first, second, 2, stride=2), nn.GELU()),
            ]
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            GeluMLP([dim, dim, dim, second]) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = GeluMLP([dim, hidden, hidden, self.num_mask_tokens])

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        skips: tuple[Tensor, Tensor] | None = None,
    ) -> DecoderOutput:
        """Decode a batch of prompt combinations; see `MaskDecoder.forward`."""
        batch, (height, width) = len(sparse_prompt_embeddings), image_embeddings.shape[-2:]
        outputs = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([outputs.expand(batch, -1, -1), sparse_prompt_embeddings], dim=1)
        src = (image_embeddings + dense_prompt_embeddings).expand(batch, -1, -1, -1)
        hs, src = self.transformer(src, image_pe, tokens)
        upscaled = src.transpose(1, 2).unflatten(2, (height, width))
        for layer in self.final_output_upscaling_layers:
            upscaled = layer(upscaled)  # (B, C / 8, 4 H, 4 W) in the end
        mask_tokens = hs[:, 1 : 1 + self.num_mask_tokens]
        hyper_in = torch.stack(
            [mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        masks = torch.einsum("bmc,bchw->bmhw", hyper_in, upscaled)
        return DecoderOutput(masks, self.iou_prediction_head(hs[:, 0]), None)


class TokenBlock(nn.Module):
    """A two-way block that differs from SAM's in its self-attention.

    The shortcut is there in the first block too, and positions, where added, stay in the tokens.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        downsample_rate: int,
        skip_first_layer_pe: bool,
    ) -> None:
        super().__init__()
        self.adds_positions = not skip_first_layer_pe
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(embedding_dim, num_heads, downsample_rate)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = GeluMLP([embedding_dim, mlp_dim, embedding_dim])
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(embedding_dim, num_heads, downsample_rate)

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.adds_positions:
            tokens = tokens + token_pe
        tokens = self.norm1(tokens + self.self_attn(tokens, tokens, tokens))
        keys = image + image_pe
        tokens = tokens + self.cross_attn_token_to_image(tokens + token_pe, keys, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(keys, tokens + token_pe, tokens)
        return tokens, self.norm4(image)


class TokenTransformer(TwoWayTransformer):
    """SAM's transformer of such blocks."""

    block = TokenBlock


class GeluMLP(nn.Module):
    """Linear layers with GELU between them."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        pairs = pairwise(widths[:-1])
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(a, b), nn.GELU()) for a, b in pairs)
        self.fc = nn.Linear(widths[-2], widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.fc(x)
