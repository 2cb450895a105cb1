"""A network ready for use: crops and prompts in as numpy, logits and scores out as numpy.

Nothing above this file needs torch, and SAM's x, y order and pixel conventions end here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stacksam.core.freed_memory import keep_freed_memory
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.half_precision import wants_bfloat16
from stacksam.sam.model import PromptableModel
from stacksam.sam.prompt_encoder import BOX_END, BOX_START, NEGATIVE, POSITIVE

MAX_POINTS = 32
"""Newest points that are kept as prompts of one field."""


@dataclass(frozen=True)
class FieldPrompts:
    """Prompts in the coordinates of a field's crop; pixel centres are integers.

    Attributes
    ----------
    points_yx : tuple of (y, x)
    is_positive : tuple of bool
    box_yxyx : (y0, x0, y1, x1) or None
        Half-open.
    logits : ndarray of shape (h, w), float32, or None
        Of the previous round or, if `is_neighbour`, of the neighbouring slice.
    is_neighbour : bool
    context : ndarray of shape (C, h, w), float32, or None
        What the neighbouring slice shows; see `stacksam.propagation.appearance.context_maps`.
    """

    points_yx: tuple[tuple[float, float], ...] = ()
    is_positive: tuple[bool, ...] = ()
    box_yxyx: tuple[float, float, float, float] | None = None
    logits: np.ndarray | None = None
    is_neighbour: bool = False
    context: np.ndarray | None = None


@dataclass(frozen=True)
class FieldPrediction:
    """What the network sees in a field.

    Attributes
    ----------
    logits : ndarray of shape (M, h, w), float32
        The single mask first, then the candidates for ambiguous prompts.
    scores : ndarray of shape (M,), float32
        Predicted IoU in [0, 1].
    presence : float
        Probability that the object goes on to this slice, where only a neighbour's mask was given;
        otherwise, and for networks that do not tell, 1.
    """

    logits: np.ndarray
    scores: np.ndarray
    presence: float


class Predictor:
    """Run a promptable network on one device.

    Parameters
    ----------
    network : PromptableModel
        Moved to the device; see `has_half_weights`.
    name : str
    fingerprint : str
        Of the weights.
    device : {"auto", "cpu", "cuda", "mps"} or a torch device's name
    dtype : {"auto", "float32", "bfloat16", "float16"}
        Of the computation. ``auto`` is bfloat16 on CUDA and, on processors that are faster with it,
        for large vision transformers; float32 otherwise.

    Attributes
    ----------
    has_half_weights : bool
        Whether the encoder's weights were converted, which halves their memory. The decoder then
        computes in float32.

    Raises
    ------
    ValueError
        If the device is not there or the dtype unknown.
    """

    def __init__(
        self,
        network: PromptableModel,
        *,
        name: str,
        fingerprint: str,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        encoder = getattr(network, "image_encoder", None)
        self.dtype = _choose_dtype(dtype, self.device, encoder)
        self.has_half_weights = (
            self.device.type == "cpu"
            and self.dtype == torch.bfloat16
            and getattr(encoder, "computes_in_weights_type", False)
        )
        if encoder is not None and self.has_half_weights:
            encoder.to(self.dtype)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.input_size = network.prompt_encoder.input_image_size[0]
        self.logits_size = network.prompt_encoder.mask_input_size[0]
        self.tells_presence = network.mask_decoder.has_object_score
        self.knows_neighbours = network.prompt_encoder.has_prompt_maps
        self.sees_neighbours = network.prompt_encoder.num_context_maps > 0

    @torch.inference_mode()
    def encode(self, crop: np.ndarray) -> Embedding:
        """Encode a field.

        Parameters
        ----------
        crop : ndarray of shape (S, S), float32 in [0, 1]
            S is `input_size`.

        Returns
        -------
        embedding : Embedding
            Half precision, on the device.
        """
        image = torch.from_numpy(np.ascontiguousarray(crop, np.float32))[None, None]
        with self._autocast():
            embedding = self.network.encode(image.to(self.device))
        return _as_type(embedding, torch.float16)

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: FieldPrompts) -> FieldPrediction:
        """Decode one combination of prompts.

        Parameters
        ----------
        embedding : Embedding
            From `encode`.
        prompts : FieldPrompts

        Returns
        -------
        prediction : FieldPrediction
        """
        points = self._points(prompts)
        logits, is_neighbour = None, None
        if prompts.logits is not None:
            logits = torch.from_numpy(np.ascontiguousarray(prompts.logits, np.float32))[None, None]
            logits = logits.to(self.device)
            is_neighbour = torch.tensor([prompts.is_neighbour], device=self.device)
        context = None
        if prompts.context is not None and self.sees_neighbours:
            context = torch.from_numpy(prompts.context)[None].to(self.device)
        with self._autocast():
            output = self.network.decode(
                _as_type(embedding, torch.float32), points, None, logits, is_neighbour, context
            )
        is_handed = prompts.is_neighbour and not prompts.points_yx and prompts.box_yxyx is None
        presence = output.object_score_logits if is_handed else None
        return FieldPrediction(
            output.masks[0].float().cpu().numpy(),
            output.iou_predictions[0].float().clamp(0, 1).cpu().numpy(),
            1.0 if presence is None else float(presence[0, 0].float().sigmoid()),
        )

    def _points(self, prompts: FieldPrompts) -> tuple[Tensor, Tensor]:
        coords: list[tuple[float, float]] = []
        labels: list[int] = []
        if prompts.box_yxyx is not None:
            y0, x0, y1, x1 = prompts.box_yxyx
            coords += [(x0 - 0.5, y0 - 0.5), (x1 - 0.5, y1 - 0.5)]
            labels += [BOX_START, BOX_END]
        for (y, x), positive in list(zip(prompts.points_yx, prompts.is_positive, strict=True))[
            -MAX_POINTS:
        ]:
            coords.append((x, y))
            labels.append(POSITIVE if positive else NEGATIVE)
        return (
            torch.tensor(coords, dtype=torch.float32, device=self.device).reshape(1, -1, 2),
            torch.tensor(labels, dtype=torch.float32, device=self.device)[None],
        )

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32 or self.has_half_weights:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def choose_device(name: str = "auto") -> torch.device:
    """The torch device of a name; ``auto`` prefers CUDA, then Apple's MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device {name!r} is unknown; use auto, cpu, cuda or mps") from None
    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there.get(device.type, device.type == "cpu"):
        raise ValueError(f"device {name!r} is not available on this computer; use auto or cpu")
    return device


def _choose_dtype(name: str, device: torch.device, encoder: nn.Module | None = None) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name == "auto":
        if device.type == "cpu":
            is_half = encoder is not None and wants_bfloat16(encoder)
            return torch.bfloat16 if is_half else torch.float32
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in known:
        raise ValueError(f"dtype {name!r} is unknown; use auto, {', '.join(known)}")
    return known[name]


def _as_type(embedding: Embedding, dtype: torch.dtype) -> Embedding:
    skips = embedding.skips
    return Embedding(
        embedding.image_embedding.to(dtype),
        None if skips is None else (skips[0].to(dtype), skips[1].to(dtype)),
    )
