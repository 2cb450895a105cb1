"""Seconds per image of SAM's encoder, ours and the references' in turns, on a CPU.

Every round runs each encoder once on the same image, and ratios are taken within a round: the
median of our time by the other's, below 1 ours is faster. ``ours_bfloat16_to_NAME`` and
``ours_float32_to_NAME`` are these ratios. Among the others are products of matrices alone,
(4096, 768) by (768, 3072), as many as the reference has floating-point operations
(``reference_gflop``). ``relative_error_NAME`` is that of the embedding (Frobenius norm) from
float32 of the same weights; the weights are random. ``peak_mb`` is how much a fresh process grows
by encoding one image. segment-anything is compared where it is installed (``pip install --no-deps
segment-anything``) or ``--references`` names a folder with its checkout. ``compact_seconds`` is the
built-in model's encoder.

    python benchmarks/run.py encoder --references ../references --json encoder.json
"""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stacksam.sam.model import build_compact
from stacksam.sam.official import SAM_CONFIGS

sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import random_sam, segment_anything_sam, transformers_sam

from propagation import peak_memory

Encode = Callable[[Tensor], Any]
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS = tuple(f"ours_{name}" for name in TYPES)


def measure(
    model: str = "vit_b",
    threads: int = 2,
    repeats: int = 3,
    references: str = "../references",
    eager: bool = False,
    memory: bool = True,
    compiled: bool = False,
) -> dict[str, float]:
    """Median seconds, paired ratios, errors and peak memory.

    Parameters
    ----------
    model : str
        A name of `SAM_CONFIGS`.
    threads : int
    repeats : int
        Rounds, after one that warms up.
    references : str
        Folder with a checkout named segment-anything.
    eager : bool
        Also run transformers' attention that is not fused.
    memory : bool
        Also measure peak memory.
    compiled : bool
        Also run ours under `torch.compile`.
    """
    torch.set_num_threads(threads)
    sys.path.append(str(Path(references) / "segment-anything"))
    image = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    figures: dict[str, float] = {"threads": float(threads)}
    if memory:
        for name in (*OURS, "transformers_sdpa_float32"):
            figures[f"{name}_peak_mb"] = _peak_of(name, model, threads)
    encoders = {
        f"{name}_{of_type}": encode
        for of_type in TYPES
        for name, encode in make_encoders(model, of_type, eager, compiled).items()
    }
    operations = reference_operations(model, image)
    figures["reference_gflop"] = operations / 1e9
    products = {
        f"products_{name}": make_products(dtype, operations) for name, dtype in TYPES.items()
    }
    figures |= _compare(encoders | products, image, repeats)
    compact = build_compact().eval().to(memory_format=torch.channels_last).image_encoder
    field = torch.rand(1, 1, 256, 256)
    compact_seconds = [_timed(compact, field)[0] for _ in range(10)]
    return figures | {"compact_seconds": float(np.median(compact_seconds[1:]))}


def make_encoders(
    model: str, of_type: str, eager: bool = False, compiled: bool = False
) -> dict[str, Encode]:
    """Our encoder and the references', with equal weights of one type."""
    config, dtype = SAM_CONFIGS[model], TYPES[of_type]
    ours = random_sam(config, seed=0)  # theirs share its weights
    ours.image_encoder.to(dtype)
    encoders: dict[str, Encode] = {"ours": ours.image_encoder}
    if compiled:
        encoders["ours_compiled"] = torch.compile(ours.image_encoder)
    for attention in ("sdpa", "eager") if eager else ("sdpa",):
        encoders[f"transformers_{attention}"] = transformers_sam(
            ours, config, attention
        ).vision_encoder
    if find_spec("segment_anything"):
        encoders["segment_anything"] = segment_anything_sam(ours, config).image_encoder
    return {name: _in_type(encoder, dtype) for name, encoder in encoders.items()}


def reference_operations(model: str, image: Tensor) -> float:
    """Floating-point operations of the published encoder, windows' padding included."""
    config = SAM_CONFIGS[model]
    encoder = transformers_sam(random_sam(config, seed=0), config, "eager").vision_encoder
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        copy.deepcopy(encoder).to("meta")(image.to("meta"))
    return float(counter.get_total_flops())


def make_products(dtype: torch.dtype, operations: float) -> Encode:
    """Products of matrices that are as much work."""
    x, weight = torch.randn(4096, 768, dtype=dtype), torch.randn(768, 3072, dtype=dtype)
    count = round(operations / (2 * 4096 * 768 * 3072))

    def run(image: Tensor) -> None:
        for _ in range(count):
            torch.mm(x, weight)

    return run


def _in_type(encoder: Any, dtype: torch.dtype) -> Encode:
    return lambda image: encoder(image.to(dtype))[0]


def _compare(encoders: dict[str, Encode], image: Tensor, repeats: int) -> dict[str, float]:
    """Run all in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    results: dict[str, Any] = {}
    for repeat in range(repeats + 1):
        for name, encode in encoders.items():
            taken, results[name] = _timed(encode, image)
            if repeat:
                seconds[name].append(taken)
    figures = {f"{name}_seconds": float(np.median(values)) for name, values in seconds.items()}
    for ours in OURS:
        for name in encoders:
            if name != ours:
                ratios = np.divide(seconds[ours], seconds[name])
                figures[f"{ours}_to_{name}"] = float(np.median(ratios))
    exact = results.get("segment_anything_float32", results["transformers_sdpa_float32"])
    for name, result in results.items():
        if result is not None:
            error = (result.float() - exact).reshape(-1).norm() / exact.norm()
            figures[f"relative_error_{name}"] = float(error)
    return figures


@torch.inference_mode()
def _timed(encode: Encode, image: Tensor) -> tuple[float, Any]:
    started = time.perf_counter()
    result = encode(image)
    return time.perf_counter() - started, result


def _peak_of(name: str, model: str, threads: int) -> float:
    """Measure in a process of its own, as peaks never fall."""
    command = [sys.executable, __file__, name, model, str(threads)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(printed.split()[-1])


def _print_peak(name: str, model: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    encoder, _, of_type = name.rpartition("_")
    encode = make_encoders(model, of_type)[encoder]
    image = torch.randn(1, 3, 1024, 1024)
    before = peak_memory()
    _timed(encode, image)
    print(peak_memory() - before)


if __name__ == "__main__":
    _print_peak(*sys.argv[1:])
