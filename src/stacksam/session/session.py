"""The one engine under command line, notebooks and plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from stacksam.core.errors import ReadError
from stacksam.core.prompts import check_axis, prompt_to_dict
from stacksam.core.sparse_stack import add_plane, empty_stack
from stacksam.core.volume import Volume
from stacksam.core.windows import WindowSpec
from stacksam.propagation import make_plan, says_where
from stacksam.sam import Predictor
from stacksam.session import edits
from stacksam.session.box_limits import Inside, box_limits
from stacksam.session.filling import fill_plan
from stacksam.session.jobs import Finish, PropagationJob, ZRange, propagation_job
from stacksam.session.lines import now
from stacksam.session.protection import OverlapError, Policy, overlaps_of, policy_of
from stacksam.session.results import PropagationResult
from stacksam.session.slice_work import SliceWork
from stacksam.session.state import KeptResult, State

Progress = Callable[[int, int], None]


class Session(SliceWork):
    """Prompts in, labels out, for one volume seen through one window with one model.

    One thread owns a session; jobs may run in one other. What it computes follows from the ordered
    prompts alone.

    Parameters
    ----------
    volume : Volume
    model : Predictor
        From `stacksam.load_model`.
    window : str, (low, high) or Window
        See `resolve_window`.

    Attributes
    ----------
    prompts_changed, objects_changed, labels_changed, results_changed : psygnal signals
        Fire in the owner's thread after the fact, with the object's id. The last one is about a
        propagation result or the prediction of a slice.
    active_changed, window_changed, history_changed : psygnal signals
        The same, without arguments.
    journal_failed : psygnal signal
        See `start_journal`.
    notes : tuple of str
        What `restore` could not bring back, one sentence each.

    Examples
    --------
    >>> import stacksam
    >>> image = np.zeros((3, 64, 64), np.uint8)
    >>> image[:, 20:40, 20:44] = 200
    >>> session = stacksam.Session(stacksam.Volume(image), stacksam.load_model("compact"))
    >>> prompt_id = session.add_box(1, 1, (19, 19, 41, 45))
    >>> result = session.propagate(1)
    >>> session.commit(1)
    1
    """

    def __init__(self, volume: Volume, model: Predictor, window: WindowSpec = "auto") -> None:
        super().__init__(volume, model, window)
        self.notes: tuple[str, ...] = ()

    def propagation_job(
        self,
        object_ids: int | Iterable[int],
        axis: int = 0,
        z_range: ZRange | None = None,
        sensitivity: float = 0.5,
        finish: Finish | None = None,
        inside: Inside = None,
    ) -> PropagationJob:
        """What has to be computed to carry objects through the stack; see `accept_propagation`.

        Parameters
        ----------
        object_ids : int or several ints
        axis : {0, 1, 2}
            Along which slices hand masks on.
        z_range : (start, stop), optional
            Half-open limits of the slices to compute.
        sensitivity : float in [0, 1]
            How readily an object is taken to go on; 0.5 is what was measured to be best.
        finish : Finish, optional
            What is done to each whole object at the end.
        inside : "boxes" or (y0, x0, y1, x1), optional
            Keep objects in a box on every slice: with ``boxes`` each in the smallest one around
            the boxes drawn for it along the axis. Masks that the user gave stay as they are.

        Raises
        ------
        ValueError
            If an object has nothing along this axis that says where it is, or there is no box.
        """
        ids = list(object_ids) if isinstance(object_ids, Iterable) else [object_ids]
        settings = {int(i): self._object(i).clean_up for i in ids}
        prompts = {i: self._state.prompts.for_object(i) for i in settings}
        axis = check_axis(axis)
        boxes = box_limits(prompts, axis, self.volume.plane_shape(axis), inside)
        return propagation_job(
            self.predictor, prompts, axis, z_range, sensitivity, settings, finish, boxes
        )

    def accept_propagation(self, job: PropagationJob) -> dict[int, PropagationResult]:
        """Make what a job found until now the objects' results, as one step of the history.

        Returns
        -------
        results : dict of object id to PropagationResult
            Empty if the window or the model have changed since. A result whose prompts have
            changed is shown, but not committed; see `is_current`.
        """
        if job.predictor is not self.predictor:
            return {}
        alive = set(self._state.prompts.object_ids)
        found = {i: result for i, result in job.results().items() if i in alive}
        kept = {i: KeptResult(job.tasks[i].prompts, result) for i, result in found.items()}
        text = f"propagate {edits.names_of(self._state.objects, list(found))}"
        how = _how_to_propagate(job, found, self._state)
        self._do(text, self._state.with_results(kept), how=how)
        return {i: self._cleaned(result, self._object(i)) for i, result in found.items()}

    def propagate_iter(
        self,
        object_id: int,
        axis: int = 0,
        z_range: ZRange | None = None,
        cancel: Event | None = None,
    ) -> Iterator[tuple[int, np.ndarray, float]]:
        """Carry an object through the stack, slice by slice.

        What was found until the iteration ends is what `commit` writes, as after `propagate`.

        Yields
        ------
        index, mask, score : int, ndarray (H, W) of bool, float
            In the order in which they are computed; slices without the object are left out.
        """
        job = self.propagation_job(object_id, axis, z_range)
        try:
            for _, index, found in job.run(cancel):
                yield index, found.mask, found.confidence
        finally:
            self.accept_propagation(job)

    def propagate(
        self,
        object_id: int | Iterable[int],
        axis: int = 0,
        z_range: ZRange | None = None,
        progress: Progress | None = None,
        cancel: Event | None = None,
        *,
        sensitivity: float = 0.5,
        consensus: bool = False,
        smooth: float = 0.0,
        inside: Inside = None,
    ) -> Any:
        """Carry an object, or several, through the stack.

        Parameters
        ----------
        object_id : int or several ints
            Objects of one call compete for the pixels that more than one of them claims; the order
            of the ids does not matter.
        axis, z_range, sensitivity, inside
            See `propagation_job`.
        progress : callable, optional
            Called with (slices done, slices at most).
        cancel : threading.Event, optional
            Set by another thread to stop; what was found until then is returned.
        consensus, smooth
            See `Finish`: agreement of three planes, which takes about three times as long, and
            smoothing in 3D. Slices with prompts stay as they are.

        Returns
        -------
        result : PropagationResult, or dict of id to PropagationResult for several ids

        Raises
        ------
        ValueError
            If an object has nothing along this axis that says where it is.
        ReadError
            If a slice cannot be read; what was found until then is kept, as after `cancel`.
        """
        finish = Finish(consensus, smooth)
        job = self.propagation_job(object_id, axis, z_range, sensitivity, finish, inside)
        try:
            job.run_all(progress, cancel)
        except ReadError:  # of a slice; a server may be there again later
            self.accept_propagation(job)
            raise
        accepted = self.accept_propagation(job)
        results = {i: accepted.get(i) or job.empty_result(i) for i in job.object_ids}
        return results if isinstance(object_id, Iterable) else results[int(object_id)]

    def fill_between(self, object_id: int, axis: int = 0) -> PropagationResult:
        """Fill between the slices that have prompts by shape, without the model: one step.

        Parameters
        ----------
        object_id : int
        axis : {0, 1, 2}

        Returns
        -------
        result : PropagationResult

        Raises
        ------
        ValueError
            If fewer than two slices hold the object.
        """
        info = self._object(object_id)
        prompts = self._state.prompts.for_object(object_id)
        count = self.volume.n_slices(check_axis(axis))
        result = fill_plan(self.predictor, make_plan(prompts, object_id, axis, count))
        state = self._state.with_results({object_id: KeptResult(prompts, result)})
        self._do(f"fill {info.name}", state, how={"fill": object_id, "axis": axis})
        return self._cleaned(result, info)

    def result(self, object_id: int) -> PropagationResult | None:
        """The object in the stack, cleaned up, as it was last propagated or filled; or None."""
        info, kept = self._object(object_id), self._state.results.get(object_id)
        return None if kept is None else self._cleaned(kept.result, info)

    def is_current(self, object_id: int) -> bool:
        """Whether the object has a result that its prompts have not outdated."""
        kept = self._state.results.get(object_id)
        return kept is not None and kept.prompts == self._state.prompts.for_object(object_id)

    def commit(
        self,
        object_id: int,
        name: str | None = None,
        overwrite: bool | Policy = False,
        *,
        label_id: int | None = None,
    ) -> int:
        """Write an object into the labels.

        The last propagation is written if prompts have not changed since; otherwise, and for an
        object that was never propagated, the slices that have prompts.

        Parameters
        ----------
        object_id : int
        name : str, optional
        overwrite : bool or {"keep", "overwrite", "ask"}
            Whether locked objects give way; ``ask`` raises `OverlapError` if there are any.
        label_id : int, optional
            By default the object's earlier one, or the next free one.

        Returns
        -------
        label_id : int

        Raises
        ------
        ValueError
            If the label belongs to another object or is below 1, or the object has no prompts that
            say where it is.
        OverlapError
            If voxels of locked objects are covered and `overwrite` is ``ask``; nothing happens.
        """
        info, policy = self._object(object_id), policy_of(overwrite)
        others = [o for i, o in self._state.objects.items() if i != object_id and o.label_id]
        if label_id is None:
            label_id = info.label_id or self._next_label_id()
        if label_id in {other.label_id for other in others}:
            raise ValueError(f"label {label_id} belongs to another object; choose a free one")
        mask = self._mask_to_commit(object_id)
        locked = self._locked_labels() - {info.label_id}
        if policy == "ask" and (found := overlaps_of(self.labels, mask, locked)):
            raise OverlapError(info.name, found, {o.label_id or 0: o.name for o in others})
        kept = set() if policy == "overwrite" else locked
        change = self._labels.write(mask, label_id, kept, info.label_id)
        state = self._state.with_object(
            replace(info, name=name or info.name, label_id=label_id, is_locked=True)
        )
        is_over = policy == "overwrite"
        how = {"commit": object_id, "label_id": label_id, "name": name, "overwrite": is_over}
        self._do(f"commit {name or info.name}", state, change, object_id, how)
        return label_id

    def overlaps(self, object_id: int) -> dict[int, int]:
        """What `commit` would have to decide on.

        Returns
        -------
        overlaps : dict of label id to int
            Voxels of other, locked objects that the object covers.
        """
        info = self._object(object_id)
        mask = self._mask_to_commit(object_id)
        return overlaps_of(self.labels, mask, self._locked_labels() - {info.label_id})

    def save(self, folder: str | Path) -> None:
        """Write prompts, objects, results and labels into a folder; see `docs/session-folder.md`.

        Raises
        ------
        WriteError
            If the folder cannot be written to.
        """
        from stacksam.session.files import save_session

        if self._journal is not None and self._journal.holds(Path(folder)):
            self._journal.check()
        else:
            save_session(self, folder)

    def start_journal(self, folder: str | Path) -> None:
        """Save into a folder and write every further step there at once, in another thread.

        `journal_failed` tells when that does not work any more, such as on a full disk, and with an
        empty text when it works again; nothing is lost as long as the program runs.

        Raises
        ------
        WriteError
            If the folder cannot be written to.
        FolderInUseError
            If another program, or another session, keeps its journal there.
        """
        from stacksam.session.files import open_journal

        self.stop_journal()
        self._journal, self._trouble = open_journal(self, folder), ""

    def stop_journal(self, is_finished: bool = True) -> None:
        """Close the journal; nothing happens if there is none.

        Parameters
        ----------
        is_finished : bool
            False: the work is offered again, as after a crash.

        Raises
        ------
        WriteError
            If the last steps could not be written.
        """
        journal, self._journal = self._journal, None
        if journal is not None:
            if is_finished:
                journal.put({"kind": "close", "time": now()})
            journal.close()

    @classmethod
    def restore(
        cls, folder: str | Path, volume: Volume | None = None, model: Predictor | None = None
    ) -> Session:
        """Open a session that was saved, or whose program was ended while it kept a journal.

        Parameters
        ----------
        folder : path-like
        volume : Volume, optional
            The image it was made on; by default the file of the same name beside the folder.
        model : Predictor, optional
            By default the one of the same name.

        Raises
        ------
        ReadError
            If files are missing or damaged, or the image is not the one the session was made on.
        """
        from stacksam.session.files import restore_session

        return restore_session(folder, volume, model)

    def _mask_to_commit(self, object_id: int) -> Any:
        prompts = self._state.prompts.for_object(object_id)
        result = self.result(object_id)
        if result is not None and self.is_current(object_id):
            return result.mask
        decided = {(p.axis, p.index) for p in prompts if says_where(p)}
        if not decided:
            raise ValueError(
                f"object {object_id} has no box, mask or positive point, so there is nothing to "
                "commit; add one first"
            )
        mask = empty_stack(self.volume.shape, bool)
        for axis, index in sorted(decided):
            add_plane(mask, axis, index, self.predict(object_id, index, axis).mask)
        return mask

    def _locked_labels(self) -> set[int]:
        objects = self._state.objects.values()
        return {o.label_id for o in objects if o.label_id is not None and o.is_locked}

    def _next_label_id(self) -> int:
        return 1 + self._state.last_label


def _how_to_propagate(
    job: PropagationJob, found: dict[int, PropagationResult], state: State
) -> dict[str, Any]:
    """What to compute to get the same again."""
    outdated = {
        str(i): [prompt_to_dict(p) for p in task.prompts]
        for i, task in job.tasks.items()
        if task.prompts != state.prompts.for_object(i)
    }
    return {
        "propagate": list(job.object_ids),
        "axis": job.axis,
        "z_range": None if job.z_range is None else list(job.z_range),
        "sensitivity": job.sensitivity,
        "consensus": job.finish.consensus,
        "smooth": job.finish.smooth,
        "boxes": {str(i): t.plan.box for i, t in job.tasks.items() if t.plan.box is not None},
        "found": {
            str(i): sorted(found[i].slices) if i in found else []
            for i in job.object_ids
            if i not in found or not found[i].complete
        },
        "prompts": outdated,
    }
