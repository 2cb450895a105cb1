"""Muon (Jordan et al. 2024) for matrices, AdamW (Loshchilov and Hutter 2019) for the rest.

Muon replaces a matrix's averaged gradient by the nearest orthogonal matrix, so that rare directions
learn as fast as frequent ones; scaled as by Liu et al. 2025 (arXiv 2502.16982) its step is as
large as AdamW's, and one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that Jordan et al. tuned for few steps."""

NEWTON_SCHULZ_STEPS = 5
LEAST_WIDTH = 16
"""Features below which a layer reads the input or writes a score."""

ADAMW_RMS = 0.2
"""Root mean square of a typical AdamW step, in learning rates."""


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Each of at least two dimensions; all but the first are taken together.
    lr, momentum, weight_decay : float
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters by their gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                average = state["momentum"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])  # Nesterov
                change = orthogonalised(ahead.flatten(1)).view(ahead.shape)
                scale = ADAMW_RMS * max(ahead.flatten(1).shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(change, alpha=-group["lr"] * scale)


def orthogonalised(matrix: Tensor) -> Tensor:
    """About the nearest matrix (M, N) with singular values of 1, by a Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.to(torch.bfloat16)
    is_tall = len(x) > x.shape[1]
    x = x.T if is_tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if is_tall else x).to(matrix.dtype)


def make_optimizers(
    model: nn.Module, name: str, *, lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Optimisers for a model's parameters.

    Parameters
    ----------
    model : Module
    name : {"muon", "adamw"}
        Of what changes the hidden matrices; embeddings, depthwise kernels and the last layers of
        heads, which are not maps between hidden features, are left to AdamW.
    lr, weight_decay : float

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in ("muon", "adamw"):
        raise ValueError(f"optimizer {name!r} is unknown; use muon or adamw")
    hidden = _hidden_matrices(model) if name == "muon" else set()
    named = list(model.named_parameters())
    rest = [(n, p) for n, p in named if n not in hidden]
    groups = [
        {"params": [p for _, p in rest if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for _, p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))]
    if hidden:
        matrices = [p for n, p in named if n in hidden]
        made.append(Muon(matrices, lr=lr, weight_decay=weight_decay))
    return made


def _hidden_matrices(model: nn.Module) -> set[str]:
    """Names of weights of linear layers and dense convolutions between hidden features."""
    names = set()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d) or getattr(module, "groups", 1) > 1:
            continue
        if min(module.weight.flatten(1).shape) >= LEAST_WIDTH:
            names.add(f"{name}.weight")
    return names
