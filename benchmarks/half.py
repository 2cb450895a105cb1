"""A model in bfloat16 against float32 on a CPU: seconds, and how far masks agree.

Masks of boxes and clicks on objects of the test side, as in ``int8``; IoU is of the two types'
masks with each other, not with the truth.

    python benchmarks/run.py half --limit 5 --json half.json
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import stacksam

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _precision import Models, precision_benchmark


def versions(model: str) -> AbstractContextManager[Models]:
    """The model in both types."""
    types = ("float32", "bfloat16")
    return nullcontext({t: stacksam.load_model(model, device="cpu", dtype=t) for t in types})


measure = precision_benchmark(versions, threads=2)
