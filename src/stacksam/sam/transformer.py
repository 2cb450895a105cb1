"""The two-way transformer of the mask decoder (Kirillov et al. 2023, Segment Anything, appendix A).

Parameter names equal those of the official checkpoints.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.fast_linear import dot_products, is_plain_inference

FEW_KEYS = 64
"""Keys up to which the fused attention's gradient takes longer than the plain one's, on a CPU."""


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the embedding's."""

    def __init__(self, embedding_dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        internal_dim = embedding_dim // downsample_rate
        if internal_dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide the width {internal_dim}")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embedding_dim, internal_dim)
        self.k_proj = nn.Linear(embedding_dim, internal_dim)
        self.v_proj = nn.Linear(embedding_dim, internal_dim)
        self.out_proj = nn.Linear(internal_dim, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: (B, N, C), (B, M, C), (B, M, C) to (B, N, C)."""
        few = min(q.shape[1], k.shape[1])
        many = max(q.shape[1], k.shape[1])
        if 0 < self.num_heads * few <= self.q_proj.out_features < many and is_plain_inference(q):
            return self._from_few(q, k, v) if q.shape[1] == few else self._to_few(q, k, v)
        q, k, v = (
            self._heads(self.q_proj(q)),
            self._heads(self.k_proj(k)),
            self._heads(self.v_proj(v)),
        )
        mixed = _attend(q, k, v)  # (B, heads, N, C / heads)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # (B, N, C)

    def _from_few(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """A few tokens attend to many, whose keys and values are never made.

        Products are associative: queries are brought to the many tokens' channels instead, and
        values projected after they were averaged. The keys' bias is the same for all of them, so it
        says nothing.
        """
        queries = self._heads(self.q_proj(q))  # (B, heads, N, C / heads)
        scale = queries.shape[-1] ** -0.5
        queries = scale * (queries @ self._by_head(self.k_proj.weight))  # (B, heads, N, C)
        weights = dot_products(queries.flatten(1, 2), k).softmax(-1)  # (B, heads * N, M)
        mixed = dot_products(weights, v.transpose(1, 2))  # (B, heads * N, C)
        mixed = mixed.unflatten(1, (self.num_heads, -1))  # (B, heads, N, C)
        mixed = mixed @ self._by_head(self.v_proj.weight).transpose(1, 2)
        mixed = mixed.transpose(1, 2).flatten(2)  # (B, N, C)
        return self.out_proj(mixed + self.v_proj.bias)

    def _to_few(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Many tokens attend to a few; the counterpart of `_from_few`.

        The many are the last axis until the end, as a softmax over a last axis of eight takes
        twenty times as long as one over a middle axis.
        """
        keys = self._heads(self.k_proj(k))  # (B, heads, M, C / heads)
        keys = keys.shape[-1] ** -0.5 * keys
        bias = keys @ self.q_proj.bias.view(self.num_heads, -1, 1)  # (B, heads, M, 1)
        keys = (keys @ self._by_head(self.q_proj.weight)).flatten(1, 2)  # (B, heads * M, C)
        scores = dot_products(keys, q).unflatten(1, (self.num_heads, -1))
        weights = scores.add_(bias).softmax(2).flatten(1, 2)  # (B, heads * M, N)
        out = self._by_head(self.out_proj.weight.T)  # (heads, C / heads, C)
        values = (self._heads(self.v_proj(v)) @ out).flatten(1, 2)  # (B, heads * M, C)
        mixed = dot_products(weights.transpose(1, 2), values.transpose(1, 2))  # (B, N, C)
        return mixed.add_(self.out_proj.bias)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, N, C / heads)

    def _by_head(self, weight: Tensor) -> Tensor:
        return weight.unflatten(0, (self.num_heads, -1))  # (heads, C / heads, C)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if not torch.is_grad_enabled() or k.shape[-2] > FEW_KEYS:
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(-1) @ v


class MLPBlock(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, embedding_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(embedding_dim, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens."""

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        downsample_rate: int = 2,
        skip_first_layer_pe: bool = False,
    ) -> None:
        super().__init__()
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(embedding_dim, num_heads, downsample_rate)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLPBlock(embedding_dim, mlp_dim)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(embedding_dim, num_heads, downsample_rate)
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.skip_first_layer_pe:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)

        keys = image + image_pe
        tokens = tokens + self.cross_attn_token_to_image(tokens + token_pe, keys, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(keys, tokens + token_pe, tokens)
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """A stack of two-way blocks and a last look of the tokens at the image.

    Parameters
    ----------
    depth, embedding_dim, num_heads, mlp_dim : int
        SAM uses 2, 256, 8 and 2048.
    downsample_rate : int
        How much narrower the cross-attentions are.
    """

    block: ClassVar[type[nn.Module]] = TwoWayAttentionBlock

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            self.block(
                embedding_dim, num_heads, mlp_dim, downsample_rate, skip_first_layer_pe=index == 0
            )
            for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(embedding_dim, num_heads, downsample_rate)
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mix tokens and image.

        Parameters
        ----------
        image : Tensor of shape (B, C, H, W)
        image_pe : Tensor of shape (1 or B, C, H, W)
        tokens : Tensor of shape (B, N, C)

        Returns
        -------
        tokens : Tensor of shape (B, N, C)
        image : Tensor of shape (B, H * W, C)
        """
        keys = image.flatten(2).transpose(1, 2)  # (B, H * W, C)
        keys_pe = image_pe.flatten(2).transpose(1, 2)
        queries = tokens
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, keys_pe)
        attended = self.final_attn_token_to_image(queries + tokens, keys + keys_pe, keys)
        return self.norm_final_attn(queries + attended), keys


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of a (B, C, H, W) tensor."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(
            x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps
        )
        return normed.permute(0, 3, 1, 2)
