"""The protocols by the names the command line knows; what they do is said where they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from stacksam.evaluation.calibration import PREDICTED
from stacksam.evaluation.cases import Case
from stacksam.evaluation.figures import COMPARED, Outcome
from stacksam.evaluation.slice_protocols import (
    BOX_BASELINES,
    CLICK_BASELINES,
    ITERATIVE_BASELINES,
    run_box,
    run_click,
    run_iterative,
)
from stacksam.evaluation.stack_protocols import (
    PROPAGATE_BASELINES,
    run_propagate,
    run_propagate_k,
)

Baseline = Callable[[Callable[[int], np.ndarray], Case], Outcome]

_CLICK_FIGURES = (
    "iou@click+4",
    *(f"iou@{n}" for n in range(1, 7)),
    *("noc@80", "noc@85", "failed@80", "failed@85"),
    *("dice@click+4", "precision@5", "recall@5", "boundary_px@5", "boundary_mm@5", "empty@5"),
)
_K_FIGURES = (
    *("dice@3", "dice@auc"),
    *(f"dice@{k}" for k in range(6)),
    *(f"boundary_mm@{k}" for k in range(6)),
    *("iou@3", "precision@3", "recall@3", "boundary_px@3", "empty@0"),
)


@dataclass(frozen=True)
class Protocol:
    """How one way of prompting is run and what it is compared with.

    Attributes
    ----------
    run : callable
        ``run(session, case, object_id)`` -> `Outcome` by method; ``model`` among them, and methods
        that need the model's result, such as ``interpolation``.
    main : str
        The figure to look at first.
    shown : tuple of str
        The figures that the text lists.
    methods : tuple of str
        What of the run is reported without baselines; the first is what pictures show.
    baselines : mapping of name to callable
        Methods without a model, ``baseline(read_image, case)`` -> `Outcome`; ``read_image(index)``
        gives a grey slice in [0, 1].
    step : str
        What the figures' steps count, "" if there are none.
    in_3d : bool
        Whether the cases are whole objects of volumes.
    limit : int
        Objects per data set, chosen so that all test sets take minutes on a laptop's CPU.
    """

    run: Callable[[Any, Case, int], dict[str, Outcome]]
    main: str
    shown: tuple[str, ...] = COMPARED
    methods: tuple[str, ...] = ("model",)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    step: str = ""
    in_3d: bool = False
    limit: int = 20


PROTOCOLS: dict[str, Protocol] = {
    "click": Protocol(run_click, "iou", (*COMPARED, PREDICTED), baselines=CLICK_BASELINES),
    "box": Protocol(run_box, "iou", (*COMPARED, PREDICTED), baselines=BOX_BASELINES),
    "iterative": Protocol(
        run_iterative, "iou@click+4", _CLICK_FIGURES, baselines=ITERATIVE_BASELINES, step="clicks"
    ),
    "propagate": Protocol(
        run_propagate,
        "dice",
        ("dice", *(name for name in COMPARED if name != "dice")),
        ("model", "micro_sam_rule"),
        baselines=PROPAGATE_BASELINES,
        in_3d=True,
        limit=5,
    ),
    "propagate-k": Protocol(
        run_propagate_k,
        "dice@3",
        _K_FIGURES,
        ("model", "interpolation", "micro_sam_rule"),
        step="corrected slices",
        in_3d=True,
        limit=5,
    ),
    "interpolate": Protocol(
        partial(run_propagate_k, with_rule=False),
        "dice@3",
        _K_FIGURES,
        ("interpolation", "model"),
        step="corrected slices",
        in_3d=True,
        limit=5,
    ),
}
"""By name. The last two run the same; the one is about propagation, the other interpolation."""
