"""Slices per second of 16 objects in one 512 x 512 region together; what 1,000 slices keep.

``slices_per_second`` counts the slices on which the decoder ran, of all objects, from call to
return with a cold cache. ``stacks_per_second`` counts a slice only once all objects are done on it.

    python benchmarks/run.py many --json many.json
"""

from __future__ import annotations

import time

import numpy as np

import stacksam

SIDE = 512
SPACING = (2.0, 0.8, 0.8)


def grid_of_balls(depth: int, per_side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright ellipsoids of various sizes in rows and columns, touching none, and their labels."""
    rng = np.random.default_rng(seed)
    pitch, middle = SIDE / per_side, (depth - 1) / 2
    z, y, x = np.ogrid[:depth, :SIDE, :SIDE]
    labels = np.zeros((depth, SIDE, SIDE), np.uint8)
    for number in range(per_side**2):
        row, column = divmod(number, per_side)
        radius = pitch * rng.uniform(0.2, 0.45)
        dy, dx = y - pitch * (row + 0.5), x - pitch * (column + 0.5)
        shape = ((z - middle) / (0.5 * depth)) ** 2 + (dy / radius) ** 2 + (dx / radius) ** 2
        labels[shape < 1] = number + 1
    image = np.where(labels > 0, 120.0, 20.0) + rng.normal(0, 12, labels.shape)
    return image.astype(np.int16), labels


def measure(
    model: str = "compact", depth: int = 24, per_side: int = 4, slices: int = 1000
) -> dict[str, float]:
    """Rate of all objects together after one warm-up, and what a long stack leaves behind."""
    loaded = stacksam.load_model(model, device="cpu")
    image, labels = grid_of_balls(depth, per_side)
    figures: dict[str, float] = {}
    for _ in range(2):  # the first one warms up
        volume = stacksam.Volume(image, spacing_zyx=SPACING)
        session = stacksam.Session(volume, loaded, window="full")
        for label in range(1, per_side**2 + 1):
            session.add_box(label, depth // 2, _box_of(labels[depth // 2] == label))
        encoded = session.predictor.embeddings.computed
        started = time.perf_counter()
        results = session.propagate(list(session.objects))
        seconds = time.perf_counter() - started
    decoded = sum(result.decoded for result in results.values())
    figures["objects"] = float(len(results))
    figures["slices_decoded"] = float(decoded)
    figures["fields_encoded"] = float(session.predictor.embeddings.computed - encoded)
    figures["slices_per_second"] = decoded / seconds
    figures["stacks_per_second"] = decoded / seconds / len(results)
    figures["dice"] = float(np.mean([_dice(results[i].mask, labels == i) for i in results]))
    return figures | (_long_stack(loaded, slices) if slices else {})


def _long_stack(model: object, slices: int) -> dict[str, float]:
    """Bytes kept by stores and results after an object went through a long stack."""
    y, x = np.ogrid[:SIDE, :SIDE]
    ball = (y - 256) ** 2 + (x - 256) ** 2 < 60**2
    plane = (np.where(ball, 120, 20)).astype(np.int16)
    volume = stacksam.Volume(np.broadcast_to(plane, (slices, SIDE, SIDE)), spacing_zyx=SPACING)
    session = stacksam.Session(volume, model, window="full")
    session.add_box(1, slices // 2, _box_of(ball))
    before = peak_memory()
    result = session.propagate(1)
    predictor = session.predictor
    stores = (predictor.embeddings, predictor.slices, predictor.predictions)
    return {
        "long_slices_found": float(len(result.slices)),
        "long_stores_mb": sum(store.used for store in stores) / 2**20,
        "long_result_mb": result.nbytes / 2**20,
        "long_peak_grew_mb": peak_memory() - before,
    }


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum())


def peak_memory() -> float:
    """Largest resident size so far in MB; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
