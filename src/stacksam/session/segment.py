"""The main job in one call: an image and a file of prompts in, a label file out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stacksam.core.windows import WindowSpec
from stacksam.sam import Predictor


def segment_file(
    image: str | Path,
    prompts: str | Path,
    out: str | Path,
    *,
    model: str | Path | Predictor = "compact",
    window: WindowSpec | None = None,
    axis: int | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Segment a stack from a prompts file and write labels in the image's geometry.

    Objects are committed in the file's order under their own ids; earlier ones are not overwritten.

    Parameters
    ----------
    image, prompts, out : path-like
        The prompts file is described in `stacksam.io.prompt_files`.
    model : name, path or Predictor
    window : optional
        By default the prompts file's, or ``auto``.
    axis : {0, 1, 2}, optional
        By default the axis of each object's first prompt.
    device : str
    progress : callable, optional
        Called with (slices done, slices at most), over all objects.

    Returns
    -------
    labels : ndarray of shape (Z, Y, X), unsigned
    """
    from stacksam.io import read, write_labels
    from stacksam.io.prompt_files import load_prompts
    from stacksam.sam import load_model
    from stacksam.session.session import Session

    volume = read(image)
    given = load_prompts(prompts, volume.shape)
    loaded = load_model(model, device=device) if isinstance(model, str | Path) else model
    session = Session(volume, loaded, window=window or given.window or "auto")
    session.load(given)
    ids = given.prompts.object_ids
    for number, object_id in enumerate(ids):
        along = next(iter(given.prompts.for_object(object_id))).axis if axis is None else axis
        count = volume.n_slices(along)
        session.propagate(object_id, along, progress=_shifted(progress, number, len(ids), count))
        session.commit(object_id, label_id=object_id)
    write_labels(out, session.labels, like=volume)
    return session.labels


def _shifted(
    progress: Callable[[int, int], None] | None, number: int, objects: int, count: int
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, _: progress(number * count + done, objects * count)
