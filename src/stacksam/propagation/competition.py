"""Objects of one run compete for the pixels that more than one of them claims.

Each object bids for each pixel of its mask. A sure mask outbids a doubtful one, a small one a large
one that has leaked into it, and where two masks are alike the border lies where both are equally
sure of the pixel. Fronts hand on only what they have won, so that a leak into a neighbour ends on
the slice on which it began; see `Contest.ceded`. See decision 0021.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from stacksam.core.fields import crop_labels, paste_logits
from stacksam.core.masks import Box, as_slices, common_box, window_of
from stacksam.propagation.belief import belief_of
from stacksam.propagation.slice_mask import SliceMask
from stacksam.propagation.slice_prediction import SlicePrediction
from stacksam.propagation.slice_predictor import HANDED_LOGIT

Found = Mapping[int, SliceMask]

CLEAR_LOGIT = 4.0
"""A pixel whose logit is larger than this counts no more than one with this."""

PIXEL_SHARE = 0.5
"""What a pixel's logit counts beside the log odds of the whole mask."""

GIVEN = 2
"""Rank of a mask that the user gave."""

_STEPS = 32
"""Logits are kept in steps of one in so many, which fits 8 bits."""


@dataclass(frozen=True)
class Claim:
    """An object's mask on one slice, and how sure each pixel of it is.

    Attributes
    ----------
    object_id : int
    mask : SliceMask
    rank : int
        Higher ones win whatever is bid.
    box : (y0, x0, y1, x1) or None
        What `packed` covers.
    packed : bytes
        Logits of the pixels in the box. Build it with `from_prediction`.
    key : bytes
        Of the prediction that it was made of.
    """

    object_id: int
    mask: SliceMask
    rank: int = 0
    box: Box | None = None
    packed: bytes = b""
    key: bytes = b""

    @classmethod
    def from_prediction(cls, object_id: int, found: SlicePrediction) -> Claim:
        """Keep what bids follow from."""
        mask = SliceMask.from_prediction(found)
        rank = GIVEN if mask.is_given else 0
        if mask.box is None:
            return cls(object_id, mask, rank, key=found.key)
        logits = paste_logits(found.logits, found.field, found.plane_shape)[as_slices(mask.box)]
        steps = np.rint(_STEPS * np.clip(logits, 0, CLEAR_LOGIT)).astype(np.uint8)
        packed = zlib.compress(steps.tobytes(), 1)
        return cls(object_id, mask, rank, mask.box, packed, found.key)

    @property
    def strength(self) -> float:
        """Log odds of the confidence in the mask, less the log of its radius in pixels."""
        radius = math.sqrt(max(self.mask.n_pixels, 1) / math.pi)
        return belief_of(self.mask.confidence) - math.log(radius)

    def bids(self, window: Box) -> np.ndarray:
        """For each pixel in a half-open box: (h, w) float32, minus infinity beside the mask."""
        bids = np.full((window[2] - window[0], window[3] - window[1]), self.strength)
        if self.box is not None:
            height, width = self.box[2] - self.box[0], self.box[3] - self.box[1]
            steps = np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(height, width)
            bids += PIXEL_SHARE / _STEPS * window_of(steps, self.box, window)
        return np.where(self.mask.window(window), bids, -np.inf).astype(np.float32)


class Contest:
    """What the objects of one run claim, slice by slice."""

    def __init__(self) -> None:
        self._claims: dict[tuple[int, int], Claim] = {}
        self._objects_on: dict[int, set[int]] = {}

    def add(self, object_id: int, found: SlicePrediction) -> None:
        """Let an object claim its mask of a slice."""
        self._claims[object_id, found.index] = Claim.from_prediction(object_id, found)
        self._objects_on.setdefault(found.index, set()).add(object_id)

    def ceded(self, object_id: int, found: SlicePrediction) -> SlicePrediction:
        """What a front hands on: a slice without the pixels that others have bid more for.

        Parameters
        ----------
        object_id : int
        found : SlicePrediction
            Where the front has come to.

        Returns
        -------
        ceded : SlicePrediction
            `found` itself where nothing is lost, and where the user gave the mask.
        """
        others = self._objects_on.get(found.index, set()) - {object_id}
        if not others or found.given is not None:
            return found
        mine = self._claims.get((object_id, found.index))
        if mine is None or mine.key != found.key:  # what lies in a gap was not claimed yet
            mine = Claim.from_prediction(object_id, found)
        lost = _lost(mine, [self._claims[other, found.index] for other in others])
        if not lost.any():
            return found
        size = len(found.logits)
        cells = crop_labels(lost, found.field, 2 * size).reshape(size, 2, size, 2).mean((1, 3))
        logits = np.where(cells >= 0.5, np.minimum(found.logits, -HANDED_LOGIT), found.logits)
        digest = hashlib.blake2b(np.packbits(lost).tobytes(), digest_size=16).digest()
        return replace(found, key=found.key + digest, logits=logits, candidates=())

    def share_out(
        self, found: Mapping[int, Found], touched: Mapping[int, Collection[int]]
    ) -> dict[int, dict[int, SliceMask]]:
        """Give each contested pixel to one object.

        A mask that the user gave is kept to the bit, even where two of them overlap. Then slices
        with prompts of the object come first, since that is where the user decided; then the
        highest bid wins, at equal bids that of the lower id.

        Parameters
        ----------
        found : mapping of object id to {slice index: SliceMask}
            All along the same axis; masks may have changed since they were claimed.
        touched : mapping of object id to collection of int
            Slices with prompts.

        Returns
        -------
        shared : dict of object id to {slice index: SliceMask}
            Masks without a loss are passed on as they are.
        """
        shared = {object_id: dict(slices) for object_id, slices in found.items()}
        for index in sorted({index for slices in found.values() for index in slices}):
            claims = []
            for object_id, slices in found.items():
                if index in slices:
                    rank = GIVEN if slices[index].is_given else int(index in touched[object_id])
                    claim = self._claims.get((object_id, index), Claim(object_id, slices[index]))
                    claims.append(replace(claim, mask=slices[index], rank=rank))
            for mine in claims:
                lost = _lost(mine, claims)
                if lost.any():
                    shared[mine.object_id][index] = mine.mask.with_mask(mine.mask.mask & ~lost)
        return shared


def _lost(mine: Claim, claims: Iterable[Claim]) -> np.ndarray:
    """Which of an object's pixels on a slice, (H, W) bool, others win; never one that was given."""
    lost = np.zeros(mine.mask.plane_shape, bool)
    for other in claims:
        window = common_box(mine.mask.box, other.mask.box)
        is_stronger = other.rank > mine.rank
        is_equal = other.rank == mine.rank < GIVEN
        if window is None or other.object_id == mine.object_id or not (is_stronger or is_equal):
            continue
        ours, theirs = mine.bids(window), other.bids(window)
        wins = theirs > ours
        if other.object_id < mine.object_id:
            wins = theirs >= ours
        if is_stronger:
            wins = np.isfinite(theirs)
        lost[as_slices(window)] |= wins & np.isfinite(ours)
    return lost
