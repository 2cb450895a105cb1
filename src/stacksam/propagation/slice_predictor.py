"""Masks of one slice from the prompts on it, and from the slice beside it.

Every result follows from its inputs alone and carries a key made of them, so that results can be
remembered: asking again costs nothing, and after an edit only what depends on it is computed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stacksam.core.fields import (
    LOGIT_OUTSIDE,
    Field,
    crop_image,
    crop_labels,
    field_around,
    logits_box,
    move_logits,
)
from stacksam.core.freed_memory import give_back_freed_memory
from stacksam.core.masks import box_of
from stacksam.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    prompt_to_dict,
    sample_scribble,
)
from stacksam.core.volume import Volume
from stacksam.core.windows import Window, apply_window, to_grey
from stacksam.io.embedding_store import MemoryStore
from stacksam.propagation.appearance import Appearance, context_maps
from stacksam.propagation.belief import WEIGHTS, carry_belief
from stacksam.propagation.field_choice import (
    Box,
    box_to_field,
    click_fields,
    corrected_field,
    expected_overlaps,
    grown,
)
from stacksam.propagation.slice_prediction import SlicePrediction
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.kept_embeddings import encode_once
from stacksam.sam.predictor import FieldPrediction, FieldPrompts, Predictor
from stacksam.sam.whole_slice import WholeSlicePredictor

SCRIBBLE_POINTS = 8
MASK_LOGIT = 8.0
HANDED_LOGIT = 4.0
"""Limit of the logits handed on to a neighbour: certainty about one slice must not become certainty
about the next; chosen on train and val."""

GROWTH, GROWN_SHARE = 0.25, 0.03
"""Taken off the logits of what a neighbour handed on, as masks grow a little from slice to slice;
but no more than takes away this share of the mask, which spares thin objects (decision 0026)."""

EMBEDDING_BUDGET = 512 * 2**20
"""Bytes of embeddings: 512 fields of the built-in model, 1 MB each."""

SLICE_BUDGET = 128 * 2**20
"""Bytes of slices that had to be read; those of a volume in memory are views and cost nothing."""

PREDICTION_BUDGET = 256 * 2**20
"""Bytes of predictions: about 1,300 slices by the built-in model, 0.2 MB each."""

DECODINGS_PER_SWEEP = 32
"""So often freed memory is given back: often enough to stay below 50 MB of it, and too seldom to
be felt."""


@dataclass(frozen=True)
class _Round:
    """Prompts seen so far and what came out of them."""

    points: tuple[tuple[float, float], ...] = ()
    signs: tuple[bool, ...] = ()
    box: Box | None = None
    field: Field | None = None
    logits: np.ndarray | None = None
    is_neighbour: bool = False
    neighbour: SlicePrediction | None = None
    prediction: FieldPrediction | None = None
    shown: int = 0


class SlicePredictor:
    """Predict slices of one volume, seen through one window, with one model.

    Parameters
    ----------
    volume : Volume
    window : Window
    model : Predictor
    """

    def __init__(self, volume: Volume, window: Window, model: Predictor) -> None:
        self.volume, self.window, self.model = volume, window, model
        self.embeddings: MemoryStore[Embedding] = MemoryStore(EMBEDDING_BUDGET, _embedding_bytes)
        self.slices: MemoryStore[np.ndarray] = MemoryStore(
            SLICE_BUDGET,
            lambda image: 0 if self._is_in_volume(image) else image.nbytes,
            lambda image: image if self._is_in_volume(image) else image.copy(),
        )
        self.predictions: MemoryStore[SlicePrediction] = MemoryStore(
            PREDICTION_BUDGET, lambda found: found.nbytes, SlicePrediction.kept
        )
        self.decoded = self._swept = 0
        how = (model.fingerprint, str(getattr(model, "dtype", "")))
        source = (volume.fingerprint, window.low, window.high, *how)
        self._source = repr(source).encode()

    def pixel_aspect(self, axis: int) -> float:
        """Pixel height over width in mm on slices across `axis`; 1 where spacing is unknown."""
        spacing = self.volume.plane_spacing(axis)
        return 1.0 if spacing is None else spacing[0] / spacing[1]

    def slice_step(self, axis: int) -> float:
        """Distance between slices across `axis` in pixel widths; 1 where spacing is unknown."""
        spacing, plane = self.volume.spacing_zyx, self.volume.plane_spacing(axis)
        return 1.0 if spacing is None or plane is None else spacing[axis] / plane[1]

    def embed(self, axis: int, index: int, field: Field) -> Embedding:
        """The embedding of a field, computed once."""

        def encode() -> Embedding:
            if isinstance(self.model, WholeSlicePredictor):
                crop = apply_window(self.read(axis, index), self.window)
            else:
                crop = self.crop(axis, index, field)
            return encode_once(self.model, crop)

        return self.embeddings.get_or_compute((axis, index, field), encode)

    def crop(self, axis: int, index: int, field: Field) -> np.ndarray:
        """What a field shows: (S, S) float32 in [0, 1]."""
        image = self.read(axis, index)
        return crop_image(image, field, self.model.input_size, self._prepare)

    def read(self, axis: int, index: int) -> np.ndarray:
        """A slice as it is stored, (H, W) or (H, W, 3), read once; treat it as read-only."""
        return self.slices.get_or_compute(
            (axis, index), lambda: self.volume.read_slice(index, axis)
        )

    def sweep(self) -> None:
        """Give back freed memory if much was computed since the last time.

        For whoever has just computed something and lets nobody wait now.
        """
        if self.decoded - self._swept >= DECODINGS_PER_SWEEP:
            self._swept = self.decoded
            give_back_freed_memory()

    def _is_in_volume(self, image: np.ndarray) -> bool:
        """Whether a slice is a view of a volume in memory, which it does not make larger."""
        data = self.volume.data
        return isinstance(data, np.ndarray) and np.may_share_memory(image, data)

    def _field(self, axis: int, box: Box) -> Field:
        """The field for a box; always the whole slice for models used that way."""
        shape = self.volume.plane_shape(axis)
        if isinstance(self.model, WholeSlicePredictor):
            return self.model.field_of(shape)
        return field_around(box, shape, pixel_aspect=self.pixel_aspect(axis))

    def _prepare(self, pixels: np.ndarray) -> np.ndarray:
        return to_grey(apply_window(pixels, self.window))

    def from_prompts(
        self,
        axis: int,
        index: int,
        prompts: tuple[Prompt, ...],
        neighbour: SlicePrediction | None = None,
    ) -> SlicePrediction:
        """The object as the prompts of one slice say, in their order.

        Parameters
        ----------
        axis, index : int
        prompts : tuple of Prompt
            On this slice; a mask can only be the first one.
        neighbour : SlicePrediction, optional
            Of the slice beside it, from which the prompts correct what goes on here.

        Returns
        -------
        prediction : SlicePrediction

        Raises
        ------
        ValueError
            If there is nothing that says where the object is.
        """
        if neighbour is None and not any(says_where(p) for p in prompts):
            raise ValueError(
                f"slice {index} has no box, mask or positive point of this object; add one first"
            )
        key = self._key(axis, index, prompts, neighbour)
        return self.predictions.get_or_compute(
            key, partial(self._play, key, axis, index, prompts, neighbour)
        )

    def from_neighbour(self, axis: int, index: int, neighbour: SlicePrediction) -> SlicePrediction:
        """The object as it goes on from the slice beside this one."""
        return self.from_prompts(axis, index, (), neighbour)

    def _key(
        self,
        axis: int,
        index: int,
        prompts: tuple[Prompt, ...],
        neighbour: SlicePrediction | None,
    ) -> bytes:
        facts = [{k: v for k, v in prompt_to_dict(p).items() if "_id" not in k} for p in prompts]
        digest = hashlib.blake2b(self._source, digest_size=16)
        digest.update(repr((axis, index, facts)).encode())
        digest.update(b"" if neighbour is None else neighbour.key)
        return digest.digest()

    def _play(
        self,
        key: bytes,
        axis: int,
        index: int,
        prompts: tuple[Prompt, ...],
        neighbour: SlicePrediction | None,
    ) -> SlicePrediction:
        """Decode prompt after prompt, each seeing the logits of those before it."""
        state = _Round()
        if neighbour is not None:
            state = self._start_from(neighbour, axis)
            if not prompts:
                state = self._decode(axis, index, state)
        for prompt in prompts:
            if isinstance(prompt, MaskPrompt):
                given = prompt.to_array()
                is_empty = not given.any()
                if len(prompts) == 1 or (is_empty and not any(map(says_where, prompts[1:]))):
                    return self._given(key, axis, index, given)
                if not is_empty:  # otherwise the later prompts start anew
                    field, logits = self._mask_logits(axis, given)
                    state = _Round(field=field, logits=logits)
                continue
            state = self._with_prompt(state, prompt)
            if state.field is None and state.box is None and not any(state.signs):
                continue  # negative points before anything else wait for what they exclude from
            state = self._decode_with_field(axis, index, state)
        return self._finish(key, axis, index, state)

    def _start_from(self, neighbour: SlicePrediction, axis: int) -> _Round:
        box = logits_box(neighbour.logits, neighbour.field)
        field = neighbour.field
        if box is not None:
            field = self._field(axis, box)
        handed = np.clip(neighbour.logits, -HANDED_LOGIT, HANDED_LOGIT)
        logits = move_logits(handed, neighbour.field, field)
        if self.model.knows_neighbours or box is None:
            return _Round(field=field, logits=logits, is_neighbour=True, neighbour=neighbour)
        return _Round(field=field, logits=logits, box=grown(box, 0.05))

    @staticmethod
    def _with_prompt(state: _Round, prompt: Prompt) -> _Round:
        points, signs, box = state.points, state.signs, state.box
        if isinstance(prompt, BoxPrompt):
            box = prompt.yxyx
        elif isinstance(prompt, PointPrompt):
            points, signs = (*points, prompt.yx), (*signs, prompt.positive)
        elif isinstance(prompt, ScribblePrompt):
            drawn = [
                (float(y), float(x)) for y, x in sample_scribble(prompt.points_yx, SCRIBBLE_POINTS)
            ]
            points, signs = (*points, *drawn), (*signs, *[prompt.positive] * len(drawn))
        field = None if isinstance(prompt, BoxPrompt) else state.field
        return replace(state, points=points, signs=signs, box=box, field=field)

    def _decode_with_field(self, axis: int, index: int, state: _Round) -> _Round:
        """Choose the field for the prompts so far, bring earlier logits there and decode."""
        shape, aspect = self.volume.plane_shape(axis), self.pixel_aspect(axis)
        field = state.field
        if field is None and state.box is None:
            if not isinstance(self.model, WholeSlicePredictor):
                return self._look_at_scales(axis, index, state)
            field = self.model.field_of(shape)
        if field is None:
            assert state.box is not None
            field = self._field(axis, state.box)
            if state.logits is not None:  # a box after other prompts starts anew
                state = _Round(state.points, state.signs, state.box)
        else:
            fitting = corrected_field(state.logits, field, state.points, shape, aspect)
            if state.logits is not None:
                state = replace(state, logits=move_logits(state.logits, field, fitting))
            field = fitting
        return self._decode(axis, index, replace(state, field=field))

    def _look_at_scales(self, axis: int, index: int, state: _Round) -> _Round:
        """Look at a first click from close, middle and far; keep what all looks agree on most."""
        clicks = [p for p, positive in zip(state.points, state.signs, strict=True) if positive]
        rounds, looks = [], []
        shape, aspect = self.volume.plane_shape(axis), self.pixel_aspect(axis)
        for field in click_fields(clicks, shape, aspect):
            look = self._decode(axis, index, _Round(state.points, state.signs, field=field))
            assert look.prediction is not None
            rounds.append(look)
            looks.append((look.prediction.logits, field, look.prediction.scores))
        expected = expected_overlaps(looks, clicks)
        best = int(np.argmax([overlaps.max() for overlaps in expected]))
        shown = int(np.argmax(expected[best]))
        return replace(rounds[best], shown=shown, logits=looks[best][0][shown])

    def _decode(self, axis: int, index: int, state: _Round) -> _Round:
        field, model = state.field, self.model
        assert field is not None
        points = [
            (float(y), float(x))
            for y, x in field.to_field(np.array(state.points).reshape(-1, 2), model.input_size)
        ]
        prompts = FieldPrompts(
            points_yx=tuple(points),
            is_positive=state.signs,
            box_yxyx=None
            if state.box is None
            else box_to_field(state.box, field, model.input_size),
            logits=state.logits,
            is_neighbour=state.is_neighbour,
            context=self._context(axis, index, field, state.neighbour),
        )
        prediction = model.decode(self.embed(axis, index, field), prompts)
        if state.is_neighbour and not state.signs:
            prediction = replace(prediction, logits=without_growth(prediction.logits))
        self.decoded += 1
        is_ambiguous = len(state.signs) == 1 and state.box is None and state.logits is None
        shown = 1 + int(np.argmax(prediction.scores[1:])) if is_ambiguous else 0
        return replace(
            state,
            logits=prediction.logits[shown],
            is_neighbour=False,
            prediction=prediction,
            shown=shown,
        )

    def _context(
        self, axis: int, index: int, field: Field, neighbour: SlicePrediction | None
    ) -> np.ndarray | None:
        """The neighbouring slice in this field, for models that look at it."""
        if neighbour is None or not self.model.sees_neighbours:
            return None
        return context_maps(
            self.crop(axis, index, field),
            self.crop(axis, neighbour.index, field),
            neighbour.appearance,
            self.model.logits_size,
        )

    def _finish(self, key: bytes, axis: int, index: int, state: _Round) -> SlicePrediction:
        field, prediction = state.field, state.prediction
        assert field is not None
        assert prediction is not None
        assert state.logits is not None
        order = [state.shown, *(i for i in np.argsort(-prediction.scores) if i != state.shown)]
        scores = [float(score) for score in np.clip(prediction.scores, 0, 1)]
        candidates = tuple((prediction.logits[i], scores[i]) for i in order[:3])
        appearance = Appearance.of(self.crop(axis, index, field), state.logits)
        if state.neighbour is not None and state.neighbour.appearance is not None:
            appearance = state.neighbour.appearance.blended(appearance)
        score, is_handed = scores[state.shown], state.neighbour is not None and not state.signs
        belief = WEIGHTS.start
        if is_handed and state.neighbour is not None:
            belief = carry_belief(state.neighbour.belief, score, prediction.presence)
        return SlicePrediction(
            key,
            index,
            self.volume.plane_shape(axis),
            field,
            state.logits,
            score,
            prediction.presence,
            candidates,
            appearance=appearance,
            belief=belief,
            is_handed=is_handed,
        )

    def _given(self, key: bytes, axis: int, index: int, mask: np.ndarray) -> SlicePrediction:
        """A mask that the user gave; an empty one says that the object is absent."""
        field, logits = self._mask_logits(axis, mask)
        presence = float(mask.any())
        shape = (mask.shape[0], mask.shape[1])
        appearance = Appearance.of(self.crop(axis, index, field), logits)
        return SlicePrediction(
            key, index, shape, field, logits, 1.0, presence, given=mask, appearance=appearance
        )

    def _mask_logits(self, axis: int, mask: np.ndarray) -> tuple[Field, np.ndarray]:
        shape, size = (mask.shape[0], mask.shape[1]), self.model.logits_size
        box = box_of(mask) or (0, 0, *shape)
        field = self._field(axis, box)
        inside = crop_labels(mask, field, 2 * size).reshape(size, 2, size, 2).mean((1, 3))
        if not inside.any():
            return field, np.full((size, size), LOGIT_OUTSIDE, np.float32)
        return field, (MASK_LOGIT * (2 * inside - 1)).astype(np.float32)


def says_where(prompt: Prompt) -> bool:
    """Whether a prompt tells where the object is, or that it is absent; negative ones do not."""
    return isinstance(prompt, BoxPrompt | MaskPrompt) or prompt.positive


def without_growth(logits: np.ndarray) -> np.ndarray:
    """Logits (M, h, w), lowered by `GROWTH` or less, so that the first mask keeps its core."""
    inside = logits[0][logits[0] > 0]
    shift = min(GROWTH, float(np.quantile(inside, GROWN_SHARE))) if inside.size else 0.0
    return logits - np.float32(shift)


def _embedding_bytes(embedding: Embedding) -> int:
    tensors = [embedding.image_embedding, *(embedding.skips or ())]
    return sum(t.numel() * t.element_size() for t in tensors)
