"""Masks and their quality from an image embedding and prompts (Kirillov et al. 2023, appendix A).

Parameter names equal those of the official checkpoints. Four optional parts are used by the
built-in model: convolutions that spread prompts over the embedding, high-resolution skip features
into the upscaling (as in Ke et al. 2023 and Ravi et al. 2024), an object score that says whether
the object is there at all (as in Ravi et al. 2024), and a second look at each mask's quality.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.fast_linear import add_product, has_onednn, is_plain_inference, multiply
from stacksam.sam.quality_head import QualityHead, mean_features
from stacksam.sam.transformer import LayerNorm2d, TwoWayTransformer


class DecoderOutput(NamedTuple):
    """What the decoder says about each prompt combination.

    Attributes
    ----------
    masks : Tensor of shape (B, M, h, w)
        Low-resolution logits; M is 1 + `num_multimask_outputs`, the single mask first.
    iou_predictions : Tensor of shape (B, M)
    object_score_logits : Tensor of shape (B, 1) or None
        Positive where the object is on the slice.
    """

    masks: Tensor
    iou_predictions: Tensor
    object_score_logits: Tensor | None


class MaskDecoder(nn.Module):
    """Predict masks.

    Parameters
    ----------
    transformer_dim : int
    transformer : TwoWayTransformer
    num_multimask_outputs : int
        Masks beside the single one, for ambiguous prompts.
    iou_head_depth, iou_head_hidden_dim : int
    num_prompt_blocks, num_output_blocks : int
        Convolution blocks before and after the transformer; 0 in SAM.
    has_skips : bool
        Add the encoder's features at two and four times the embedding's resolution, of C / 4 and
        C / 8 channels, while upscaling.
    has_object_score : bool
    quality_dim : int
        Hidden width of the quality head; 0 for none.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
        num_prompt_blocks: int = 0,
        num_output_blocks: int = 0,
        has_skips: bool = False,
        has_object_score: bool = False,
        quality_dim: int = 0,
    ) -> None:
        super().__init__()
        dim = transformer_dim
        self.transformer = transformer
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth
        )
        self.prompt_blocks = nn.Sequential(*(SpreadBlock(dim) for _ in range(num_prompt_blocks)))
        self.output_blocks = nn.Sequential(*(SpreadBlock(dim) for _ in range(num_output_blocks)))
        self.has_object_score = has_object_score
        if has_object_score:
            self.obj_score_token = nn.Embedding(1, dim)
            self.pred_obj_score_head = MLP(dim, dim, 1, 3)
            self.pooled_score_head = MLP(2 * dim, dim, 1, 2)
        self.has_skips = has_skips
        if has_skips:
            self.refine_2x = RefineBlock(dim // 4)
            self.refine_4x = RefineBlock(dim // 8)
        self.quality_head = QualityHead(dim, quality_dim) if quality_dim else None

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        skips: tuple[Tensor, Tensor] | None = None,
    ) -> DecoderOutput:
        """Decode a batch of prompt combinations.

        Parameters
        ----------
        image_embeddings : Tensor of shape (1 or B, C, H, W)
            One embedding is shared by all prompts.
        image_pe : Tensor of shape (1, C, H, W)
        sparse_prompt_embeddings : Tensor of shape (B, T, C)
        dense_prompt_embeddings : Tensor of shape (B, C, H, W)
        skips : (Tensor of shape (1 or B, C / 4, 2 H, 2 W), (1 or B, C / 8, 4 H, 4 W)) or None

        Returns
        -------
        output : DecoderOutput
        """
        batch, (height, width) = len(sparse_prompt_embeddings), image_embeddings.shape[-2:]
        src = self.prompt_blocks(image_embeddings + dense_prompt_embeddings)
        outputs = [self.iou_token.weight, self.mask_tokens.weight]
        if self.has_object_score:
            outputs.append(self.obj_score_token.weight)
        output_tokens = torch.cat(outputs).expand(batch, -1, -1)
        tokens = torch.cat([output_tokens, sparse_prompt_embeddings], dim=1)  # (B, 5 + T, C)

        hs, src = self.transformer(src, image_pe, tokens)
        src = src.transpose(1, 2).unflatten(2, (height, width))  # (B, C, H, W)
        src = self.output_blocks(src)
        upscaled = self._upscale(src, skips)  # (B, C / 8, 4 H, 4 W)
        mask_tokens = hs[:, 1 : 1 + self.num_mask_tokens]
        hyper_in = _side_by_side(self.output_hypernetworks_mlps, mask_tokens)  # (B, M, C / 8)
        masks = _weigh_channels(upscaled, hyper_in)
        iou, score = self.iou_prediction_head(hs[:, 0]), None
        if self.has_object_score or self.quality_head is not None:
            features = src.flatten(2).transpose(1, 2)  # (B, H * W, C)
            cells = F.avg_pool2d(masks.float().sigmoid(), 4)  # (B, M, H, W)
        if self.has_object_score:
            score = self.pred_obj_score_head(hs[:, 1 + self.num_mask_tokens])
            both = torch.stack([cells[:, 0], 1 - cells[:, 0]], 1)  # under the mask and beside it
            score = score + self.pooled_score_head(mean_features(features, both).flatten(1))
        if self.quality_head is not None:
            iou = iou + self.quality_head(features, mask_tokens, cells.detach())
        return DecoderOutput(masks, iou, score)

    def _upscale(self, src: Tensor, skips: tuple[Tensor, Tensor] | None) -> Tensor:
        if not self.has_skips or skips is None:
            return self.output_upscaling(src)
        first_up, norm, act, second_up, last_act = self.output_upscaling
        x = self.refine_2x(act(norm(first_up(src) + skips[0])))
        x = second_up(x)
        x = x + skips[1] if torch.is_grad_enabled() else x.add_(skips[1])
        return self.refine_4x(last_act(x))


def _weigh_channels(features: Tensor, weights: Tensor) -> Tensor:
    """Sums of (B, C, h, w) over C, weighted by (B, M, C)."""
    if torch.is_grad_enabled():  # gradients keep the features' memory format: channels last
        sums = features.permute(0, 2, 3, 1).flatten(1, 2) @ weights.transpose(1, 2)
        return sums.transpose(1, 2).contiguous().unflatten(2, features.shape[-2:])
    return (weights @ features.flatten(2)).unflatten(2, features.shape[-2:])  # (B, M, h, w)


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def _side_by_side(mlps: nn.ModuleList, tokens: Tensor) -> Tensor:
    """Each token of (B, M, C) through an MLP of its own, all of them in one product per layer."""
    x = tokens.transpose(0, 1)  # (M, B, C)
    layers: list[Any] = list(zip(*(mlp.layers for mlp in mlps), strict=True))
    for number, layer in enumerate(layers, 1):
        weights = torch.stack([part.weight for part in layer])
        biases = torch.stack([part.bias for part in layer])[:, None]
        x = torch.baddbmm(biases, x, weights.transpose(1, 2))
        x = x if number == len(layers) else F.relu(x)
    return x.transpose(0, 1)


class SpreadBlock(nn.Module):
    """A wide depthwise convolution and a channel mixer (Liu et al. 2022, ConvNeXt)."""

    def __init__(self, channels: int, kernel: int = 7, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = LayerNorm2d(channels)
        self.expand = nn.Conv2d(channels, expansion * channels, 1)
        self.project = nn.Conv2d(expansion * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x))
        if not (is_plain_inference(x) and has_onednn(x.dtype)):
            return x + self.project(F.relu(self.expand(y)))
        x, y = x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1)  # 1 x 1 convolutions are products
        y = multiply(y, self.expand.weight.flatten(1), self.expand.bias, "relu")
        y = add_product(y, self.project.weight.flatten(1), self.project.bias, x)
        return y.permute(0, 3, 1, 2)


class RefineBlock(nn.Module):
    """A residual 3 x 3 convolution at high resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(x))
        return x + y if torch.is_grad_enabled() else y.add_(x)
