"""Seconds per image of SAM's encoder, ours and the references' in turns, on a CPU.

Every round runs each encoder once on the same image, and ratios are taken within a round: the
median of our time by the other's, below 1 ours is faster. ``ratio`` is that to the faster attention
of transformers, float32. ``peak_mb`` is how much a fresh process grows by encoding one image.
segment-anything is compared where it is installed (``pip install --no-deps segment-anything``).
``compact_seconds`` is the built-in model's encoder.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stacksam.sam.model import build_compact
from stacksam.sam.official import SAM_CONFIGS, SamModel

sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import random_sam, segment_anything_sam, transformers_sam

from propagation import peak_memory

Encode = Callable[[Tensor], Tensor]


def measure(
    model: str = "vit_b", threads: int = 2, repeats: int = 5, bf16: bool = True, memory: bool = True
) -> dict[str, float]:
    """Median seconds, paired ratios and peak memory.

    Parameters
    ----------
    model : str
        A name of `SAM_CONFIGS`.
    threads : int
    repeats : int
        Rounds, after one that warms up.
    bf16 : bool
        Also run in bfloat16.
    memory : bool
        Also measure peak memory.
    """
    torch.set_num_threads(threads)
    ours = random_sam(SAM_CONFIGS[model], seed=0)
    image = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    figures: dict[str, float] = {"threads": float(threads)}
    if memory:
        for name in ("ours", "transformers_sdpa"):
            figures[f"{name}_peak_mb"] = _peak_of(name, model, threads)
    figures |= _compare(float32_encoders(ours, model), image, repeats)
    fastest = min(
        figures[f"{name}_seconds"] for name in ("transformers_sdpa", "transformers_eager")
    )
    is_sdpa = fastest == figures["transformers_sdpa_seconds"]
    figures["ratio"] = figures[f"ratio_to_transformers_{'sdpa' if is_sdpa else 'eager'}"]
    if bf16:
        figures |= _compare(bf16_encoders(ours, model), image, repeats)
    compact = build_compact().eval().image_encoder
    field = torch.rand(1, 1, 256, 256)
    compact_seconds = [_timed(compact, field)[0] for _ in range(10)]
    return figures | {"compact_seconds": float(np.median(compact_seconds[1:]))}


def float32_encoders(ours: SamModel, model: str) -> dict[str, Encode]:
    """Our encoder and the references' with its weights; ours first."""
    config = SAM_CONFIGS[model]
    encoders: dict[str, Encode] = {"ours": partial(_first, ours.image_encoder)}
    for attention in ("sdpa", "eager"):
        theirs = transformers_sam(ours, config, attention).vision_encoder
        encoders[f"transformers_{attention}"] = partial(_first, theirs)
    if find_spec("segment_anything"):
        encoders["segment_anything"] = segment_anything_sam(ours, config).image_encoder
    return encoders


def bf16_encoders(ours: SamModel, model: str) -> dict[str, Encode]:
    """As `float32_encoders`; ours as `load_model(..., dtype="bfloat16")` runs it."""

    def autocast(image: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return ours.image_encoder(image).image_embedding

    def as_bf16(encoder: Any) -> Encode:
        return lambda image: _first(encoder, image.bfloat16())

    config = SAM_CONFIGS[model]
    # A copy: converting would change the weights that ours shares.
    copied = random_sam(config, seed=0)
    theirs = transformers_sam(copied, config).vision_encoder.bfloat16()
    encoders: dict[str, Encode] = {
        "ours_bf16": autocast,
        "transformers_sdpa_bf16": as_bf16(theirs),
    }
    if find_spec("segment_anything"):
        published = segment_anything_sam(random_sam(config, seed=0), config).image_encoder
        encoders["segment_anything_bf16"] = as_bf16(published.bfloat16())
    return encoders


def _compare(encoders: dict[str, Encode], image: Tensor, repeats: int) -> dict[str, float]:
    """Run all in turns; the first one is ours."""
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    results: dict[str, Tensor] = {}
    for repeat in range(repeats + 1):
        for name, encode in encoders.items():
            taken, results[name] = _timed(encode, image)
            if repeat:
                seconds[name].append(taken)
    first, *others = encoders
    figures = {f"{name}_seconds": float(np.median(values)) for name, values in seconds.items()}
    for name in others:
        ratios = np.divide(seconds[first], seconds[name])
        figures[f"ratio_to_{name}"] = float(np.median(ratios))
        figures[f"ratio_to_{name}_largest"] = float(ratios.max())
        difference = (results[first].float() - results[name].float()).norm()
        figures[f"relative_difference_from_{name}"] = float(difference / results[name].norm())
    return figures


@torch.inference_mode()
def _timed(encode: Callable[[Tensor], Any], image: Tensor) -> tuple[float, Any]:
    started = time.perf_counter()
    result = encode(image)
    return time.perf_counter() - started, result


def _first(encoder: Any, image: Tensor) -> Tensor:
    return encoder(image)[0]


def _peak_of(name: str, model: str, threads: int) -> float:
    """Measure in a process of its own, as peaks never fall."""
    command = [sys.executable, __file__, name, model, str(threads)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(printed.split()[-1])


def _print_peak(name: str, model: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    ours = random_sam(SAM_CONFIGS[model], seed=0)
    encode: Encode = partial(_first, ours.image_encoder)
    if name != "ours":
        theirs = transformers_sam(ours, SAM_CONFIGS[model], name.partition("_")[2])
        encode = partial(_first, theirs.vision_encoder)
    image = torch.randn(1, 3, 1024, 1024)
    before = peak_memory()
    _timed(encode, image)
    print(peak_memory() - before)


if __name__ == "__main__":
    _print_peak(*sys.argv[1:])
