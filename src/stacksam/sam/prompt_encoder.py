"""Points, boxes and masks as tokens and maps (Kirillov et al. 2023, Segment Anything, section 3).

Parameter names equal those of the official checkpoints. The optional prompt maps are ours: a small
network trained on little data learns positions far sooner from drawn prompts than from tokens.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.fast_linear import has_onednn, is_plain_inference, multiply
from stacksam.sam.transformer import LayerNorm2d

PADDING, NEGATIVE, POSITIVE, BOX_START, BOX_END = -1, 0, 1, 2, 3
"""Values of `point_labels`; a box is two points."""

MAP_CHANNELS = 6
"""Logits, refinement flag, neighbour flag, positive points, negative points, box."""

CONTEXT_MAPS = 3
"""Of a neighbouring slice: likeness to the object, the slice, the change; see `appearance`."""

POINT_RADIUS = 2.5
"""Of a drawn point, in pixels of the prompt map."""

LOGIT_SCALE = 8.0


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of positions in [0, 1]² (Tancik et al. 2020)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, num_pos_feats))

    def forward(self, coords_xy: Tensor) -> Tensor:
        matrix = self.positional_encoding_gaussian_matrix
        angles = 2 * math.pi * ((2 * coords_xy.to(matrix.dtype) - 1) @ matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (..., 2 * num_pos_feats)

    def grid(self, height: int, width: int) -> Tensor:
        """Encode the cell centres of a grid, shape (C, height, width)."""
        device = self.positional_encoding_gaussian_matrix.device
        ys = (torch.arange(height, device=device) + 0.5) / height
        xs = (torch.arange(width, device=device) + 0.5) / width
        grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
        return self(torch.stack([grid_x, grid_y], dim=-1)).permute(2, 0, 1)


class PromptEncoder(nn.Module):
    """Encode prompts of one field.

    Parameters
    ----------
    embed_dim : int
        Width C of tokens and image embedding.
    image_embedding_size : (height, width)
        Of the image embedding.
    input_image_size : (height, width)
        Of the encoder's input; point coordinates refer to it.
    mask_in_chans : int
        Hidden channels of the mask branch.
    has_prompt_maps : bool
        Draw points and boxes into the mask branch and flag where the mask comes from.
    num_context_maps : int
        Further channels of the mask branch, which show the neighbouring slice.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        *,
        has_prompt_maps: bool = False,
        num_context_maps: int = 0,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.mask_input_size = (4 * image_embedding_size[0], 4 * image_embedding_size[1])
        self.has_prompt_maps = has_prompt_maps
        self.num_context_maps = num_context_maps
        map_channels = MAP_CHANNELS + num_context_maps if has_prompt_maps else 1
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self._dense_pe: tuple[tuple[int, int], Tensor] | None = None  # for these weights
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(map_channels, mask_in_chans // 4, 2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, 2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def get_dense_pe(self) -> Tensor:
        """Positions of the image embedding's cells, shape (1, C, H, W)."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        if self.training or not is_plain_inference(matrix):
            return self.pe_layer.grid(*self.image_embedding_size)[None]
        version = (matrix.data_ptr(), 0 if matrix.is_inference() else matrix._version)
        if self._dense_pe is None or self._dense_pe[0] != version:
            self._dense_pe = version, self.pe_layer.grid(*self.image_embedding_size)[None]
        return self._dense_pe[1]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        *,
        is_neighbour: Tensor | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of prompt combinations.

        Parameters
        ----------
        points : (coords, labels) of shapes (B, N, 2) and (B, N), or None
            x, y in input pixels; labels 1 positive, 0 negative, -1 padding, 2 and 3 the two
            corners of a box given as points.
        boxes : Tensor of shape (B, 4) or None
            x0, y0, x1, y1 in input pixels.
        masks : Tensor of shape (B, 1, 4 H, 4 W) or None
            Logits of an earlier round or, where `is_neighbour`, of the neighbouring slice.
        is_neighbour : bool Tensor of shape (B,) or None
        context : Tensor of shape (B, num_context_maps, 4 H, 4 W) or None
            Zero where no neighbouring slice is known.

        Returns
        -------
        sparse_embeddings : Tensor of shape (B, T, C)
        dense_embeddings : Tensor of shape (B, C, H, W)
        """
        coords, labels = self._as_points(points, boxes)
        if coords is None or labels is None:
            batch = 1 if masks is None else masks.shape[0]
            coords = self.no_mask_embed.weight.new_zeros(batch, 0, 2)
            labels = coords.new_zeros(batch, 0)
        sparse = self._embed_points(coords, labels)
        if self.has_prompt_maps:
            maps = self._draw_maps(coords, labels, masks, is_neighbour)
            if context is not None and self.num_context_maps:
                maps |= {MAP_CHANNELS + i: part for i, part in enumerate(context.unbind(1))}
            return sparse, self._downscale(maps, len(coords))
        if masks is not None:
            return sparse, self.mask_downscaling(masks)
        dense = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return sparse, dense.expand(sparse.shape[0], -1, *self.image_embedding_size)

    @staticmethod
    def _as_points(
        points: tuple[Tensor, Tensor] | None, boxes: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Join points and box corners; points without a box get a padding point, as in SAM."""
        parts = []
        if points is not None:
            parts.append(points)
            if boxes is None and not (points[1] >= BOX_START).any():
                coords, labels = points
                parts.append(
                    (
                        coords.new_zeros(len(coords), 1, 2),
                        labels.new_full((len(labels), 1), PADDING),
                    )
                )
        if boxes is not None:
            corner_labels = boxes.new_tensor([BOX_START, BOX_END]).expand(len(boxes), 2)
            parts.append((boxes.reshape(-1, 2, 2), corner_labels))
        if not parts:
            return None, None
        return torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts], 1)

    def _embed_points(self, coords: Tensor, labels: Tensor) -> Tensor:
        height, width = self.input_image_size
        centers = (coords + 0.5) / coords.new_tensor([width, height])  # pixel centres
        position = self.pe_layer(centers)
        kinds = (self.not_a_point_embed, *self.point_embeddings)  # from PADDING to BOX_END
        kind = torch.cat([embedding.get_parameter("weight") for embedding in kinds])
        is_point = (labels != PADDING)[..., None]
        return kind[(labels - PADDING).long()] + position * is_point

    def _downscale(self, maps: dict[int, Tensor], batch: int) -> Tensor:
        """The mask branch, without computing what channels of zeros would add."""
        layers: list[Any] = list(self.mask_downscaling)
        first, last = layers[0], layers[-1]
        if not maps:
            maps = {0: first.weight.new_zeros(batch, *self.mask_input_size)}
        drawn = torch.stack([channel.to(first.weight.dtype) for channel in maps.values()], 1)
        x = F.conv2d(drawn, first.weight[:, list(maps)], first.bias, first.stride)
        for layer in layers[1:-1]:
            x = layer(x)
        if is_plain_inference(x) and has_onednn(x.dtype):  # a 1 x 1 convolution is a product
            y = multiply(x.permute(0, 2, 3, 1), last.weight.flatten(1), last.bias)
            return y.permute(0, 3, 1, 2)
        return last(x)

    def _draw_maps(
        self,
        coords: Tensor,
        labels: Tensor,
        masks: Tensor | None,
        is_neighbour: Tensor | None,
    ) -> dict[int, Tensor]:
        """Prompts as maps of shape (B, 4 H, 4 W), by channel; what is left out is zero."""
        (height, width), maps = self.mask_input_size, {}
        if masks is not None:
            known = masks.flatten(1).any(1)
            flag = torch.zeros_like(known) if is_neighbour is None else is_neighbour.bool()
            maps[0] = masks[:, 0].float().clamp(-16, 16) / LOGIT_SCALE
            for channel, is_set in ((1, known & ~flag), (2, known & flag)):
                if is_set.any():
                    maps[channel] = is_set[:, None, None].float().expand(-1, height, width)
        scale = coords.new_tensor(
            [width / self.input_image_size[1], height / self.input_image_size[0]]
        )
        grid_xy = (coords + 0.5) * scale - 0.5  # (B, N, 2) in map pixels
        xs, ys = (
            torch.arange(width, device=coords.device),
            torch.arange(height, device=coords.device),
        )
        near_x = torch.exp(-((xs - grid_xy[..., :1]) ** 2) / (2 * POINT_RADIUS**2))  # (B, N, W)
        near_y = torch.exp(-((ys - grid_xy[..., 1:]) ** 2) / (2 * POINT_RADIUS**2))  # (B, N, H)
        for channel, value in ((3, POSITIVE), (4, NEGATIVE)):
            chosen = (labels == value).to(near_x.dtype)[..., None]
            if chosen.any():
                maps[channel] = ((near_y * chosen).transpose(1, 2) @ near_x).clamp(max=1)
        for index in (labels == BOX_START).any(0).nonzero().flatten().tolist():
            is_box = (labels[:, index] == BOX_START).to(coords.dtype)[:, None]
            start, end = grid_xy[:, index], grid_xy[:, index + 1]  # the end follows its start
            in_x = _soft_interval(xs, start[:, :1], end[:, :1]) * is_box
            in_y = _soft_interval(ys, start[:, 1:], end[:, 1:])
            box = in_y[:, :, None] * in_x[:, None, :]
            maps[5] = torch.maximum(maps[5], box) if 5 in maps else box
        return maps


def _soft_interval(positions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """How far pixels lie within [start, end], with sub-pixel edges: (B, N)."""
    covered = torch.minimum(positions + 0.5, end) - torch.maximum(positions - 0.5, start)
    return F.hardtanh(covered, 0.0, 1.0)
