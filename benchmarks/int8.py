"""The encoder of a model in PyTorch, as ONNX and in 8 bits: seconds, and how far masks agree.

Masks of boxes and clicks on objects of the test side; IoU is of the 8-bit model's mask with the
float model's, not with the truth. Speed-ups are medians of ratios, measured in turns.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import stacksam
from stacksam.sam.onnx_export import calibration_crops, export_onnx
from stacksam.sam.predictor import FieldPrompts

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _precision import Models, precision_benchmark


@contextmanager
def versions(model: str) -> Iterator[Models]:
    """The model as it is, and exported twice."""
    plain = stacksam.load_model(model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        exact = export_onnx(plain, Path(folder) / "float")
        coarse = export_onnx(plain, Path(folder) / "int8", int8=True)
        yield {
            "torch": plain,
            "onnx": stacksam.load_model(exact, device="cpu"),
            "int8": stacksam.load_model(coarse, device="cpu"),
        }


@torch.inference_mode()
def logits_difference(models: Models) -> dict[str, float]:
    """Largest absolute difference of logits over fields and prompts, in single precision."""
    side, worst = models["torch"].input_size, 0.0
    asked = FieldPrompts(
        points_yx=((0.5 * side, 0.5 * side),),
        is_positive=(True,),
        box_yxyx=(0.2 * side, 0.2 * side, 0.8 * side, 0.8 * side),
    )
    points = models["torch"]._points(asked)
    for crop in calibration_crops(side, 4):
        image = torch.from_numpy(crop)[None, None]
        networks = [models[name].network for name in ("torch", "onnx")]
        masks = [network.decode(network.encode(image), points).masks for network in networks]
        worst = max(worst, float((masks[0] - masks[1]).abs().max()))
    return {"onnx_logits_difference": worst}


measure = precision_benchmark(versions, threads=1, more=logits_difference)
