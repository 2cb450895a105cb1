"""Falls of Dice when only every 2nd, 4th, 8th slice of the test stacks is kept.

For each N the same objects, those that keep at least 6 slices at every N-th, are propagated twice
from one box on the same slice: through the thinned stack, and through the full one. Both are scored
on the slices that the thinned stack has.

    python benchmarks/run.py every --data ../shared/data --limit 5 --json every.json
"""

from __future__ import annotations

import stacksam
from stacksam.core.errors import ReadError
from stacksam.evaluation import Report, evaluate

STEPS = (2, 4, 8)


def measure(
    data: str = "../shared/data",
    model: str = "compact",
    split: str = "test",
    limit: int = 5,
    seed: int = 0,
    device: str = "auto",
    kept_at: int = 0,
) -> dict[str, float]:
    """Dice of full and thinned stacks as means over data sets, their differences, and each set's.

    With `kept_at` (8) one list of objects, those that keep enough slices at that number, serves
    all steps, so that the full stacks are run once.
    """
    loaded = stacksam.load_model(model, device=device)
    full: dict[int, Report] = {}
    figures: dict[str, float] = {}
    for every in STEPS:
        common = kept_at or every

        def run(every: int, common: int = common) -> Report:
            return evaluate(
                data, loaded, "propagate", split, limit, seed, every=every, kept_at=common
            )

        try:
            if common not in full:
                full[common] = run(1)
        except ReadError as error:
            if "no object" not in str(error):
                raise
            figures[f"objects_{every}"] = 0.0
            continue
        figures |= falls(full[common], run(every), every)
    return figures


def falls(full: Report, thinned: Report, every: int) -> dict[str, float]:
    """What is lost from one report to the other."""
    before, after = full.mean("model", "dice"), thinned.mean("model", "dice")
    assert before is not None
    assert after is not None
    figures = {
        f"dice_of_every_{every}": after.value,
        f"dice_of_all_on_the_same_{every}": before.value,
        f"fall_{every}": before.value - after.value,
        f"data_sets_{every}": float(after.n_datasets),
        f"objects_{every}": float(after.n),
    }
    means = thinned.dataset_means("model", "dice")
    for name, (value, _) in full.dataset_means("model", "dice").items():
        figures[f"fall_{every}_{name}"] = value - means[name][0]
    return figures
