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
from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import Item, find_items
from stacksam.evaluation.figures import Outcome, window_of
from stacksam.evaluation.protocols import PROTOCOLS, Protocol
from stacksam.evaluation.report import Report, Score, View

if TYPE_CHECKING:
    from stacksam.core.volume import Volume

VIEW_SIDE = 320


def evaluate(
    data: str | os.PathLike,
    model: Any,
    protocol: str,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    baselines: bool = False,
    progress: Callable[[int, int], None] | None = None,
    make_session: Callable[[Volume, Any], Any] | None = None,
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

    Returns
    -------
    report : Report

    Raises
    ------
    ValueError
        If the protocol or split is unknown, `limit` is below 1, or there is nothing to run.
    ReadError
        If the folder cannot be used, or no object in it fits the protocol.
    """
    chosen = _protocol(protocol)
    if model is None and not (baselines and chosen.baselines):
        raise ValueError(f"there is nothing to run for {protocol}: no model and no baselines")
    start = time.perf_counter()
    limit = chosen.limit if limit is None else limit
    cases = choose_cases(find_items(data, split), limit, seed, in_3d=chosen.in_3d)
    if not cases:
        name = os.path.basename(os.path.abspath(data))
        raise ReadError(f"no object in {name} fits {protocol} on {split}; choose other data")
    scores: list[Score] = []
    views: list[View] = []
    done = 0
    for item, group in groupby(cases, key=lambda c: c.item):
        of_file = list(group)
        for scored, seen in _score_file(item, of_file, chosen, model, baselines, make_session):
            scores += scored
            views += seen
            done += 1
            if progress is not None:
                progress(done, len(cases))
        gc.collect()  # a session may be part of a cycle; its embeddings must not outlive the file
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
        views=tuple(views),
    )


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise ValueError(f"protocol is {name!r}; it has to be one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _name_of(model: Any) -> str:
    return "none" if model is None else str(getattr(model, "name", type(model).__name__))


def _score_file(
    item: Item,
    cases: list[Case],
    protocol: Protocol,
    model: Any,
    baselines: bool,
    make_session: Callable[[Volume, Any], Any] | None,
) -> Iterator[tuple[list[Score], list[View]]]:
    """The scores and the picture of one object after the other.

    Volume, session and their embeddings live as long as this runs.
    """
    volume = item.read_volume()
    if volume.shape != cases[0].shape:
        raise ReadError(
            f"{item.path.name} has shape {volume.shape}, but its labels {cases[0].shape}; "
            "image and mask have to agree"
        )
    session = None if model is None else (make_session or _new_session)(volume, model)
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
        views = [
            _view(case, outcomes[method], protocol.main, read_image)
            for method in protocol.methods[:1]
            if method in outcomes
        ]
        yield [_score(case, method, o.figures) for method, o in outcomes.items()], views


def _new_session(volume: Volume, model: Any) -> Any:
    from stacksam.session import Session

    return Session(volume, model, window="auto")


def _grey_reader(volume: Volume) -> Callable[[int], np.ndarray]:
    window = resolve_window(volume, "auto")

    @lru_cache(maxsize=8)
    def read_image(index: int) -> np.ndarray:
        return to_grey(apply_window(volume.read_slice(index), window))

    return read_image


def _view(case: Case, outcome: Outcome, main: str, read_image: Callable[[int], np.ndarray]) -> View:
    """Crops around object and result, of bounded size."""
    slices = sorted(outcome.shown)
    truths = {i: case.truth_on(i) for i in slices}
    window = _around(window_of(*truths.values(), *outcome.shown.values()), case.shape[1:])
    step = max(1, -(-max(s.stop - s.start for s in window) // VIEW_SIDE))
    crop = tuple(slice(s.start, s.stop, step) for s in window)
    value = outcome.figures[main]
    where = ", ".join(f"{i}" for i in slices)
    title = f"{case.item.dataset}\n{main} {value:.2f}, label {case.label_id}"
    if case.shape[0] > 1:
        title += f", slice {where}"
    return View(
        title=title,
        dataset=case.item.dataset,
        images=tuple((255 * read_image(i)[crop]).astype(np.uint8) for i in slices),
        truths=tuple(truths[i][crop] for i in slices),
        results=tuple(outcome.shown[i][crop] for i in slices),
        value=value,
    )


def _around(window: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A window with a quarter of its larger side, at least 8 pixels, around it."""
    margin = max(8, max(s.stop - s.start for s in window) // 4)
    return tuple(
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, n in zip(window, shape, strict=True)
    )


def _score(case: Case, method: str, figures: dict[str, float]) -> Score:
    item = case.item
    return Score(
        dataset=item.dataset,
        group=item.group,
        is_unseen=item.is_unseen,
        file=item.key,
        label_id=case.label_id,
        index=case.index,
        method=method,
        figures=figures,
        modality=item.modality,
        area=case.area,
    )
