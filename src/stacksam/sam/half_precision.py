"""Whether this computer multiplies matrices faster in bfloat16 than in float32."""

from __future__ import annotations

import time
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_GAIN = 1.25
"""How many times faster bfloat16 has to be; with AVX512-BF16 it is 2, without far below 1."""

LEAST_WEIGHTS = 20_000_000
"""Of an encoder that is computed in half precision without being asked to; smaller ones are made of
convolutions that gain little."""

ROUNDS = 5


def wants_bfloat16(encoder: nn.Module) -> bool:
    """Whether an encoder is best computed in bfloat16 on this computer's processor."""
    is_able = getattr(encoder, "computes_in_weights_type", False)
    return is_able and is_large(encoder) and has_fast_bfloat16()


def is_large(encoder: nn.Module) -> bool:
    """Whether an encoder has `LEAST_WEIGHTS`."""
    return sum(weight.numel() for weight in encoder.parameters()) >= LEAST_WEIGHTS


@cache
def has_fast_bfloat16() -> bool:
    """Try it once per process, in about 30 ms."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 768, generator=generator) for n in (256, 768))
    return _seconds(x, weight) >= LEAST_GAIN * _seconds(x.bfloat16(), weight.bfloat16())


@torch.inference_mode()
def _seconds(x: Tensor, weight: Tensor) -> float:
    """The shortest of a few times: what else the computer does only adds."""
    taken = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        F.linear(x, weight)
        taken.append(time.perf_counter() - started)
    return min(taken[1:])
