"""SAM 2.1, MedSAM2 and EdgeTAM: networks with a memory of the slices they have seen.

The networks are transformers'; images are prepared here, as its own preparation needs torchvision.
A slice is squashed to the model's square input, as published.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stacksam.core.squashed_slice import SquashedSlice, squashed_slice
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.official import normalize_pixels
from stacksam.sam.predictor import (
    MAX_POINTS,
    FieldPrediction,
    FieldPrompts,
    _choose_dtype,
    choose_device,
)
from stacksam.sam.prompt_encoder import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE
from stacksam.sam.whole_slice import WholeSlicePredictor

ABSENT_LOGIT = -1024.0
"""Of every pixel of a slice on which the network does not see the object, as published."""

DRAWN_LOGITS = (-8.0, -4.0, 0.0, 4.0, 8.0)
"""Values of logits that were made of a given mask; see `stacksam.propagation.slice_predictor`."""

OBJECT_ID = 1
"""Each track follows one object."""


class VideoPredictor(WholeSlicePredictor):
    """A network with a memory on one device: prompts on slices, and tracks through stacks.

    Parameters
    ----------
    network : transformers.Sam2VideoModel or transformers.EdgeTamVideoModel
    name, fingerprint : str
    device : {"auto", "cpu", "cuda", "mps"} or a torch device's name
    dtype : {"auto", "float32", "bfloat16", "float16"}
        ``auto`` is float32.

    Raises
    ------
    ValueError
        If the device is not there or the dtype unknown.
    """

    network: Any
    has_memory = True

    def __init__(
        self,
        network: Any,
        *,
        name: str,
        fingerprint: str,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        self.name, self.fingerprint = name, fingerprint
        self.device = choose_device(device)
        self.dtype = _choose_dtype("float32" if dtype == "auto" else dtype, self.device)
        self.network = network.to(self.device).eval()
        size = network.config.image_size
        self.input_size = int(size if isinstance(size, int) else size[0])
        self.logits_size = int(network.prompt_encoder.mask_input_size[0])
        self.tells_presence = True
        self.knows_neighbours = self.sees_neighbours = False
        self._positions: list[Tensor] | None = None

    def field_of(self, plane_shape: tuple[int, int]) -> SquashedSlice:  # type: ignore[override]
        """Where a slice lies in the model's input."""
        return squashed_slice(plane_shape)

    @torch.inference_mode()
    def encode(self, crop: np.ndarray) -> Embedding:
        """Encode a whole slice; `crop` as in `preprocess_slice`. In full precision."""
        image = preprocess_slice(crop, self.input_size).to(self.device)
        with self._autocast():
            output = self.network.get_image_features(image, return_dict=True)
        if self._positions is None:
            self._positions = list(output.fpn_position_encoding)
        levels = [
            level.permute(1, 2, 0).unflatten(2, tuple(size)).float()
            for level, size in zip(
                output.fpn_hidden_states, self.network.backbone_feature_sizes, strict=True
            )
        ]
        return Embedding(levels[2], (levels[1], levels[0]))

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: FieldPrompts) -> FieldPrediction:
        """Decode one combination of prompts, as on the first slice of a video.

        Parameters
        ----------
        embedding : Embedding
            From `encode`.
        prompts : FieldPrompts
            In pixels of the model's input. The networks see all prompts of a slice at once:
            logits of earlier rounds are not handed to them, those of a given mask are.

        Returns
        -------
        prediction : FieldPrediction
            The single mask, and for a single point the three candidates.
        """
        coords, labels = self._points(prompts)
        mask = prompts.logits
        if mask is not None and labels.numel() and not np.isin(mask, DRAWN_LOGITS).all():
            mask = None
        masks = None if mask is None else torch.from_numpy(mask)[None, None].to(self.device)
        with self._autocast():
            found = [self._heads(embedding, coords, labels, masks, False)]
            if labels.shape[1] <= self.network.config.multimask_max_pt_num and mask is None:
                found.append(self._heads(embedding, coords, labels, masks, True))
        presence = found[0][2]
        return FieldPrediction(
            torch.cat([f[0] for f in found]).float().cpu().numpy(),
            torch.cat([f[1] for f in found]).float().cpu().numpy(),
            float(presence.float().sigmoid()),
        )

    def _heads(
        self,
        embedding: Embedding,
        coords: Tensor,
        labels: Tensor,
        masks: Tensor | None,
        is_ambiguous: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (M, h, w), scores (M,) and the object's score."""
        network: Any = self.network
        if not labels.numel():
            coords, labels = coords.new_zeros(1, 1, 2), labels.new_full((1, 1), PADDING)
        sparse, dense = network.prompt_encoder(
            input_points=coords[None],
            input_labels=labels[None].to(torch.int32),
            input_boxes=None,
            input_masks=masks,
        )
        assert embedding.skips is not None
        nothing_before = network.no_memory_embedding.reshape(1, -1, 1, 1)
        logits, scores, _, presence = network.mask_decoder(
            image_embeddings=embedding.image_embedding + nothing_before,
            image_positional_embeddings=network.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=is_ambiguous,
            high_resolution_features=[embedding.skips[1], embedding.skips[0]],
        )[:4]
        seen = torch.where(presence.reshape(-1) > 0, logits[0, 0], ABSENT_LOGIT)
        return seen, scores[0, 0], presence.reshape(())

    def _points(self, prompts: FieldPrompts) -> tuple[Tensor, Tensor]:
        """Coordinates (1, N, 2) as x, y and labels (1, N); a box is two points and comes first."""
        coords: list[tuple[float, float]] = []
        labels: list[int] = []
        if prompts.box_yxyx is not None:
            y0, x0, y1, x1 = prompts.box_yxyx
            coords, labels = [(x0, y0), (x1, y1)], [BOX_START, BOX_END]
        pairs = list(zip(prompts.points_yx, prompts.is_positive, strict=True))[-MAX_POINTS:]
        coords += [(x, y) for (y, x), _ in pairs]
        labels += [POSITIVE if positive else NEGATIVE for _, positive in pairs]
        return (
            torch.tensor(coords, dtype=torch.float32, device=self.device).reshape(1, -1, 2),
            torch.tensor(labels, dtype=torch.int32, device=self.device)[None],
        )

    def track(self, n_slices: int) -> Track:
        """Begin to follow an object through a stack."""
        return Track(self, n_slices)


@dataclass(frozen=True)
class Seen:
    """What a track finds on a slice.

    Attributes
    ----------
    logits : ndarray of shape (h, w), float32
        `ABSENT_LOGIT` where the object is not seen.
    score : float
        Predicted IoU in [0, 1].
    presence : float
        Probability that the object is on the slice.
    """

    logits: np.ndarray
    score: float
    presence: float


class Track:
    """One object's memory, slice after slice; what is no longer needed of it is dropped.

    Slices are encoded by the caller and handed over one at a time, so that no more than one image
    embedding and about twenty slices' memories are held.

    Parameters
    ----------
    predictor : VideoPredictor
    n_slices : int
        Of the stack; pointers to slices outside it are not looked for.
    """

    def __init__(self, predictor: VideoPredictor, n_slices: int) -> None:
        import transformers

        self.predictor = predictor
        kind = predictor.network.config.model_type
        name = {"edgetam_video": "EdgeTamVideoInferenceSession"}.get(
            kind, "Sam2VideoInferenceSession"
        )
        self._session = getattr(transformers, name)(
            video=None,
            video_height=predictor.input_size,
            video_width=predictor.input_size,
            inference_device=predictor.device,
            inference_state_device=predictor.device,
            dtype=torch.float32,
        )
        self._session.processed_frames = dict.fromkeys(range(n_slices))  # only counted
        self._object = self._session.obj_id_to_idx(OBJECT_ID)
        self.reach = max(
            predictor.network.config.max_object_pointers_in_encoder, predictor.network.num_maskmem
        )

    def add_prompts(self, index: int, embedding: Embedding, prompts: FieldPrompts) -> Seen:
        """Condition on the points and the box of a slice."""
        self._give_points(index, prompts)
        return self._run(index, embedding, is_reverse=False)

    def add_mask(self, index: int, embedding: Embedding, mask: np.ndarray) -> Seen:
        """Condition on a mask of the whole slice, bool (Y, X)."""
        side = self.predictor.input_size
        values = torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]
        if values.shape[-2:] != (side, side):
            values = F.interpolate(values, (side, side), mode="bilinear", antialias=True)
            values = (values >= 0.5).float()
        self._session.add_mask_inputs(self._object, index, values)
        self._session.remove_point_inputs(self._object, index)
        self._session.obj_with_new_inputs = [OBJECT_ID]
        return self._run(index, embedding, is_reverse=False)

    def step(
        self,
        index: int,
        embedding: Embedding,
        *,
        is_reverse: bool,
        corrections: FieldPrompts | None = None,
    ) -> Seen:
        """Follow the object to a slice, with points that correct what arrives there."""
        if corrections is not None:
            self._give_points(index, corrections)
            # A slice that counts as tracked is seen together with the memory, not by itself.
            self._session.frames_tracked_per_obj[self._object][index] = {"reverse": is_reverse}
        return self._run(index, embedding, is_reverse=is_reverse)

    def forget(self, near: Iterable[int]) -> None:
        """Drop the memories of slices that are in reach of none of some slices."""
        outputs = self._session.output_dict_per_obj[self._object]["non_cond_frame_outputs"]
        near = tuple(near)
        for index in [i for i in outputs if all(abs(i - n) > self.reach for n in near)]:
            del outputs[index]

    def _give_points(self, index: int, prompts: FieldPrompts) -> None:
        coords, labels = self.predictor._points(prompts)
        inputs = {"point_coords": coords[None], "point_labels": labels[None]}
        self._session.add_point_inputs(self._object, index, inputs)
        self._session.remove_mask_inputs(self._object, index)
        self._session.obj_with_new_inputs = [OBJECT_ID]

    @torch.inference_mode()
    def _run(self, index: int, embedding: Embedding, *, is_reverse: bool) -> Seen:
        network: Any = self.predictor.network
        assert embedding.skips is not None
        levels = (embedding.skips[1], embedding.skips[0], embedding.image_embedding)
        self._session.cache.clear_all()
        self._session.cache.cache_vision_features(
            index,
            {
                "vision_feats": [level.flatten(2).permute(2, 0, 1) for level in levels],
                "vision_pos_embeds": self.predictor._positions,
            },
        )
        scores: list[Tensor] = []
        hook = network.mask_decoder.register_forward_hook(
            lambda module, args, output: scores.append(output[1].detach())
        )
        is_given = index in self._session.mask_inputs_per_obj[self._object]
        try:
            with self.predictor._autocast():
                output = network(
                    inference_session=self._session, frame_idx=index, reverse=is_reverse
                )
        finally:
            hook.remove()
        self._shrink()
        score = 1.0 if is_given else float(scores[-1].float().max().clamp(0, 1))
        return Seen(
            output.pred_masks[0, 0].float().cpu().numpy(),
            score,
            float(output.object_score_logits.float().sigmoid().reshape(-1)[0]),
        )

    def _shrink(self) -> None:
        """Drop the masks in the input's resolution, which are only needed while encoding them."""
        for outputs in self._session.output_dict_per_obj[self._object].values():
            for output in outputs.values():
                output.pop("high_res_masks", None)


def preprocess_slice(image: np.ndarray, side: int) -> Tensor:
    """Prepare a whole slice: squashed to a square with averaging, in colour, normalised.

    Parameters
    ----------
    image : ndarray of shape (Y, X) or (Y, X, 3), uint8 or floating
        Floating values are intensities in a window, [0, 1].
    side : int
        Of the model's input.

    Returns
    -------
    image : Tensor of shape (1, 3, side, side), float32

    Raises
    ------
    ValueError
        If the image is empty or has another shape.

    Examples
    --------
    >>> preprocess_slice(np.zeros((20, 30), np.float32), 64).shape
    torch.Size([1, 3, 64, 64])
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"image has shape {image.shape}; give a slice (Y, X) or (Y, X, 3)")
    values = torch.from_numpy(np.ascontiguousarray(image, np.float32))
    values = values / 255 if image.dtype == np.uint8 else values
    channels = values[None] if image.ndim == 2 else values.permute(2, 0, 1)
    resized = F.interpolate(
        channels[None], (side, side), mode="bilinear", align_corners=False, antialias=True
    )
    return normalize_pixels(255 * resized).expand(1, 3, side, side)
