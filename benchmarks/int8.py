"""The encoder of a model in PyTorch, as ONNX and in 8 bits: seconds, and how far masks agree.

Masks of boxes and clicks on objects of the test side; IoU is of the 8-bit model's mask with the
float model's, not with the truth. Speed-ups are ratios of medians measured in turns.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import stacksam
from stacksam.core.simulated_prompts import box_around, click_on
from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.sam.onnx_export import calibration_crops, export_onnx
from stacksam.sam.predictor import FieldPrompts, Predictor


def measure(
    data: str = "../shared/data",
    model: str = "compact",
    limit: int = 5,
    seed: int = 0,
    threads: int = 1,
    repeats: int = 10,
) -> dict[str, float]:
    """Median seconds, speed-ups, largest difference of logits, and mean IoU by data set.

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
    plain = stacksam.load_model(model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        exact = export_onnx(plain, Path(folder) / "float")
        coarse = export_onnx(plain, Path(folder) / "int8", int8=True)
        models = {
            "torch": plain,
            "onnx": stacksam.load_model(exact, device="cpu"),
            "int8": stacksam.load_model(coarse, device="cpu"),
        }
        figures = seconds(models, repeats) | {"threads": float(threads)}
        figures["onnx_logits_difference"] = logits_difference(plain, models["onnx"])
        if not (Path(data) / "SPLIT.json").is_file():
            print(f"  agreement is left out, there is no SPLIT.json in {data}", flush=True)
            return figures
        cases = choose_cases(find_items(data, "test"), limit, seed)
        return figures | agreement(models["torch"], models["int8"], cases)


def seconds(models: dict[str, Predictor], repeats: int) -> dict[str, float]:
    """Medians over fields of the samples, one model after the other, after one round to warm up."""
    crops = list(calibration_crops(models["torch"].input_size, repeats + 1))
    taken: dict[str, list[float]] = {name: [] for name in models}
    for crop in crops:
        for name, model in models.items():
            started = time.perf_counter()
            model.encode(crop)
            taken[name].append(time.perf_counter() - started)
    medians = {f"{name}_seconds": float(np.median(t[1:])) for name, t in taken.items()}
    ratios = np.divide(taken["torch"][1:], taken["int8"][1:])
    return medians | {
        "int8_speedup": float(np.median(ratios)),
        "onnx_speedup": float(np.median(np.divide(taken["torch"][1:], taken["onnx"][1:]))),
    }


@torch.inference_mode()
def logits_difference(plain: Predictor, exported: Predictor) -> float:
    """Largest absolute difference of logits over fields and prompts, in single precision."""
    side, worst = plain.input_size, 0.0
    asked = FieldPrompts(
        points_yx=((0.5 * side, 0.5 * side),),
        is_positive=(True,),
        box_yxyx=(0.2 * side, 0.2 * side, 0.8 * side, 0.8 * side),
    )
    points = plain._points(asked)
    for crop in calibration_crops(side, 4):
        image = torch.from_numpy(crop)[None, None]
        masks = [m.network.decode(m.network.encode(image), points).masks for m in (plain, exported)]
        worst = max(worst, float((masks[0] - masks[1]).abs().max()))
    return worst


def agreement(exact: Predictor, coarse: Predictor, cases: list[Case]) -> dict[str, float]:
    """Mean IoU of the two models' masks, by data set, and the mean over data sets."""
    found: dict[str, list[float]] = {}
    for case in cases:
        volume = case.item.read_volume()
        sessions = [stacksam.Session(volume, model) for model in (exact, coarse)]
        truth = case.truth_on(case.index)
        for session in sessions:
            session.add_box(1, case.index, box_around(truth))
            session.add_point(2, (case.index, *click_on(truth)))
        for object_id in (1, 2):
            masks = [session.predict(object_id, case.index).mask for session in sessions]
            union = np.count_nonzero(masks[0] | masks[1])
            shared = np.count_nonzero(masks[0] & masks[1])
            found.setdefault(case.item.dataset, []).append(shared / union if union else 1.0)
    means = {name: float(np.mean(values)) for name, values in sorted(found.items())}
    return {
        "int8_iou": float(np.mean(list(means.values()))),
        "int8_iou_worst_tenth": float(np.quantile(np.concatenate(list(found.values())), 0.1)),
        "masks": float(sum(map(len, found.values()))),
        **{f"int8_iou_{name}": value for name, value in means.items()},
    }
