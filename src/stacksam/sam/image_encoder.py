"""SAM's image encoder: a vision transformer (Kirillov et al. 2023; Li et al. 2022, ViTDet).

Most blocks attend within windows of 14 x 14 tokens, a few to the whole image. Attention knows where
things are through relative positions, one table for rows and one for columns (Li et al. 2022,
MViTv2). Parameter names equal those of the official checkpoints.
"""

from __future__ import annotations

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.fast_linear import FastLinear
from stacksam.sam.transformer import LayerNorm2d

BIAS_ELEMENTS = 1 << 20
"""Of the attention bias that are held at a time for each CPU thread: 4 MB stay in the cache."""


class ImageEncoder(nn.Module):
    """Encode images of any size that is a multiple of the patch.

    Parameters
    ----------
    image_size : int
        Side at which the position embedding was trained.
    patch_size, embed_dim, depth, num_heads : int
    mlp_ratio : float
    out_chans : int
        Width of the image embedding.
    window_size : int
        Side of the attention windows in tokens.
    global_attn_indexes : tuple of int
        Blocks that attend to the whole image.
    """

    computes_in_weights_type = True
    """Converted to bfloat16 it takes images of any type, and no autocast is needed."""

    def __init__(
        self,
        *,
        image_size: int = 1024,
        patch_size: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        out_chans: int = 256,
        window_size: int = 14,
        global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11),
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        grid = image_size // patch_size
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, embed_dim))
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                num_heads,
                mlp_dim=int(embed_dim * mlp_ratio),
                window_size=0 if index in global_attn_indexes else window_size,
                table_size=grid if index in global_attn_indexes else window_size,
            )
            for index in range(depth)
        )
        self.neck = make_neck(embed_dim, out_chans)

    def forward(self, image: Tensor) -> Embedding:
        """Encode images.

        Parameters
        ----------
        image : Tensor of shape (B, 3, H, W)
            Normalised; see `stacksam.sam.official`.

        Returns
        -------
        embedding : Embedding
            At (H / patch_size, W / patch_size), without skips.

        Raises
        ------
        ValueError
            If the patch does not divide height and width.
        """
        height, width = image.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"the image is {height} x {width}; both have to be multiples of {self.patch_size}"
            )
        x = self.patch_embed(image.to(self.pos_embed.dtype))  # (B, h, w, C)
        x = x + resize_positions(self.pos_embed, (x.shape[1], x.shape[2]))
        for block in self.blocks:
            x = block(x)
        return Embedding(self.neck(x.permute(0, 3, 1, 2)))


def make_neck(embed_dim: int, out_chans: int) -> nn.Sequential:
    """The last convolutions, which bring (B, embed_dim, H, W) to (B, out_chans, H, W)."""
    return nn.Sequential(
        nn.Conv2d(embed_dim, out_chans, 1, bias=False),
        LayerNorm2d(out_chans),
        nn.Conv2d(out_chans, out_chans, 3, padding=1, bias=False),
        LayerNorm2d(out_chans),
    )


class PatchEmbed(nn.Module):
    """Cut an image into patches and project each to a token."""

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, stride=patch_size)

    def forward(self, image: Tensor) -> Tensor:
        # Contiguous, or every layer norm would bring the channels together anew.
        return self.proj(image).permute(0, 2, 3, 1).contiguous()  # (B, h, w, C)


class Block(nn.Module):
    """Attention, in windows or global where `window_size` is 0, and an MLP."""

    def __init__(
        self, dim: int, num_heads: int, *, mlp_dim: int, window_size: int, table_size: int
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = RelativeAttention(dim, num_heads, table_size)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLPBlock(dim, mlp_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), self.window_size)
        return x + self.mlp(self.norm2(x))


class MLPBlock(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.lin1 = FastLinear(dim, mlp_dim)
        self.lin2 = FastLinear(mlp_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(self.lin1(x, "gelu"))


class RelativeAttention(nn.Module):
    """Multi-head attention over a grid, biased by relative rows and columns.

    Parameters
    ----------
    dim, num_heads : int
    table_size : int
        Side of the grid for which the tables were trained.
    """

    def __init__(self, dim: int, num_heads: int, table_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = FastLinear(dim, 3 * dim)
        self.proj = FastLinear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * table_size - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * table_size - 1, dim // num_heads))

    def forward(self, x: Tensor, window_size: int = 0) -> Tensor:
        """Attend within windows, or to the whole grid where `window_size` is 0.

        Windows that reach beyond the grid are filled up with tokens of zeros, to which the others
        attend. Their queries, keys and values are the bias of `qkv`, so nothing is computed of
        them, and no projection follows them.
        """
        qkv = self.qkv(x)  # (B, h, w, 3 C)
        if window_size:
            qkv = partition_windows(qkv, window_size, self.qkv.bias)
        mixed = self._mix(qkv)
        return self.proj(join_windows(mixed, (x.shape[1], x.shape[2])) if window_size else mixed)

    def _mix(self, qkv: Tensor) -> Tensor:
        """Attention on grids: (B, h, w, 3 C) to (B, h, w, C)."""
        batch, height, width, _ = qkv.shape
        q, k, v = qkv.reshape(batch, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        grid = q.unflatten(2, (height, width))
        rows = relative_table(self.rel_pos_h, height).to(q.dtype)  # (h, h, C / heads)
        columns = relative_table(self.rel_pos_w, width).to(q.dtype)  # (w, w, C / heads)
        bias_h = torch.einsum("bnhwc,hkc->bnhwk", grid, rows).flatten(2, 3)  # (B, heads, h * w, h)
        bias_w = torch.einsum("bnhwc,wkc->bnhwk", grid, columns).flatten(2, 3)
        mixed = attend(q, k, v, bias_h, bias_w)
        return mixed.transpose(1, 2).reshape(batch, height, width, -1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    """Attention with a bias that is the sum of a row and a column term.

    Parameters
    ----------
    q, k, v : Tensor of shape (B, heads, h * w, C)
    bias_h : Tensor of shape (B, heads, h * w, h)
        Of each query for each row of keys.
    bias_w : Tensor of shape (B, heads, h * w, w)

    Returns
    -------
    mixed : Tensor of shape (B, heads, h * w, C)

    Notes
    -----
    The bias of a global block of ViT-B has 12 x 4096 x 4096 numbers, 805 MB. Inference on a CPU
    makes and uses it in pieces, which is faster as well: they stay in the cache. In bfloat16
    PyTorch's fused attention is no faster than in float32, but its products of matrices are.
    """
    if q.device.type != "cpu" or torch.is_grad_enabled():
        bias = (bias_h[..., :, None] + bias_w[..., None, :]).flatten(-2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    mix = _fused
    if q.dtype == torch.bfloat16:
        mix, q, k, v = _multiplied, q.contiguous(), k.contiguous(), v.contiguous()
    batch, heads, tokens, _ = q.shape
    mixed = q.new_empty(batch, tokens, heads, v.shape[-1]).transpose(1, 2)
    elements = BIAS_ELEMENTS * torch.get_num_threads()
    head_step = max(1, elements // tokens**2)
    row_step = max(1, elements // tokens)
    buffer = q.new_empty(min(head_step, heads) * min(row_step, tokens) * tokens)
    for item, head, row in product(
        range(batch), range(0, heads, head_step), range(0, tokens, row_step)
    ):
        keys = (slice(item, item + 1), slice(head, head + head_step))
        queries = (*keys, slice(row, row + row_step))
        height, width = bias_h[queries][..., :, None], bias_w[queries][..., None, :]
        shape = (*height.shape[:-1], width.shape[-1])
        bias = torch.add(height, width, out=buffer[: math.prod(shape)].view(shape)).flatten(-2)
        mixed[queries] = mix(q[queries], k[keys], v[keys], bias)
    return mixed


def _fused(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _multiplied(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """As `_fused`, with plain products of matrices, on top of the bias; (1, heads, N, C)."""
    scores = bias[0].baddbmm_(q[0], k[0].transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    return torch.bmm(torch.softmax(scores, -1, out=scores), v[0])[None]


def relative_table(table: Tensor, size: int) -> Tensor:
    """Look up the embeddings of all relative positions on a line of `size` tokens.

    Parameters
    ----------
    table : Tensor of shape (2 * trained_size - 1, C)
        From the most negative to the most positive distance; stretched where `size` differs.
    size : int

    Returns
    -------
    embeddings : Tensor of shape (size, size, C)
        For query and key.
    """
    if len(table) != 2 * size - 1:
        stretched = F.interpolate(table.T[None].float(), size=2 * size - 1, mode="linear")
        table = stretched[0].T.to(table.dtype)
    positions = torch.arange(size, device=table.device)
    return table[positions[:, None] - positions[None, :] + size - 1]


def resize_positions(pos_embed: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample a position embedding of shape (1, h, w, C) to another grid, bicubic."""
    if pos_embed.shape[1:3] == size:
        return pos_embed
    resized = F.interpolate(
        pos_embed.permute(0, 3, 1, 2).float(), size=size, mode="bicubic", align_corners=False
    )
    return resized.permute(0, 2, 3, 1).to(pos_embed.dtype)


def partition_windows(x: Tensor, size: int, fill: Tensor | None = None) -> Tensor:
    """Cut a grid of tokens into windows, filled up below and to the right where they do not fit.

    Parameters
    ----------
    x : Tensor of shape (B, h, w, C)
    size : int
        Side of a window.
    fill : Tensor of shape (C,), optional
        What to fill up with; zeros by default.

    Returns
    -------
    windows : Tensor of shape (B * rows * columns, size, size, C)
    """
    # Without negative numbers, which ONNX would divide and round towards zero.
    right, below = (size - x.shape[2] % size) % size, (size - x.shape[1] % size) % size
    if fill is None:
        x = F.pad(x, (0, 0, 0, right, 0, below))
    else:
        fill = fill.to(x.dtype)
        x = torch.cat([x, fill.expand(x.shape[0], x.shape[1], right, -1)], 2)
        x = torch.cat([x, fill.expand(x.shape[0], below, x.shape[2], -1)], 1)
    windows = x.unflatten(1, (-1, size)).unflatten(3, (-1, size))  # (B, rows, s, columns, s, C)
    return windows.transpose(2, 3).flatten(0, 2)


def join_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put windows back into a grid and drop their padding: the inverse of `partition_windows`.

    Parameters
    ----------
    windows : Tensor of shape (B * rows * columns, size, size, C)
    grid : (h, w)

    Returns
    -------
    x : Tensor of shape (B, h, w, C)
    """
    height, width = grid
    size = windows.shape[1]
    rows, columns = (height + size - 1) // size, (width + size - 1) // size
    x = windows.unflatten(0, (-1, rows, columns)).transpose(2, 3)  # (B, rows, s, columns, s, C)
    return x.flatten(3, 4).flatten(1, 2)[:, :height, :width]
