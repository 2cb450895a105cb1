"""Do everything again that a session folder says was done, and see whether the labels agree."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.prompts import PromptSet, prompt_from_dict
from stacksam.core.sparse_stack import planes_of
from stacksam.core.volume import Volume
from stacksam.core.windows import Window
from stacksam.sam import Predictor, load_model
from stacksam.session import facts
from stacksam.session.files import check_image, find_image, read_folder
from stacksam.session.history import Step
from stacksam.session.jobs import Finish, propagation_job
from stacksam.session.lines import JOURNAL, Entry
from stacksam.session.session import Session


@dataclass(frozen=True)
class Replayed:
    """A session made again from its prompts.

    Attributes
    ----------
    session : Session
    n_steps : int
        Steps, undone ones included.
    n_different : int
        Voxels whose label is not the one that the folder holds.
    """

    session: Session
    n_steps: int
    n_different: int


def replay(
    folder: str | Path,
    volume: Volume | None = None,
    model: Predictor | None = None,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Compute a session again from what its user did; no mask that was computed is taken over.

    Parameters
    ----------
    folder : path-like
        Saved, or with a journal.
    volume : Volume, optional
        By default the image of the same name beside the folder.
    model : Predictor, optional
        By default the ones of the same names.
    device : str
        For models that are loaded.
    progress : callable, optional
        Called with (steps done, steps).

    Returns
    -------
    replayed : Replayed

    Raises
    ------
    ReadError
        If the folder is damaged, its journal has a gap, or the image is another one.
    """
    folder = Path(folder)
    content = read_folder(folder)
    if not content.is_whole or any(entry["kind"] == "gap" for entry in content.log):
        raise ReadError(
            f"{JOURNAL} does not tell everything that was done, so it cannot be replayed; restore "
            "the labels instead"
        )
    volume = volume or find_image(folder, content.snapshot.image)
    check_image(volume, content.snapshot.image)

    def chosen(name: str) -> Predictor:
        return model or load_model(name, device=device)

    begin, *entries = content.log
    try:
        session = Session(volume, chosen(begin["model"]), Window(*begin["window"]))
        session._state = replace(session._state, window_name=str(begin["window_name"]))
        session._history.budget = sys.maxsize
        for done, entry in enumerate(entries, start=1):
            if entry["kind"] == "model":
                session.set_model(chosen(entry["model"]))
            else:
                _act(session, entry)
            if progress:
                progress(done, len(entries))
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadError(
            f"{JOURNAL} is damaged ({error}); restore a backup of the folder"
        ) from error
    n_steps = sum(entry["kind"] == "step" for entry in entries)
    n_different = sum(
        int(np.count_nonzero(session.labels[index] != content.labels[index]))
        for index in planes_of(session.labels, content.labels)
    )
    return Replayed(session, n_steps, n_different)


def _act(session: Session, entry: Entry) -> None:
    if entry["kind"] == "undo":
        session.undo()
    elif entry["kind"] == "redo":
        session.redo()
    elif entry["kind"] == "hidden":
        session._hidden = frozenset(entry["ids"])
    elif entry["kind"] == "step":
        count = len(session._history.done)
        _do_again(session, entry)
        if len(session._history.done) == count:  # it made a difference then, and undo counts steps
            session._history.add(Step(entry["text"], session._state, session._state))


def _do_again(session: Session, entry: Entry) -> None:
    how = entry["how"] or {}
    if "propagate" in how:
        _propagate(session, how)
    elif "fill" in how:
        session.fill_between(how["fill"], how["axis"])
    elif "commit" in how:
        session.commit(
            how["commit"], how["name"], overwrite=how["overwrite"], label_id=how["label_id"]
        )
    elif "remove" in how:
        session.remove_object(how["remove"])
    else:
        state, change = facts.patched(session._state, entry["facts"]), None
        if "import" in how:
            change = facts.change_from_dict(entry["labels"], session.labels.size)
            session._labels.apply(change)
        session._do(entry["text"], state, change, entry["object"], entry["how"])


def _propagate(session: Session, how: dict[str, Any]) -> None:
    """Run the job again, on the prompts that it had, as far as it came."""
    prompts = {
        object_id: PromptSet(tuple(map(prompt_from_dict, how["prompts"][str(object_id)])))
        if str(object_id) in how["prompts"]
        else session._state.prompts.for_object(object_id)
        for object_id in how["propagate"]
    }
    z_range = None if how["z_range"] is None else (how["z_range"][0], how["z_range"][1])
    finish = Finish(how.get("consensus", False), how.get("smooth", 0.0))
    boxes = {int(i): tuple(box) for i, box in how.get("boxes", {}).items()}
    job = propagation_job(
        session.predictor,
        prompts,
        how["axis"],
        z_range,
        how["sensitivity"],
        finish=finish,
        boxes=boxes,
    )
    job.run_all()
    job.keep({int(i): set(indices) for i, indices in how["found"].items()})
    session.accept_propagation(job)
