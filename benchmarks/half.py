"""A model in bfloat16 against float32 on a CPU: seconds, and how far masks agree.

Masks of boxes and clicks on objects of the test side, as in ``int8``; IoU is of the two types'
masks with each other, not with the truth.

    python benchmarks/run.py half --limit 5 --json half.json
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

import stacksam
from stacksam.evaluation.cases import choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.sam.onnx_export import calibration_crops

sys.path.insert(0, str(Path(__file__).resolve().parent))

from int8 import agreement

TYPES = ("float32", "bfloat16")


def measure(
    data: str = "../shared/data",
    model: str = "compact",
    limit: int = 5,
    seed: int = 0,
    threads: int = 2,
    repeats: int = 10,
) -> dict[str, float]:
    """Median seconds of the encoder, their ratio within rounds, and mean IoU by data set.

    Parameters
    ----------
    data : str
        Folder with SPLIT.json.
    model : str
        Name or checkpoint.
    limit : int
        Objects per data set.
    seed, threads, repeats : int
    """
    torch.set_num_threads(threads)
    models = [stacksam.load_model(model, device="cpu", dtype=name) for name in TYPES]
    taken: list[list[float]] = [[], []]
    for crop in calibration_crops(models[0].input_size, repeats + 1):
        for seconds, each in zip(taken, models, strict=True):
            started = time.perf_counter()
            each.encode(crop)
            seconds.append(time.perf_counter() - started)
    figures = {
        f"{name}_encode_seconds": float(np.median(seconds[1:]))
        for name, seconds in zip(TYPES, taken, strict=True)
    }
    figures["ratio"] = float(np.median(np.divide(taken[1][1:], taken[0][1:])))
    found = agreement(*models, choose_cases(find_items(data, "test"), limit, seed))
    return figures | {name.replace("int8_", "bfloat16_"): value for name, value in found.items()}
