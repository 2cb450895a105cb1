"""The part of a session that looks at one slice at a time, with a model."""

from __future__ import annotations

import numpy as np

from stacksam.core.prompts import MaskPrompt
from stacksam.core.volume import Volume
from stacksam.core.windows import WindowSpec
from stacksam.propagation import SlicePrediction, SlicePredictor
from stacksam.sam import Predictor
from stacksam.session import edits
from stacksam.session.annotation import Annotation
from stacksam.session.jobs import SliceJob, slice_job
from stacksam.session.lines import now
from stacksam.session.results import Prediction, PropagationResult
from stacksam.session.state import ObjectInfo

MAX_ACCEPTED = 64
"""Predictions with their candidates that are kept for slices the user works on."""


class SliceWork(Annotation):
    """The part of `Session` that predicts single slices; see there for the parameters."""

    def __init__(self, volume: Volume, model: Predictor, window: WindowSpec = "auto") -> None:
        super().__init__(volume, window)
        self._engine = SlicePredictor(volume, self.window, model)
        self._accepted: dict[tuple[int, int, int], tuple[SliceJob, SlicePrediction]] = {}
        begin = {"kind": "begin", "time": now(), "window_name": self.window_name}
        limits = {"window": [self.window.low, self.window.high]}
        self._log.append(begin | limits | self._model_facts())

    @property
    def model(self) -> Predictor:
        """What computes."""
        return self._engine.model

    def set_model(self, model: Predictor) -> None:
        """Compute with another model from now on; not part of the history."""
        if model is not self.model:
            self._renew_engine(model)
            self._write_down({"kind": "model", "time": now()} | self._model_facts())
            for object_id in self._state.objects:
                self.results_changed.emit(object_id)

    def _model_facts(self) -> dict[str, str]:
        return {"model": self.model.name, "model_fingerprint": self.model.fingerprint}

    @property
    def predictor(self) -> SlicePredictor:
        """What jobs compute with; the thread that runs them may fill its stores beforehand."""
        if self._engine.window != self.window:
            self._renew_engine(self.model)
        return self._engine

    def _renew_engine(self, model: Predictor) -> None:
        """Begin with empty stores, and let go of the former ones."""
        self._engine = SlicePredictor(self.volume, self.window, model)
        self._accepted.clear()

    def predict(self, object_id: int, index: int, axis: int = 0) -> Prediction:
        """The object on one slice, as the prompts on this slice say.

        Parameters
        ----------
        object_id, index : int
        axis : {0, 1, 2}

        Returns
        -------
        prediction : Prediction

        Raises
        ------
        ValueError
            If the slice has no prompts of the object, or negative ones only.
        """
        job = self._slice_job(object_id, index, axis, in_stack=False)
        found = job.run()
        job.predictor.sweep()
        return self._prediction(job, found)

    def slice_job(self, object_id: int, index: int, axis: int = 0) -> SliceJob:
        """What has to be computed to show one slice; `accept` takes what it finds.

        Points on a slice that the object's propagation reaches from elsewhere correct what arrives
        there; in all other cases the job finds what `predict` does.

        Raises
        ------
        ValueError
            If no prompt says where the object is.
        """
        kept = self._state.results.get(object_id)
        is_along = kept is not None and kept.result.axis == axis
        return self._slice_job(object_id, index, axis, in_stack=is_along)

    def accept(self, job: SliceJob, found: SlicePrediction) -> Prediction | None:
        """Keep what a job found as the slice's latest prediction.

        Returns
        -------
        prediction : Prediction or None
            None, and nothing happens, if the prompts, the window or the model have changed since.
        """
        if not self._is_current(job):
            return None
        key = (job.object_id, job.axis, job.index)
        self._accepted.pop(key, None)
        self._accepted[key] = (job, found)
        while len(self._accepted) > MAX_ACCEPTED:
            self._accepted.pop(next(iter(self._accepted)))
        self.results_changed.emit(job.object_id)
        return self._prediction(job, found)

    def prediction(self, object_id: int, index: int, axis: int = 0) -> Prediction | None:
        """The latest prediction of a slice that was accepted, None if it is outdated."""
        job, found = self._accepted.get((object_id, axis, index), (None, None))
        if job is None or found is None or not self._is_current(job):
            return None
        return self._prediction(job, found)

    def shown_slice(self, object_id: int, index: int, axis: int = 0) -> np.ndarray | None:
        """What a viewer should show of an object on a slice across any axis.

        Returns
        -------
        mask : ndarray of shape (H, W), bool, or None
            The prediction of the slice's own prompts where it has some, otherwise the slice of the
            propagation result; None if there is neither.
        """
        info = self._object(object_id)
        prediction = self.prediction(object_id, index, axis)
        if prediction is not None:
            return prediction.mask
        here = self._state.prompts.on_slice(object_id, index, axis)
        if len(here) == 1 and isinstance(here[0], MaskPrompt):
            return here[0].to_array()
        kept = self._state.results.get(object_id)
        if kept is None:
            return None
        if kept.result.axis != axis:
            return self._cleaned(kept.result, info).section(index, axis)
        found = kept.result.slices.get(index)
        if found is None:
            return np.zeros(self.volume.plane_shape(axis), dtype=bool)
        return found.cleaned(info.clean_up, self.volume.plane_spacing(axis)).mask

    def _slice_job(self, object_id: int, index: int, axis: int, in_stack: bool) -> SliceJob:
        self._object(object_id)
        index = edits.check_slice(self.volume, index, axis)
        prompts = self._state.prompts
        return slice_job(self.predictor, prompts, object_id, index, axis, in_stack)

    def _is_current(self, job: SliceJob) -> bool:
        """Whether the same job would be made now."""
        try:
            return self.slice_job(job.object_id, job.index, job.axis) == job
        except ValueError:
            return False

    def _prediction(self, job: SliceJob, found: SlicePrediction) -> Prediction:
        object_id, index, axis = job.object_id, job.index, job.axis  # the job holds all stores

        def choose(mask: np.ndarray) -> int:
            return self.add_mask(object_id, index, mask, axis)

        clean_up = self._object(object_id).clean_up
        return Prediction(found, choose, clean_up, self.volume.plane_spacing(axis))

    def _cleaned(self, result: PropagationResult, info: ObjectInfo) -> PropagationResult:
        return result.cleaned(info.clean_up, self.volume.plane_spacing(result.axis))
