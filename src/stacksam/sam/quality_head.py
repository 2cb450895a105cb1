"""Look at each predicted mask, and at what lies inside and beside it, to tell how good it is.

SAM's own head tells the quality of all masks from one token, before any of them is drawn. A
candidate that stops in the middle of an object, or flows out of it, shows that at its rim.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUMBERS = 5
"""Of a mask's shape: size, doubt, length of the rim, share at the field's edge, peak."""


class QualityHead(nn.Module):
    """Correct the predicted quality of masks; it says nothing until it is trained.

    Parameters
    ----------
    channels : int
        Of features and mask tokens.
    hidden_dim : int
    """

    def __init__(self, channels: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * channels + NUMBERS, hidden_dim)
        self.out = nn.Linear(hidden_dim, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, tokens: Tensor, cells: Tensor) -> Tensor:
        """Judge masks.

        Parameters
        ----------
        features : Tensor of shape (B, H * W, C)
        tokens : Tensor of shape (B, M, C)
            From which the masks were made.
        cells : Tensor of shape (B, M, H, W)
            Probabilities of the masks, averaged over each cell of the features.

        Returns
        -------
        correction : Tensor of shape (B, M)
            To be added to the predicted IoU.
        """
        rim = F.max_pool2d(cells, 3, stride=1, padding=1) - cells  # the cells just outside
        inside = mean_features(features, cells)
        beside = mean_features(features, rim)
        seen = torch.cat([inside, beside, tokens, _numbers(cells, rim).to(tokens.dtype)], dim=-1)
        return self.out(F.relu(self.hidden(seen)))[..., 0]


def mean_features(features: Tensor, weights: Tensor) -> Tensor:
    """Features (B, H * W, C) averaged under weights (B, M, H, W): (B, M, C)."""
    flat = weights.flatten(2).to(features.dtype)
    return (flat @ features) / (flat.sum(2, keepdim=True) + 1)


def _numbers(cells: Tensor, rim: Tensor) -> Tensor:
    """What the shape alone says: (B, M, NUMBERS), each of the order of 1."""
    area = cells.sum((2, 3)) + 1
    doubt = (cells * (1 - cells)).sum((2, 3)) / area.sqrt()
    edge = cells[..., 0, :].sum(2) + cells[..., -1, :].sum(2)
    edge = edge + cells[..., 0].sum(2) + cells[..., -1].sum(2)
    return torch.stack(
        [
            area.log() / 4,
            doubt,
            rim.sum((2, 3)) / (8 * area.sqrt()),
            edge / area.sqrt(),
            cells.amax((2, 3)),
        ],
        dim=-1,
    )
