"""Seconds per image of SAM's encoder, ours and transformers' in turns, float32 on a CPU.

`ratio` is the median over pairs of our time by that of transformers' faster attention, measured one
after the other; below 1 ours is faster. `compact_seconds` is the built-in model's encoder.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stacksam.sam.model import build_compact
from stacksam.sam.official import SAM_CONFIGS

sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import random_sam, transformers_sam


def measure(model: str = "vit_b", threads: int = 2, repeats: int = 5) -> dict[str, float]:
    """Median seconds and paired ratios.

    Parameters
    ----------
    model : str
        A name of `SAM_CONFIGS`.
    threads : int
    repeats : int
        After one round that warms up.
    """
    torch.set_num_threads(threads)
    config = SAM_CONFIGS[model]
    ours = random_sam(config, seed=0)
    encoders: dict[str, Any] = {"ours": ours.image_encoder}
    for attention in ("sdpa", "eager"):
        reference = transformers_sam(ours, config, attention).vision_encoder
        encoders[f"transformers_{attention}"] = reference
    image = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for repeat in range(repeats + 1):
        for name, encoder in encoders.items():
            taken = _seconds(encoder, image)
            if repeat:
                seconds[name].append(taken)
    fastest = min(
        (name for name in encoders if name != "ours"), key=lambda name: np.median(seconds[name])
    )
    ratios = np.divide(seconds["ours"], seconds[fastest])
    compact = build_compact().eval().image_encoder
    field = torch.rand(1, 1, 256, 256)
    return {
        **{f"{name}_seconds": float(np.median(values)) for name, values in seconds.items()},
        "ratio": float(np.median(ratios)),
        "ratio_smallest": float(ratios.min()),
        "ratio_largest": float(ratios.max()),
        "difference": _difference(encoders["ours"], encoders[fastest], image),
        "compact_seconds": float(np.median([_seconds(compact, field) for _ in range(10)][1:])),
        "threads": float(threads),
    }


@torch.inference_mode()
def _seconds(encoder: Any, image: torch.Tensor) -> float:
    started = time.perf_counter()
    encoder(image)
    return time.perf_counter() - started


@torch.inference_mode()
def _difference(ours: Any, theirs: Any, image: torch.Tensor) -> float:
    return float((ours(image)[0] - theirs(image)[0]).abs().max())
