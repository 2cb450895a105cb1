"""Shared by benchmarks of coarser arithmetic: options, timing in turns, how far masks agree."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

import stacksam
from stacksam.core.simulated_prompts import box_around, click_on
from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.sam.onnx_export import calibration_crops
from stacksam.sam.predictor import Predictor

Models = dict[str, Predictor]


def precision_benchmark(
    load: Callable[[str], AbstractContextManager[Models]],
    threads: int,
    more: Callable[[Models], dict[str, float]] | None = None,
) -> Callable[..., dict[str, float]]:
    """A benchmark's `measure`: the last of some models is compared with the first.

    Parameters
    ----------
    load : callable
        Gives a model's versions by name, the exact one first, the coarsest last.
    threads : int
        The option's default.
    more : callable, optional
        Further figures of the versions.
    """

    def measure(
        data: str = "../shared/data",
        model: str = "compact",
        limit: int = 5,
        seed: int = 0,
        threads: int = threads,
        repeats: int = 10,
    ) -> dict[str, float]:
        """Median seconds of the encoder, speed-ups within rounds, and mean IoU by data set.

        Parameters
        ----------
        data : str
            Folder with SPLIT.json; without one agreement is left out.
        model : str
            Name or checkpoint.
        limit : int
            Objects per data set.
        seed, threads, repeats : int
        """
        torch.set_num_threads(threads)
        with load(model) as models:
            figures = seconds_in_turns(models, repeats) | {"threads": float(threads)}
            figures |= {} if more is None else more(models)
            if not (Path(data) / "SPLIT.json").is_file():
                print(f"  agreement is left out, there is no SPLIT.json in {data}", flush=True)
                return figures
            cases = choose_cases(find_items(data, "test"), limit, seed)
            exact, *_, coarse = models
            found = agreement(models[exact], models[coarse], cases)
            return figures | {f"{coarse}_{name}": value for name, value in found.items()}

    return measure


def seconds_in_turns(models: Models, repeats: int) -> dict[str, float]:
    """Medians over fields of the samples, one model after the other, after one round to warm up."""
    exact = next(iter(models))
    taken: dict[str, list[float]] = {name: [] for name in models}
    for crop in calibration_crops(models[exact].input_size, repeats + 1):
        for name, model in models.items():
            started = time.perf_counter()
            model.encode(crop)
            taken[name].append(time.perf_counter() - started)
    figures = {f"{name}_seconds": float(np.median(t[1:])) for name, t in taken.items()}
    for name in list(models)[1:]:
        ratios = np.divide(taken[exact][1:], taken[name][1:])
        figures[f"{name}_speedup"] = float(np.median(ratios))
    return figures


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
        "iou": float(np.mean(list(means.values()))),
        "iou_worst_tenth": float(np.quantile(np.concatenate(list(found.values())), 0.1)),
        "masks": float(sum(map(len, found.values()))),
        **{f"iou_{name}": value for name, value in means.items()},
    }
