"""A linear layer that takes the faster of PyTorch's two CPU libraries.

PyTorch multiplies float32 matrices with MKL, which leaves half of an AMD processor's speed unused;
oneDNN, which PyTorch ships for convolutions, does not: 98 against 185 GFLOP/s on one core of an
EPYC of 2025, 4096 x 768 by 768 x 3072.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOLERANCE = 1e-4
"""Largest difference between the two libraries in the self-test; round-off is far below."""


class FastLinear(nn.Linear):
    """`torch.nn.Linear` with a oneDNN path for float32 inference on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if _is_plain_inference(x) and x.dtype == self.weight.dtype and has_onednn():
            return _onednn_linear(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)


@cache
def has_onednn() -> bool:
    """Whether oneDNN's linear is there and right; it is not a public function of PyTorch."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 32, generator=generator), torch.randn(48, 32, generator=generator)
    bias = torch.randn(48, generator=generator)
    try:
        result = _onednn_linear(x, weight, bias)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return bool(torch.allclose(result, F.linear(x, weight, bias), atol=TOLERANCE))


def _is_plain_inference(x: Tensor) -> bool:
    """Float32 on a CPU, with nobody recording gradients or a graph."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
