"""Embeddings on disk, for models that take seconds for one; only where a folder is named.

They are made of images, so they are as private as these, and nothing is kept unless the variable
`STACKSAM_EMBEDDINGS` names a folder.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np
import torch

from stacksam.io.array_files import ArrayFiles
from stacksam.sam.compact_encoder import Embedding

if TYPE_CHECKING:
    from stacksam.sam.predictor import Predictor

VARIABLE = "STACKSAM_EMBEDDINGS"
BUDGET = 20 * 2**30
LAYOUT = 1
"""Changes with what an embedding of given weights and pixels consists of."""


def embedding_files() -> ArrayFiles | None:
    """The store that `STACKSAM_EMBEDDINGS` names, None where it is not set."""
    folder = os.environ.get(VARIABLE, "")
    return ArrayFiles(folder, BUDGET) if folder else None


def encode_once(model: Predictor, crop: np.ndarray) -> Embedding:
    """Encode a field, or read what was kept of it.

    The key is what the model sees, pixel by pixel, which follows from the image, the window and the
    field, and the model's weights and precision.

    Parameters
    ----------
    model : Predictor
    crop : ndarray
        See `Predictor.encode`.
    """
    files = embedding_files()
    if files is None:
        return model.encode(crop)
    about = (
        LAYOUT,
        model.fingerprint,
        str(getattr(model, "dtype", "")),
        crop.shape,
        crop.dtype.str,
    )
    digest = hashlib.blake2b(repr(about).encode(), digest_size=20)
    digest.update(np.ascontiguousarray(crop).tobytes())
    kept = files.get(digest.hexdigest())
    if kept is not None and len(kept) in (1, 3):
        image, *skips = (torch.from_numpy(array).to(model.device) for array in kept)
        return Embedding(image, (skips[0], skips[1]) if skips else None)
    embedding = model.encode(crop)
    if type(embedding) is Embedding:  # those of video models hold more
        tensors = (embedding.image_embedding, *(embedding.skips or ()))
        files.put(digest.hexdigest(), tuple(t.cpu().numpy() for t in tensors))
    return embedding
