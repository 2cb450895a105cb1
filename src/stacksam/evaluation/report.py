"""Means over data sets, with intervals, by group, modality and size, for text, JSON and pictures.

A mean over data sets is the mean of per-data-set means: a data set with many objects weighs no more
than one with few. Intervals are bootstrap percentiles over each data set's objects; they say how
much the choice of objects matters, not how a new data set would turn out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.evaluation.calibration import Calibration, PlattScaling, calibration_of
from stacksam.evaluation.confidence import SliceScore, confidence_table
from stacksam.evaluation.figures import COMPARED, SIZES, Figures, size_class, steps_of
from stacksam.evaluation.thinning import FULL_STACK, Thinning

if TYPE_CHECKING:
    from PIL import Image

    from stacksam.evaluation.views import StackView

RESAMPLES = 2000
MODEL = "model"


@dataclass(frozen=True)
class Score:
    """One method's figures on one object.

    Attributes
    ----------
    area : int
        Pixels of the object on the prompted slice.
    slices : tuple of SliceScore
        Confidence and IoU by slice, where the protocol has them.
    """

    dataset: str
    group: str
    is_unseen: bool
    file: str
    label_id: int
    index: int
    method: str
    figures: Figures
    modality: str = "unknown"
    area: int = 0
    slices: tuple[SliceScore, ...] = ()


@dataclass(frozen=True, eq=False)
class View:
    """One object as a picture shows it: crops of one or two slices.

    Attributes
    ----------
    images : tuple of ndarray (h, w), uint8
    truths, results : tuple of ndarray (h, w), bool
    """

    title: str
    dataset: str
    images: tuple[np.ndarray, ...]
    truths: tuple[np.ndarray, ...]
    results: tuple[np.ndarray, ...]
    value: float


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
        The figure to look at first.
    seconds : float
        Time spent; not part of what can be compared.
    shown : tuple of str
        The figures that the text lists.
    subject : str
        The method that the text lists first and pictures show.
    step : str
        What the figures' steps count, "" if there are none.
    views : tuple of View
        The subject's objects, for the picture.
    stack_views : tuple of StackView
        The same in their stacks, where the protocol keeps them.
    thinning : Thinning
        Which slices of the stacks were kept.
    scaling : PlattScaling or None
        Of the predicted IoU, from the val side.
    """

    protocol: str
    split: str
    model: str
    limit: int
    seed: int
    scores: tuple[Score, ...]
    main: str
    seconds: float = 0.0
    shown: tuple[str, ...] = COMPARED
    subject: str = MODEL
    step: str = ""
    views: tuple[View, ...] = field(default=(), repr=False, compare=False)
    stack_views: tuple[StackView, ...] = field(default=(), repr=False, compare=False)
    thinning: Thinning = FULL_STACK
    scaling: PlattScaling | None = None

    @property
    def methods(self) -> list[str]:
        """The subject first, then the model, then the others by name."""
        names = {s.method for s in self.scores}
        return sorted(names, key=lambda name: (name != self.subject, name != MODEL, name))

    @cached_property
    def groups(self) -> dict[str, Callable[[Score], bool]]:
        """What the tables list apart: all, seen or unseen, kind of image, modality, size."""
        modalities = sorted({s.modality for s in self.scores})
        return {
            **_KINDS,
            **{f"modality {m}": _is_modality(m) for m in modalities},
            **{f"size {name}": _is_size(name) for name in SIZES},
        }

    def figures(self, method: str) -> list[str]:
        """Names of the method's figures."""
        return sorted({name for s in self.scores if s.method == method for name in s.figures})

    def dataset_means(self, method: str, figure: str | None = None) -> dict[str, tuple[float, int]]:
        """Mean and number of objects by data set."""
        values = self._values(method, figure or self.main, _KINDS["all"])
        return {name: (float(v.mean()), len(v)) for name, v in values.items()}

    def dataset_intervals(
        self, method: str, figure: str | None = None
    ) -> dict[str, tuple[float, float]]:
        """Low and high end of each data set's 95 % interval."""
        values = self._values(method, figure or self.main, _KINDS["all"])
        return {
            name: tuple(np.percentile(self._draws(name, v), (2.5, 97.5)).tolist())
            for name, v in values.items()
        }

    def mean(self, method: str, figure: str | None = None, group: str = "all") -> Mean | None:
        """Mean over the group's data sets, None where it has none.

        The interval comes from `RESAMPLES` draws of each data set's objects with replacement,
        seeded by the report's seed and the data set's name, so that methods are compared on the
        same draws.

        Parameters
        ----------
        method : str
        figure : str, optional
            By default the main one.
        group : str
            A name in `groups`.
        """
        values = self._values(method, figure or self.main, self.groups[group])
        if not values:
            return None
        draws = [self._draws(name, v) for name, v in values.items()]
        low, high = np.percentile(np.mean(draws, axis=0), (2.5, 97.5))
        value = float(np.mean([v.mean() for v in values.values()]))
        n = sum(len(v) for v in values.values())
        return Mean(value, float(low), float(high), len(values), n)

    def curve(self, method: str, name: str, group: str = "all") -> dict[int, Mean]:
        """A figure's mean over its steps, in ascending order; empty where it has no steps."""
        every = dict.fromkeys(self.figures(method), 0.0)
        means = {k: self.mean(method, f"{name}@{k}", group) for k in steps_of(every, name)}
        return {k: mean for k, mean in means.items() if mean is not None}

    @cached_property
    def confidence(self) -> dict[str, Any]:
        """How confidence and slice IoU agree; see `confidence_table`."""
        return confidence_table(self.scores, _KINDS)

    @cached_property
    def calibration(self) -> Calibration | None:
        """How well IoU is predicted; None where nothing predicts it."""
        return calibration_of(self.scores, self.scaling)

    def _values(
        self, method: str, figure: str, keep: Callable[[Score], bool]
    ) -> dict[str, np.ndarray]:
        by_dataset: dict[str, list[float]] = {}
        for score in self.scores:
            if score.method == method and figure in score.figures and keep(score):
                by_dataset.setdefault(score.dataset, []).append(score.figures[figure])
        return {name: np.array(v) for name, v in sorted(by_dataset.items())}

    def _draws(self, dataset: str, values: np.ndarray) -> np.ndarray:
        """Means of the resampled objects of one data set, (RESAMPLES,)."""
        key = (dataset, len(values))
        if key not in self._picks:
            rng = np.random.default_rng([self.seed, zlib.crc32(dataset.encode("utf-8"))])
            picks = rng.integers(len(values), size=(RESAMPLES, len(values)))
            places = picks + len(values) * np.arange(RESAMPLES)[:, np.newaxis]
            counts = np.bincount(places.ravel(), minlength=picks.size).reshape(picks.shape)
            self._picks[key] = counts / len(values)
        return self._picks[key] @ values

    @cached_property
    def _picks(self) -> dict[tuple[str, int], np.ndarray]:
        """How often each object is drawn, as a share: computed once, used for every figure."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Everything that can be compared between runs, as plain JSON values in a fixed order."""
        methods = {
            method: {figure: self._figure_dict(method, figure) for figure in self.figures(method)}
            for method in sorted(self.methods)
        }
        calibration = self.calibration
        return {
            "calibration": {} if calibration is None else calibration.to_dict(),
            "confidence": _rounded(self.confidence),
            "every": self.thinning.every,
            "kept_at": self.thinning.kept_at,
            "limit": self.limit,
            "main": self.main,
            "methods": methods,
            "model": self.model,
            "objects": [_score_dict(s) for s in self.scores],
            "protocol": self.protocol,
            "seed": self.seed,
            "split": self.split,
        }

    def _figure_dict(self, method: str, figure: str) -> dict[str, Any]:
        means = {group: self.mean(method, figure, group) for group in sorted(self.groups)}
        return {
            "datasets": {
                name: {"mean": _round(mean), "n": n}
                for name, (mean, n) in self.dataset_means(method, figure).items()
            },
            "means": {group: _mean_dict(mean) for group, mean in means.items() if mean},
        }

    def to_text(self) -> str:
        """Tables for reading: means over data sets, then the main figure of each data set."""
        from stacksam.evaluation.report_text import report_text

        return report_text(self)

    def to_picture(self) -> Image.Image:
        """Curves or bars, and the best, median and worst objects.

        See `report_pictures`, and `stack_pictures` for objects in their stacks.
        """
        from stacksam.evaluation.report_pictures import report_picture

        if not self.stack_views:
            return report_picture(self)
        from stacksam.evaluation.drawing import below
        from stacksam.evaluation.stack_pictures import stack_picture

        return below([report_picture(replace(self, views=())), stack_picture(self)], gap=0)


_KINDS: dict[str, Callable[[Score], bool]] = {
    "all": lambda s: True,
    "microscopy": lambda s: s.group == "microscopy",
    "radiology": lambda s: s.group == "radiology",
    "unseen": lambda s: s.is_unseen,
    "microscopy unseen": lambda s: s.is_unseen and s.group == "microscopy",
    "radiology unseen": lambda s: s.is_unseen and s.group == "radiology",
    "seen": lambda s: not s.is_unseen,
}


def _is_modality(name: str) -> Callable[[Score], bool]:
    return lambda score: score.modality == name


def _is_size(name: str) -> Callable[[Score], bool]:
    return lambda score: size_class(score.area) == name


def _mean_dict(mean: Mean) -> dict[str, Any]:
    return {
        "high": _round(mean.high),
        "low": _round(mean.low),
        "mean": _round(mean.value),
        "n": mean.n,
        "n_datasets": mean.n_datasets,
    }


def _score_dict(score: Score) -> dict[str, Any]:
    return {
        "area": score.area,
        "dataset": score.dataset,
        "figures": {name: _round(v) for name, v in sorted(score.figures.items())},
        "file": score.file,
        "index": score.index,
        "label_id": score.label_id,
        "method": score.method,
        "modality": score.modality,
        "size": size_class(score.area),
        "slices": [
            [s.index, _round(s.confidence), _round(s.iou), s.n_true, s.n_found]
            for s in score.slices
        ],
    }


def _rounded(content: Any) -> Any:
    """Nested dictionaries with rounded numbers; whole ones stay whole."""
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in sorted(content.items())}
    return content if isinstance(content, int) else _round(content)


def _round(value: float) -> float:
    return round(float(value), 6)
