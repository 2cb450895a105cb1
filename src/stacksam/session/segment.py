"""The main job in one call: an image and a file of prompts in, a label file out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stacksam.core.windows import WindowSpec
from stacksam.sam import Predictor
from stacksam.session.box_limits import Inside
from stacksam.session.protection import OverlapError, Policy

if TYPE_CHECKING:
    from stacksam.session.session import Session


def segment_file(
    image: str | Path,
    prompts: str | Path,
    out: str | Path,
    *,
    model: str | Path | Predictor = "compact",
    window: WindowSpec | None = None,
    axis: int | None = None,
    device: str = "auto",
    whole_slice: bool = False,
    overlap: Policy = "keep",
    z_range: tuple[int, int] | None = None,
    inside: Inside = None,
    ask: Callable[[str], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Segment a stack from a prompts file and write labels in the image's geometry.

    Objects along one axis compete for what more than one of them claims; all are committed under
    their own ids, in the file's order.

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
    whole_slice : bool
        See `stacksam.load_model`, as `device`.
    overlap : {"keep", "overwrite", "ask"}
        What becomes of the voxels of an earlier object that a later one covers.
    z_range, inside : optional
        Limits of the propagation, see `Session.propagation_job`.
    ask : callable, optional
        For ``ask``: called with what is the case, True lets the later object have them.
    progress : callable, optional
        Called with (slices done, slices at most), over all objects.

    Returns
    -------
    labels : ndarray of shape (Z, Y, X), unsigned

    Raises
    ------
    OverlapError
        If objects overlap, `overlap` is ``ask`` and nobody can be asked.
    """
    from stacksam.io import read, write_labels
    from stacksam.io.prompt_files import load_prompts
    from stacksam.sam import load_model
    from stacksam.session.session import Session

    volume = read(image)
    given = load_prompts(prompts, volume.shape)
    if isinstance(model, str | Path):
        model = load_model(model, device=device, whole_slice=whole_slice)
    session = Session(volume, model, window=window or given.window or "auto")
    session.load(given)
    along: dict[int, list[int]] = {}
    for object_id in given.prompts.object_ids:
        first = next(iter(given.prompts.for_object(object_id)))
        along.setdefault(first.axis if axis is None else axis, []).append(object_id)
    total = sum(len(ids) * volume.n_slices(used) for used, ids in along.items())
    done = 0
    for used, ids in along.items():
        shown = _shifted(progress, done, total)
        session.propagate(ids, used, z_range, shown, inside=inside)
        done += len(ids) * volume.n_slices(used)
    for object_id in given.prompts.object_ids:
        _commit(session, object_id, overlap, ask)
    write_labels(out, session.labels, like=volume)
    return session.labels


def _commit(
    session: Session, object_id: int, overlap: Policy, ask: Callable[[str], bool] | None
) -> None:
    try:
        session.commit(object_id, overwrite=overlap, label_id=object_id)
    except OverlapError as error:
        if ask is None:
            raise
        session.commit(object_id, overwrite=ask(error.fact), label_id=object_id)


def _shifted(
    progress: Callable[[int, int], None] | None, offset: int, total: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(offset + done, total)
