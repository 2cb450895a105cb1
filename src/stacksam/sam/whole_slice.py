"""The published way to use SAM: the whole slice, longest side 1024, zeros below and to the right.

Everything else in StackSAM looks at fields of a slice. The predictor here does what the published
one does (Kirillov et al. 2023 and its code), so that its results can be reproduced: the slice in 8
bits and in colour, coordinates scaled but not shifted, embeddings in full precision.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stacksam.core.padded_slice import PaddedSlice, padded_slice, resized_shape
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.official import SamModel, normalize_pixels
from stacksam.sam.predictor import MAX_POINTS, FieldPrediction, FieldPrompts, Predictor

SUFFIX = ":whole-slice"
"""Ends the name of a model that is used this way."""


class WholeSlicePredictor(Predictor):
    """A `Predictor` that encodes whole slices instead of fields, as published.

    Parameters
    ----------
    network : SamModel
        Its input has to be square.
    name : str
        Gets `SUFFIX`.
    fingerprint : str
    device : {"auto", "cpu", "cuda", "mps"} or a torch device's name
    dtype : {"auto", "float32", "bfloat16", "float16"}
        ``auto`` is float32.

    Raises
    ------
    ValueError
        If the network's input is not square, or device or dtype cannot be used.
    """

    network: SamModel

    def __init__(
        self,
        network: SamModel,
        *,
        name: str,
        fingerprint: str,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        height, width = network.prompt_encoder.input_image_size
        if height != width:
            raise ValueError(f"the model's input is {height} x {width}; a square one is needed")
        super().__init__(
            network,
            name=name + SUFFIX,
            fingerprint=fingerprint + SUFFIX,
            device=device,
            dtype="float32" if dtype == "auto" else dtype,
        )

    def field_of(self, plane_shape: tuple[int, int]) -> PaddedSlice:
        """Where a slice lies in the model's input."""
        return padded_slice(plane_shape, self.input_size)

    @torch.inference_mode()
    def encode(self, crop: np.ndarray) -> Embedding:
        """Encode a whole slice; `crop` as in `preprocess_whole_slice`. In full precision."""
        padded = preprocess_whole_slice(crop, self.input_size)
        with self._autocast():
            embedding = self.network.image_encoder(padded.to(self.device))
        return Embedding(embedding.image_embedding.float())

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: FieldPrompts) -> FieldPrediction:
        """Decode one combination of prompts.

        Parameters
        ----------
        embedding : Embedding
            From `encode`.
        prompts : FieldPrompts
            In pixels of the model's input; a box's edges are taken as the published predictor
            takes them.

        Returns
        -------
        prediction : FieldPrediction
            Its scores may leave [0, 1] a little: the best candidate is chosen by them.
        """
        points = boxes = masks = None
        if prompts.points_yx:
            points = (
                self._tensor(prompts.points_yx)[None, -MAX_POINTS:].flip(-1),  # (1, N, 2) x, y
                self._tensor(prompts.is_positive)[None, -MAX_POINTS:],
            )
        if prompts.box_yxyx is not None:
            boxes = self._tensor(prompts.box_yxyx)[None, [1, 0, 3, 2]]
        if prompts.logits is not None:
            masks = self._tensor(prompts.logits)[None, None]
        with self._autocast():
            output = self.network.decode(embedding, points, boxes, masks)
        return FieldPrediction(
            output.masks[0].float().cpu().numpy(),
            output.iou_predictions[0].float().cpu().numpy(),
            1.0,
        )

    def _tensor(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=self.device)


def preprocess_whole_slice(image: np.ndarray, longest_side: int = 1024) -> Tensor:
    """Prepare a whole slice as published: 8 bits, resampled with averaging, normalised, padded.

    Parameters
    ----------
    image : ndarray of shape (Y, X) or (Y, X, 3), uint8 or floating
        Floating values are intensities in a window, [0, 1]; they are rounded to 8 bits.
    longest_side : int

    Returns
    -------
    image : Tensor of shape (1, 3, longest_side, longest_side), float32

    Raises
    ------
    ValueError
        If the image is empty, has another shape, or floating values are not in [0, 1].
    TypeError
        If the dtype is neither uint8 nor floating.

    Examples
    --------
    >>> preprocess_whole_slice(np.zeros((64, 48), np.uint8), 128).shape
    torch.Size([1, 3, 128, 128])
    """
    from PIL import Image

    levels = _as_levels(np.asarray(image))
    height, width = resized_shape(levels.shape[:2], longest_side)
    picture = Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)
    channels = torch.from_numpy(np.array(picture, np.float32).reshape(height, width, -1))
    normalized = normalize_pixels(channels.permute(2, 0, 1)[None])
    return F.pad(normalized, (0, longest_side - width, 0, longest_side - height))


def _as_levels(image: np.ndarray) -> np.ndarray:
    """Check an image and bring it to 8 bits."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}; give a slice (Y, X) or (Y, X, 3)")
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"image is {image.dtype}; give uint8, or a window's floats in [0, 1]")
    if not (image.min() >= 0 and image.max() <= 1):  # also false for NaN
        raise ValueError(
            f"image holds values from {image.min()} to {image.max()}; apply a window to [0, 1]"
        )
    return np.round(np.asarray(image, np.float64) * 255).astype(np.uint8)
