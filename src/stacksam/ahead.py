"""Load a model while something else is done, such as reading the volume it is for."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stacksam.sam import Predictor


def load_ahead(name: str | Path = "compact", **options: Any) -> Future[Predictor]:
    """Begin to load a model in a thread of its own, with all that a session needs.

    Most of the time goes into importing torch, which a first mask otherwise waits for.

    Parameters
    ----------
    name, **options
        As in `load_model`.

    Returns
    -------
    loading : Future
        ``loading.result()`` waits for the model, and raises what `load_model` raises.

    Examples
    --------
    >>> import stacksam
    >>> loading = stacksam.load_ahead("compact")
    >>> volume = stacksam.Volume([[0, 1], [2, 3]])  # stacksam.read("ct.nii.gz") takes its time
    >>> session = stacksam.Session(volume, loading.result())
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="stacksam-load")
    loading = executor.submit(_load, name, **options)
    executor.shutdown(wait=False)
    return loading


def _load(name: str | Path, **options: Any) -> Predictor:
    import_module("stacksam.session")
    return import_module("stacksam.sam").load_model(name, **options)
