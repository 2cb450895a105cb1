"""A linear layer that takes the faster of PyTorch's two CPU libraries.

PyTorch multiplies float32 matrices with MKL, which leaves half of an AMD processor's speed unused;
oneDNN, which PyTorch ships for convolutions, does not: 98 against 185 GFLOP/s on one core of an
EPYC of 2025, 4096 x 768 by 768 x 3072.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOLERANCE = 1e-4
"""Largest difference between the two libraries in the self-test; round-off is far below."""

HALF_TOLERANCE = 2e-2
"""The same in bfloat16, which has 8 bits."""


class FastLinear(nn.Linear):
    """`torch.nn.Linear` with a oneDNN path for inference on a CPU, in float32 and bfloat16."""

    def forward(self, x: Tensor, activation: Literal["none", "gelu"] = "none") -> Tensor:
        """Multiply, and apply an activation to what was multiplied."""
        if is_plain_inference(x) and x.dtype == self.weight.dtype and has_onednn(x.dtype):
            return _onednn_linear(x, self.weight, self.bias, activation)
        y = F.linear(x, self.weight, self.bias)
        return F.gelu(y) if activation == "gelu" else y


@cache
def has_onednn(dtype: torch.dtype = torch.float32) -> bool:
    """Whether oneDNN's linear is there and right; it is not a public function of PyTorch."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 32, generator=generator), torch.randn(48, 32, generator=generator)
    x, weight, bias = (t.to(dtype) for t in (x, weight, torch.randn(48, generator=generator)))
    try:
        result = add_product(_onednn_linear(x, weight, bias, "gelu"), weight.T, None, x)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    expected = F.gelu(F.linear(x.float(), weight.float(), bias.float())) @ weight.float() + x
    tolerance = TOLERANCE if dtype == torch.float32 else HALF_TOLERANCE
    return bool(torch.allclose(result.float(), expected, atol=tolerance, rtol=tolerance))


def is_plain_inference(x: Tensor) -> bool:
    """Float32 or bfloat16 on a CPU, with nobody recording gradients or a graph."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def _onednn_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none"
) -> Tensor:
    algorithm = "none" if activation == "gelu" else ""  # not the approximation by tanh
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], algorithm)


def add_product(x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor) -> Tensor:
    """``linear(x, weight, bias) + other`` in one go; where `has_onednn` says so."""
    return torch.ops.mkldnn._linear_pointwise.binary(x, other, weight, bias, "add")


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Tensor:
    """A linear layer and its activation in one go; where `has_onednn` says so."""
    return _onednn_linear(x, weight, bias, activation)


def dot_products(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y.transpose(1, 2)`` of (B, N, C) and (B, M, C); a single pair goes to oneDNN."""
    if len(x) == len(y) == 1 and is_plain_inference(x) and has_onednn(x.dtype):
        return multiply(x, y[0], None)
    return x @ y.transpose(1, 2)
