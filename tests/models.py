"""A tiny network, a predictor that thresholds instead of thinking, and a stack for it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy import ndimage

from stacksam.core.volume import Volume
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.model import CompactConfig, PromptableModel, build_compact
from stacksam.sam.predictor import FieldPrediction, FieldPrompts, Predictor

TINY = CompactConfig(
    input_size=64,
    embed_dim=32,
    widths=(8, 8, 16, 16, 16),
    depths=(1, 1, 1, 1),
    num_heads=2,
    mlp_dim=32,
    mask_in_chans=16,
    num_prompt_blocks=1,
    num_output_blocks=1,
    quality_dim=16,
)


def tiny_network(seed: int = 0) -> PromptableModel:
    """A network of `TINY` with weights that follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_compact(TINY)


@cache
def tiny_predictor(seed: int = 0) -> Predictor:
    """A predictor around `tiny_network`; shared, so leave it as it is."""
    return Predictor(tiny_network(seed), name="tiny", fingerprint=f"tiny-{seed}", device="cpu")


class ThresholdPredictor:
    """The interface of `Predictor`, answered by a threshold and connected pieces.

    A box gives what is bright in it, a positive click the bright piece under it, a negative one
    takes a disc away, a neighbour's mask the bright pieces that it touches.
    """

    input_size = 128
    logits_size = 64
    name = "threshold"
    knows_neighbours = True
    sees_neighbours = True
    tells_presence = True

    def __init__(
        self, *, score: float = 0.9, presence: float = 1.0, fingerprint: str = "t"
    ) -> None:
        self.score, self.presence, self.fingerprint = score, presence, fingerprint
        self.encoded = 0
        self.seen: list[FieldPrompts] = []

    @property
    def decoded(self) -> int:
        return len(self.seen)

    def encode(self, crop: np.ndarray) -> Embedding:
        assert crop.shape == (self.input_size, self.input_size)
        assert crop.dtype == np.float32
        self.encoded += 1
        return Embedding(torch.from_numpy(crop.copy())[None, None])

    def decode(self, embedding: Embedding, prompts: FieldPrompts) -> FieldPrediction:
        self.seen.append(prompts)
        size = self.logits_size
        crop = embedding.image_embedding[0, 0].numpy()
        pieces, _ = ndimage.label(crop.reshape(size, 2, size, 2).mean((1, 3)) > 0.5)
        mask, is_handed = self._start(pieces, prompts)
        mask = self._click(pieces, mask, prompts)
        grown = ndimage.binary_dilation(mask)
        masks = np.stack([mask, mask, grown, ndimage.binary_erosion(mask)])
        scores = np.array([self.score, self.score, 0.2, 0.1], np.float32)
        presence = self.presence * float(mask.any()) if is_handed else 1.0
        return FieldPrediction(np.where(masks, 6, -6).astype(np.float32), scores, presence)

    def _start(self, pieces: np.ndarray, prompts: FieldPrompts) -> tuple[np.ndarray, bool]:
        mask = np.zeros(pieces.shape, bool)
        is_handed = prompts.logits is not None and prompts.is_neighbour
        if prompts.logits is not None:
            mask = prompts.logits > 0
        if is_handed:
            touched = np.unique(pieces[mask])
            mask = np.isin(pieces, touched[touched > 0])
        if prompts.box_yxyx is not None and prompts.logits is None:
            y0, x0, y1, x1 = (round(v / 2) for v in prompts.box_yxyx)
            mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
            mask &= pieces > 0
        return mask, is_handed and not prompts.points_yx and prompts.box_yxyx is None

    @staticmethod
    def _click(pieces: np.ndarray, mask: np.ndarray, prompts: FieldPrompts) -> np.ndarray:
        size = len(pieces)
        points = zip(prompts.points_yx, prompts.is_positive, strict=True)
        for point, positive in sorted(points, key=lambda p: not p[1]):
            y, x = ((v + 0.5) / 2 - 0.5 for v in point)
            row, column = (int(np.clip(round(v), 0, size - 1)) for v in (y, x))
            grid = np.mgrid[:size, :size]
            disc = (grid[0] - y) ** 2 + (grid[1] - x) ** 2 <= 4**2
            if not positive:
                mask = mask & ~disc
            elif pieces[row, column]:
                mask = mask | (pieces == pieces[row, column])
            else:
                mask = mask | disc
        return mask


def disc(shape: tuple[int, int], center: tuple[float, float], radius: float) -> np.ndarray:
    """Pixels whose centre lies in a circle, bool."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2


def two_tubes(depth: int = 12) -> np.ndarray:
    """Labels (depth, 64, 72): object 1 on slices 3 to depth - 3, object 2 on all; uint8."""
    labels = np.zeros((depth, 64, 72), np.uint8)
    labels[3 : depth - 2, disc((64, 72), (22, 24), 9)] = 1
    labels[:, disc((64, 72), (44, 52), 8)] = 2
    return labels


def stack_of(labels: np.ndarray, **options: object) -> Volume:
    """A volume in which objects are bright: 100 outside, 900 inside, uint16."""
    return Volume(np.where(labels > 0, 900, 100).astype(np.uint16), **options)  # type: ignore[arg-type]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool arrays."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0
