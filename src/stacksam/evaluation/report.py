"""Means over data sets, with intervals, as text and as JSON.

A mean over data sets is the mean of per-data-set means: a data set with many objects weighs no more
than one with few. Intervals are bootstrap percentiles over each data set's objects; they say how
much the choice of objects matters, not how a new data set would turn out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
MODEL = "model"


@dataclass(frozen=True)
class Score:
    """One method's figures on one object."""

    dataset: str
    group: str
    is_unseen: bool
    file: str
    label_id: int
    index: int
    method: str
    figures: dict[str, float]


GROUPS: dict[str, Callable[[Score], bool]] = {
    "all": lambda s: True,
    "microscopy": lambda s: s.group == "microscopy",
    "radiology": lambda s: s.group == "radiology",
    "unseen": lambda s: s.is_unseen,
    "microscopy unseen": lambda s: s.is_unseen and s.group == "microscopy",
    "radiology unseen": lambda s: s.is_unseen and s.group == "radiology",
    "seen": lambda s: not s.is_unseen,
}
"""What the tables list apart."""


@dataclass(frozen=True)
class Mean:
    """A mean over data sets with its 95 % interval."""

    value: float
    low: float
    high: float
    n_datasets: int
    n: int


@dataclass(frozen=True)
class Report:
    """All scores of one evaluation, and how it was run.

    Attributes
    ----------
    protocol, split, model : str
    limit, seed : int
    scores : tuple of Score
    main : str
        The figure that the text shows per data set.
    seconds : float
        Time spent; not part of what can be compared.
    """

    protocol: str
    split: str
    model: str
    limit: int
    seed: int
    scores: tuple[Score, ...]
    main: str
    seconds: float = 0.0

    @property
    def methods(self) -> list[str]:
        """The model first, then the baselines by name."""
        names = {s.method for s in self.scores}
        return sorted(names, key=lambda name: (name != MODEL, name))

    def figures(self, method: str) -> list[str]:
        """Names of the method's figures."""
        return sorted({name for s in self.scores if s.method == method for name in s.figures})

    def dataset_means(self, method: str, figure: str | None = None) -> dict[str, tuple[float, int]]:
        """Mean and number of objects by data set."""
        values = self._values(method, figure or self.main, GROUPS["all"])
        return {name: (float(v.mean()), len(v)) for name, v in values.items()}

    def mean(self, method: str, figure: str | None = None, group: str = "all") -> Mean | None:
        """Mean over the group's data sets, None where it has none.

        The interval comes from `RESAMPLES` draws of each data set's objects with replacement,
        seeded by the report's seed and the data set's name.
        """
        values = self._values(method, figure or self.main, GROUPS[group])
        if not values:
            return None
        draws = [_resampled_means(name, v, self.seed) for name, v in values.items()]
        low, high = np.percentile(np.mean(draws, axis=0), (2.5, 97.5))
        value = float(np.mean([v.mean() for v in values.values()]))
        n = sum(len(v) for v in values.values())
        return Mean(value, float(low), float(high), len(values), n)

    def _values(
        self, method: str, figure: str, keep: Callable[[Score], bool]
    ) -> dict[str, np.ndarray]:
        by_dataset: dict[str, list[float]] = {}
        for score in self.scores:
            if score.method == method and keep(score) and figure in score.figures:
                by_dataset.setdefault(score.dataset, []).append(score.figures[figure])
        return {name: np.array(v) for name, v in sorted(by_dataset.items())}

    def to_dict(self) -> dict[str, Any]:
        """Everything that can be compared between runs, as plain JSON values in a fixed order."""
        methods = {}
        for method in self.methods:
            methods[method] = {
                figure: {
                    "datasets": {
                        name: {"mean": _round(mean), "n": n}
                        for name, (mean, n) in self.dataset_means(method, figure).items()
                    },
                    "means": {
                        group: _mean_dict(mean)
                        for group in GROUPS
                        if (mean := self.mean(method, figure, group)) is not None
                    },
                }
                for figure in self.figures(method)
            }
        return {
            "protocol": self.protocol,
            "split": self.split,
            "model": self.model,
            "limit": self.limit,
            "seed": self.seed,
            "main": self.main,
            "methods": methods,
            "objects": [_score_dict(s) for s in self.scores],
        }

    def to_text(self) -> str:
        """Tables for reading: means over data sets, then the main figure of each data set."""
        head = (
            f"{self.protocol} on {self.split}, model {self.model}: up to {self.limit} objects per "
            f"data set, seed {self.seed}, {self.seconds:.0f} s"
        )
        return "\n\n".join([head, self._means_text(), self._datasets_text()]) + "\n"

    def _means_text(self) -> str:
        rows = [("means over data sets", "figure", "mean", "95 % interval", "sets", "objects")]
        for method in self.methods:
            names = self.figures(method)
            names.sort(key=lambda name: (name != self.main, name))
            for figure in names:
                for group in GROUPS if figure == self.main else ("all",):
                    mean = self.mean(method, figure, group)
                    if mean is not None:
                        interval = f"{mean.low:.3f} - {mean.high:.3f}"
                        counts = (str(mean.n_datasets), str(mean.n))
                        title = f"{method}, {group}"
                        rows.append((title, figure, f"{mean.value:.3f}", interval, *counts))
        return _table(rows)

    def _datasets_text(self) -> str:
        groups = {s.dataset: (s.group, s.is_unseen) for s in self.scores}
        tables = {m: self.dataset_means(m) for m in self.methods}
        rows = [(f"{self.main} by data set", "group", "unseen", "n", *tables)]
        for name, (group, is_unseen) in sorted(groups.items(), key=lambda g: (g[1][0], g[0])):
            n = max(table[name][1] for table in tables.values() if name in table)
            cells = [f"{t[name][0]:.3f}" if name in t else "-" for t in tables.values()]
            rows.append((name, group, "yes" if is_unseen else "no", str(n), *cells))
        return _table(rows)


def _resampled_means(name: str, values: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode("utf-8"))])
    picks = rng.integers(len(values), size=(RESAMPLES, len(values)))
    return values[picks].mean(axis=1)


def _mean_dict(mean: Mean) -> dict[str, Any]:
    return {
        "mean": _round(mean.value),
        "low": _round(mean.low),
        "high": _round(mean.high),
        "n_datasets": mean.n_datasets,
        "n": mean.n,
    }


def _score_dict(score: Score) -> dict[str, Any]:
    return {
        "file": score.file,
        "label_id": score.label_id,
        "index": score.index,
        "method": score.method,
        "figures": {name: _round(v) for name, v in sorted(score.figures.items())},
    }


def _round(value: float) -> float:
    return round(float(value), 6)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)
