"""Slices per second of one box through a CT of 512 x 512 x 100 voxels, cold cache.

With ``--scaling`` also for other numbers of threads, of objects (boxes side by side, propagated in
one call; the rate counts each object's slices), and sizes of the volume (the same object in slices
of another side).

    python benchmarks/run.py propagation --scaling --bars propagation.png
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import stacksam

SHAPE = (100, 512, 512)
SPACING = (2.0, 0.8, 0.8)


def body_with_organ(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A body of fat and muscle with one ellipsoid organ over 92 slices, in HU, and its mask."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    skin = ((y - 256) / 200) ** 2 + ((x - 256) / 230) ** 2 < 1
    muscle = ((y - 256) / 170) ** 2 + ((x - 256) / 200) ** 2 < 1
    organ = ((z - 50) / 46) ** 2 + ((y - 240) / 80) ** 2 + ((x - 200) / 100) ** 2 < 1
    image = np.where(skin, np.where(muscle, 50, -90), -1000) + np.zeros(SHAPE, np.int16)
    image[organ] = 115
    image += rng.normal(0, 12, SHAPE).astype(np.int16)
    return image.astype(np.int16), organ


def measure(repeats: int = 3, scaling: bool = False) -> dict[str, float]:
    """Median slices per second from call to return, and peak memory.

    Slices are those on which the decoder ran; each repeat has a new session, hence a cold cache.
    """
    image, organ = body_with_organ()
    before = peak_memory()
    model = stacksam.load_model("compact", device="cpu")
    rates = []
    for repeat in range(repeats + 1):  # the first one warms up
        volume = stacksam.Volume(image, spacing_zyx=SPACING)
        session = stacksam.Session(volume, model, window="ct-soft-tissue")
        session.add_box(1, 50, (160, 100, 320, 300))
        started = time.perf_counter()
        result = session.propagate(1)
        seconds = time.perf_counter() - started
        if repeat:
            rates.append(result.decoded / seconds)
    scaled = scaling_figures(model, image) if scaling else {}
    overlap = 2 * (result.mask & organ).sum() / (result.mask.sum() + organ.sum())
    return {
        "slices_per_second": float(np.median(rates)),
        "slices_decoded": float(result.decoded),
        "slices_of_object": float(organ.any((1, 2)).sum()),
        "dice": float(overlap),
        "peak_memory_mb": peak_memory(),
        "memory_before_model_mb": before,
        **scaled,
    }


def scaling_figures(model: Any, image: np.ndarray) -> dict[str, float]:
    """Rates by threads, objects and side of the slices; a third of the stack for each."""
    import torch

    image, usual = image[34:67], torch.get_num_threads()
    figures = {}
    for threads in sorted({1, 2, usual}):
        torch.set_num_threads(threads)
        figures[f"threads_{threads}_slices_per_second"] = _rate(model, image, 1)
    torch.set_num_threads(usual)
    for objects in (1, 4, 16):
        figures[f"objects_{objects}_slices_per_second"] = _rate(model, image, objects)
    for side in (512, 1024, 2048):
        larger = np.full((len(image), side, side), -1000, np.int16)
        larger[:, :512, :512] = image
        figures[f"side_{side}_slices_per_second"] = _rate(model, larger, 1)
    return figures


def _rate(model: Any, image: np.ndarray, objects: int) -> float:
    """Slices of objects per second."""
    session = stacksam.Session(
        stacksam.Volume(image, spacing_zyx=SPACING), model, window="ct-soft-tissue"
    )
    for number in range(objects):
        y, x = 160 + 40 * (number // 4), 100 + 50 * (number % 4)
        box = (160, 100, 320, 300) if objects == 1 else (y, x, y + 38, x + 48)
        session.add_box(number + 1, len(image) // 2, box)
    started = time.perf_counter()
    results = session.propagate(list(range(1, objects + 1)))
    seconds = time.perf_counter() - started
    return sum(len(result.slices) for result in results.values()) / seconds


def peak_memory() -> float:
    """Largest resident size so far in MB; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
