"""The benchmarks' comparison with reference implementations, for tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sam_models

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def benchmark(name: str) -> ModuleType:
    """A file of the benchmarks as a module; skips where the repository is not there."""
    path = BENCHMARKS / f"{name}.py"
    if not path.is_file():
        pytest.skip("benchmarks are in the repository only")
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def segment_anything_predictor() -> Any:
    """segment-anything's `SamPredictor` with the weights of the tiny SAM."""
    reference = benchmark("reference")
    model = reference.segment_anything_sam(sam_models.tiny_sam(), sam_models.TINY_SAM)
    return reference.import_segment_anything().SamPredictor(model)
