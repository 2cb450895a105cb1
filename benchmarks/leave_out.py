"""Trains without one data set at a time, and with another seed: what do both change?

Matched runs: the same configuration, number of steps and images per step. A run that was stopped
goes on where it was. Box IoU of the test side tells how much a data set's own training images
matter for its test images, and how much of a difference chance makes.

    python benchmarks/run.py leave_out --data ../shared/data --runs runs/leave_out
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import stacksam
from stacksam.evaluation import Report, evaluate
from stacksam.training.config import Config, load_config
from stacksam.training.loop import Trainer, make_missing


def measure(
    data: str = "../shared/data",
    config: str = "configs/compact.toml",
    runs: str = "runs/leave_out",
    leave_out: str = "dsb2018_nuclei,usiigaci_phase,spider_lumbar_spine",
    steps: int = 2000,
    images_per_step: int = 4,
    limit: int = 20,
) -> dict[str, float]:
    """Box IoU of the reference, of the other seed, and of each data set with and without it."""
    base = load_config(config)
    base = replace(
        base,
        train=replace(base.train, steps=steps, images_per_step=images_per_step, start_weights=None),
    )
    make_missing(base, print)

    def report(name: str, seed: int = 0, without: tuple[str, ...] = ()) -> Report:
        return _report(_variant(base, Path(runs) / name, seed, without), data, limit)

    reference, other = report("reference"), report("other_seed", 1)
    means = [_mean(r) for r in (reference, other)]
    figures = {
        "box_iou": means[0],
        "box_iou_other_seed": means[1],
        "difference_of_seeds": abs(means[0] - means[1]),
    }
    falls = []
    for name in leave_out.split(","):
        without = report(f"without_{name}", 0, (name,))
        before, after = (r.dataset_means("model", "iou")[name][0] for r in (reference, without))
        falls.append(before - after)
        figures |= {
            f"with_{name}": before,
            f"without_{name}": after,
            f"other_seed_{name}": other.dataset_means("model", "iou")[name][0],
            f"all_sets_without_{name}": _mean(without),
        }
    return figures | {"mean_fall": sum(falls) / len(falls), "largest_fall": max(falls)}


def _variant(base: Config, run_folder: Path, seed: int, without: tuple[str, ...]) -> Config:
    return replace(
        base,
        data=replace(base.data, leave_out=without),
        train=replace(base.train, run_folder=run_folder, seed=seed),
    )


def _report(config: Config, data: str, limit: int) -> Report:
    """Train, or go on with the training, and measure."""
    trainer = Trainer(config)
    trainer.run(config.train.steps, lambda line: print(config.train.run_folder.name, line))
    model = stacksam.load_model(str(trainer.export()))
    return evaluate(data, model, "box", "test", limit)


def _mean(report: Report) -> float:
    mean = report.mean("model", "iou")
    assert mean is not None
    return mean.value
