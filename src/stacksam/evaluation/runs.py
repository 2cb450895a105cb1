"""Run one protocol over the data sets of a folder."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.windows import apply_window, resolve_window, to_grey
from stacksam.evaluation.calibration import PREDICTED, PlattScaling, calibration_of
from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.evaluation.figures import Outcome
from stacksam.evaluation.protocols import PROTOCOLS, Protocol
from stacksam.evaluation.report import Report, Score, View
from stacksam.evaluation.thinning import Thinning
from stacksam.evaluation.views import ReadImage, StackView, slice_view, stack_view

if TYPE_CHECKING:
    from stacksam.core.volume import Volume

MakeSession = Callable[["Volume", Any], Any]


def evaluate(
    data: str | os.PathLike,
    model: Any,
    protocol: str,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    baselines: bool = False,
    progress: Callable[[int, int], None] | None = None,
    make_session: MakeSession | None = None,
    every: int = 1,
    kept_at: int | None = None,
    calibrate: bool = False,
) -> Report:
    """Measure a model on the objects of a folder of data sets.

    All objects of one file share one Session, and so its embeddings.

    Parameters
    ----------
    data : path-like
        Folder with ``SPLIT.json``, or a group or data set inside of it.
    model : model from `stacksam.load_model`, or None
        None runs the baselines only.
    protocol : str
        A name in `PROTOCOLS`.
    split : {"train", "val", "test"}
    limit : int, optional
        Objects per data set; by default what the protocol says.
    seed : int
        Decides which objects are taken.
    baselines : bool
        Also run the methods without a model, on the same objects.
    progress : callable, optional
        Called with (objects done, objects in all).
    make_session : callable, optional
        Called with (volume, model) for each file; `stacksam.Session` by default.
    every, kept_at : int, optional
        For protocols on stacks: keep every so many slices only, and ask for the objects that keep
        enough slices at `kept_at`; see `Thinning`.
    calibrate : bool
        For protocols with one prediction: run the val side as well, calibrate the predicted IoU
        there, and report how well that holds.

    Returns
    -------
    report : Report

    Raises
    ------
    ValueError
        If the protocol or split is unknown, `limit` is below 1, there is nothing to run, or an
        option does not fit the protocol.
    ReadError
        If the folder cannot be used, or no object in it fits the protocol.
    """
    chosen = _protocol(protocol)
    if model is None and not (baselines and chosen.baselines):
        raise ValueError(f"there is nothing to run for {protocol}: no model and no baselines")
    thinning = Thinning(every, kept_at or 0)
    if not thinning.is_off and not chosen.in_3d:
        raise ValueError(f"{protocol} looks at single slices; every is for protocols on stacks")
    start = time.perf_counter()
    limit = chosen.limit if limit is None else limit
    scaling = None
    if calibrate:
        _check_calibration(protocol, chosen, model, split)
        val = evaluate(data, model, protocol, "val", limit, seed, False, progress, make_session)
        scaling = _scaling_of(val)
    items = find_items(data, split)
    cases = choose_cases(items, limit, seed, in_3d=chosen.in_3d, thinning=thinning)
    if not cases:
        name = os.path.basename(os.path.abspath(data))
        raise ReadError(f"no object in {name} fits {protocol} on {split}; choose other data")
    scores: list[Score] = []
    views: list[View | StackView] = []
    by_case = _score_files(cases, thinning, chosen, model, baselines, make_session)
    for done, (scored, seen) in enumerate(by_case, start=1):
        scores += scored
        views += seen
        if progress is not None:
            progress(done, len(cases))
    return Report(
        protocol=protocol,
        split=split,
        model=_name_of(model),
        limit=limit,
        seed=seed,
        scores=tuple(scores),
        main=chosen.main,
        seconds=time.perf_counter() - start,
        shown=chosen.shown,
        subject=chosen.methods[0],
        step=chosen.step,
        views=tuple(v for v in views if isinstance(v, View)),
        stack_views=tuple(v for v in views if isinstance(v, StackView)),
        thinning=thinning,
        scaling=scaling,
    )


def _check_calibration(name: str, protocol: Protocol, model: Any, split: str) -> None:
    if PREDICTED not in protocol.shown:
        raise ValueError(f"{name} has no predicted IoU to calibrate; use click or box")
    if model is None:
        raise ValueError("there is no model whose predicted IoU could be calibrated; give one")
    if split == "val":
        raise ValueError("the predicted IoU is calibrated on val; evaluate another split")


def _scaling_of(report: Report) -> PlattScaling:
    calibration = calibration_of(report.scores)
    assert calibration is not None
    return PlattScaling.fit(calibration.predicted, calibration.true)


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise ValueError(f"protocol is {name!r}; it has to be one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _name_of(model: Any) -> str:
    return "none" if model is None else str(getattr(model, "name", type(model).__name__))


def _score_files(
    cases: list[Case],
    thinning: Thinning,
    protocol: Protocol,
    model: Any,
    baselines: bool,
    make_session: MakeSession | None,
) -> Iterator[tuple[list[Score], list[View | StackView]]]:
    """The scores and the views of one object after the other, with one session for each file."""
    for item, group in groupby(cases, key=lambda c: c.item):
        volume = thinning.thin(item.read_volume())
        of_file = list(group)
        session = _session_for(volume, of_file, model, make_session)
        yield from _score_file(volume, of_file, protocol, session, baselines)
        del volume, session
        gc.collect()  # a session may be part of a cycle; its embeddings must not outlive the file


def _session_for(
    volume: Volume, cases: list[Case], model: Any, make_session: MakeSession | None
) -> Any:
    """A session for the objects of a file, None without a model."""
    if volume.shape != cases[0].shape:
        raise ReadError(
            f"{cases[0].item.path.name} has shape {volume.shape}, but its labels {cases[0].shape}; "
            "image and mask have to agree"
        )
    return None if model is None else (make_session or _new_session)(volume, model)


def _score_file(
    volume: Volume, cases: list[Case], protocol: Protocol, session: Any, baselines: bool
) -> Iterator[tuple[list[Score], list[View | StackView]]]:
    """The scores and the views of one object of a file after the other."""
    read_image = _grey_reader(volume)
    for object_id, plain in enumerate(cases, start=1):
        case = replace(plain, spacing_zyx=volume.spacing_zyx)
        outcomes: dict[str, Outcome] = {}
        if session is not None:
            found = protocol.run(session, case, object_id)
            session.remove_object(object_id)
            outcomes = {m: o for m, o in found.items() if baselines or m in protocol.methods}
        if baselines:
            outcomes |= {
                name: run(read_image, case) for name, run in sorted(protocol.baselines.items())
            }
        views: list[View | StackView] = []
        subject = outcomes.get(protocol.methods[0])
        if subject is not None:
            views.append(slice_view(case, subject, protocol.main, read_image))
            if subject.stack is not None:
                views.append(stack_view(case, subject, protocol.main, read_image))
        yield [_score(case, method, outcome) for method, outcome in outcomes.items()], views


def _new_session(volume: Volume, model: Any) -> Any:
    from stacksam.session import Session

    return Session(volume, model, window="auto")


def _grey_reader(volume: Volume) -> ReadImage:
    window = resolve_window(volume, "auto")

    @lru_cache(maxsize=8)
    def read_image(index: int, axis: int = 0) -> np.ndarray:
        return to_grey(apply_window(volume.read_slice(index, axis), window))

    return read_image


def _score(case: Case, method: str, outcome: Outcome) -> Score:
    item = case.item
    return Score(
        dataset=item.dataset,
        group=item.group,
        is_unseen=item.is_unseen,
        file=item.key,
        label_id=case.label_id,
        index=case.index,
        method=method,
        figures=outcome.figures,
        modality=item.modality,
        area=case.area,
        slices=outcome.slices,
    )
