"""The published way to use SAM: the whole slice, longest side 1024, zeros below and to the right.

Everything else in StackSAM looks at fields of a slice. The predictor here does what the published
one does (Kirillov et al. 2023 and its code), so that its results can be reproduced.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.official import SamModel, normalize_pixels

MASK_THRESHOLD = 0.0
"""Logits above it belong to the object."""


def resized_shape(shape: tuple[int, int], longest_side: int = 1024) -> tuple[int, int]:
    """Shape of an image scaled to a longest side, halves rounded up.

    Examples
    --------
    >>> resized_shape((512, 400)), resized_shape((3, 2048))
    ((1024, 800), (2, 1024))
    """
    scale = longest_side * 1.0 / max(shape)
    return max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5))


def preprocess_whole_slice(
    image: np.ndarray, longest_side: int = 1024
) -> tuple[Tensor, tuple[int, int]]:
    """Prepare a whole slice as published: 8 bits, resampled with averaging, normalised, padded.

    Parameters
    ----------
    image : ndarray of shape (Y, X) or (Y, X, 3), uint8 or floating
        Floating values are intensities in a window, [0, 1]; they are rounded to 8 bits.
    longest_side : int

    Returns
    -------
    image : Tensor of shape (1, 3, longest_side, longest_side), float32
    resized : (height, width)
        Of the slice within it; the rest is padding.

    Raises
    ------
    ValueError
        If the image is empty, has another shape, or floating values are not in [0, 1].
    TypeError
        If the dtype is neither uint8 nor floating.

    Examples
    --------
    >>> padded, resized = preprocess_whole_slice(np.zeros((64, 48), np.uint8), 128)
    >>> padded.shape, resized
    (torch.Size([1, 3, 128, 128]), (128, 96))
    """
    levels = _as_levels(np.asarray(image))
    height, width = resized_shape(levels.shape[:2], longest_side)
    picture = Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)
    channels = torch.from_numpy(np.array(picture, np.float32).reshape(height, width, -1))
    normalized = normalize_pixels(channels.permute(2, 0, 1)[None])
    padding = (0, longest_side - width, 0, longest_side - height)
    return F.pad(normalized, padding), (height, width)


def postprocess_masks(
    masks: Tensor, resized: tuple[int, int], original: tuple[int, int], longest_side: int = 1024
) -> Tensor:
    """Bring low-resolution logits to the original slice, as published.

    Parameters
    ----------
    masks : Tensor of shape (B, M, h, w)
    resized : (height, width)
        From `preprocess_whole_slice`.
    original : (height, width)
    longest_side : int

    Returns
    -------
    logits : Tensor of shape (B, M, *original)
    """
    side = (longest_side, longest_side)
    upscaled = F.interpolate(masks, side, mode="bilinear", align_corners=False)
    cropped = upscaled[..., : resized[0], : resized[1]]
    return F.interpolate(cropped, original, mode="bilinear", align_corners=False)


class SliceEmbedding(NamedTuple):
    """A whole slice, encoded.

    Attributes
    ----------
    embedding : Embedding
    resized, original : (height, width)
    """

    embedding: Embedding
    resized: tuple[int, int]
    original: tuple[int, int]


class SlicePrediction(NamedTuple):
    """What the published predictor returns.

    Attributes
    ----------
    masks : ndarray of shape (M, Y, X), bool
    iou_predictions : ndarray of shape (M,), float32
    low_res_masks : ndarray of shape (M, 256, 256), float32
        Logits; one of them may be the next prediction's `mask_input`.
    """

    masks: np.ndarray
    iou_predictions: np.ndarray
    low_res_masks: np.ndarray


class WholeSlicePredictor:
    """The published way to use SAM: encode a whole slice once, then predict from prompts.

    Parameters
    ----------
    model : SamModel
        Its input has to be square.
    device : str or torch.device

    Raises
    ------
    ValueError
        If the model's input is not square.
    """

    def __init__(self, model: SamModel, device: str | torch.device = "cpu") -> None:
        height, width = model.prompt_encoder.input_image_size
        if height != width:
            raise ValueError(f"the model's input is {height} x {width}; a square one is needed")
        self.longest_side = height
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> SliceEmbedding:
        """Encode a slice; `image` as in `preprocess_whole_slice`."""
        padded, resized = preprocess_whole_slice(image, self.longest_side)
        embedding = self.model.image_encoder(padded.to(self.device))
        return SliceEmbedding(embedding, resized, image.shape[:2])

    @torch.inference_mode()
    def predict(
        self,
        encoded: SliceEmbedding,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
    ) -> SlicePrediction:
        """Predict masks from prompts in SAM's conventions.

        Parameters
        ----------
        encoded : SliceEmbedding
        point_coords : array-like of shape (N, 2) or None
            x, y in pixels of the slice; half a pixel is added as published.
        point_labels : array-like of shape (N,) or None
            1 positive, 0 negative.
        box : array-like of shape (4,) or None
            x0, y0, x1, y1 in pixels of the slice.
        mask_input : ndarray of shape (1, 256, 256) or None
            Logits of an earlier prediction.
        multimask_output : bool
            Three candidates for an ambiguous prompt instead of one mask.

        Returns
        -------
        prediction : SlicePrediction

        Raises
        ------
        ValueError
            If points come without labels, or as many labels as points are not given.
        """
        points = self._points(encoded, point_coords, point_labels)
        boxes = None
        if box is not None:
            boxes = self._scaled(encoded, np.reshape(box, (2, 2))).reshape(1, 4)
        masks = None
        if mask_input is not None:
            masks = torch.as_tensor(mask_input, dtype=torch.float32, device=self.device)[None]
        output = self.model.decode(encoded.embedding, points, boxes, masks)
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        low_res = output.masks[:, chosen]
        logits = postprocess_masks(low_res, encoded.resized, encoded.original, self.longest_side)
        return SlicePrediction(
            (logits[0] > MASK_THRESHOLD).cpu().numpy(),
            output.iou_predictions[0, chosen].cpu().numpy(),
            low_res[0].cpu().numpy(),
        )

    def _points(
        self, encoded: SliceEmbedding, coords: np.ndarray | None, labels: np.ndarray | None
    ) -> tuple[Tensor, Tensor] | None:
        if coords is None:
            return None
        if labels is None or len(labels) != len(coords):
            given = 0 if labels is None else len(labels)
            raise ValueError(f"{len(coords)} points have {given} labels; give one for each point")
        values = torch.as_tensor(np.asarray(labels), dtype=torch.float32, device=self.device)
        return self._scaled(encoded, coords)[None], values[None]

    def _scaled(self, encoded: SliceEmbedding, coords_xy: np.ndarray) -> Tensor:
        """Slice coordinates to those of the resized slice, (N, 2)."""
        (height, width), (old_height, old_width) = encoded.resized, encoded.original
        scale = np.array([width / old_width, height / old_height])
        scaled = np.asarray(coords_xy, np.float64) * scale
        return torch.as_tensor(scaled, dtype=torch.float32, device=self.device)


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
