"""One object over 200 slices of a logical (4096, 1600, 1600) uint16 Zarr array: memory and time.

The array's chunks are made by a store of ours when they are read (21 GB in all). Each run is a
process of its own: ``above_model_mb`` is the peak of its memory above what it was with the model
loaded and one slice of something else segmented. ``seconds_per_slice`` is from one box to the
committed labels, divided by the slices; ``making_seconds_per_slice`` of it is what the store took
to make chunks, which a disk would take to read them. ``small`` is a stack of (220, 512, 512) in
plain memory with the same object; ``planes`` has chunks of one slice, ``blocks`` of (64, 512, 512).
``open_seconds`` is from the array to a session with its window.

    python benchmarks/run.py memory --json memory.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from propagation import peak_memory

SHAPE = (4096, 1600, 1600)
CHUNKS = {"planes": (1, 1600, 1600), "blocks": (64, 512, 512)}
SMALL = (220, 512, 512)


def measure(depth: int = 200, threads: int = 2) -> dict[str, float]:
    """Figures of each kind of array.

    Parameters
    ----------
    depth : int
        Slices of the object.
    threads : int
    """
    figures: dict[str, float] = {}
    for kind in ("small", *CHUNKS):
        command = [sys.executable, __file__, kind, str(depth)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
        figures |= {f"{kind}_{name}": value for name, value in found.items()}
    for kind in CHUNKS:
        own = figures[f"{kind}_seconds_per_slice"] - figures[f"{kind}_making_seconds_per_slice"]
        figures[f"{kind}_time_to_small"] = own / figures["small_seconds_per_slice"]
    return figures


def run(kind: str, depth: int) -> dict[str, float]:
    """One kind, in this process."""
    from _generated_store import generated

    import stacksam

    model = stacksam.load_model("compact", device="cpu")
    warm = stacksam.Session(stacksam.Volume(np.zeros((3, 300, 300), np.uint16)), model)
    warm.add_box(1, 1, (90, 90, 200, 200))
    warm.predict(1, 1)
    warm.propagate(1)
    if kind == "small":
        store = generated(SMALL, (1, *SMALL[1:]), depth)
        data: Any = store.array()[:]
    else:
        store = generated(SHAPE, CHUNKS[kind], depth)
        data = store.array()
    making = _timed_making(store)
    before = peak_memory()
    started = time.perf_counter()
    session = stacksam.Session(stacksam.Volume(data, spacing_zyx=(1.0, 1.0, 1.0)), model)
    opened = time.perf_counter()
    making[0], opened_reads = 0.0, store.n_read
    z, y, x = store.center
    session.add_box(1, z, (y - 132, x - 152, y + 132, x + 152))
    result = session.propagate(1)
    session.commit(1)
    seconds = time.perf_counter() - opened
    reference = _body(store, result)
    return {
        "above_model_mb": peak_memory() - before,
        "open_seconds": opened - started,
        "chunks_read_to_open": float(opened_reads),
        "slices_found": float(len(result.slices)),
        "dice": reference,
        "seconds_per_slice": seconds / len(result.slices),
        "making_seconds_per_slice": making[0] / len(result.slices),
        "chunks_read": float(store.n_read - opened_reads),
        "labels_mb": session.labels.nbytes / 2**20,
    }


def _timed_making(store: Any) -> list[float]:
    """Let the store count the seconds it takes."""
    make, total = store.chunk, [0.0]

    def timed(place: Any) -> np.ndarray:
        started = time.perf_counter()
        chunk = make(place)
        total[0] += time.perf_counter() - started
        return chunk

    store.chunk = timed
    return total


def _body(store: Any, result: Any) -> float:
    """Dice over the slices of the body."""
    y, x = np.ogrid[: store.shape[1], : store.shape[2]]
    disc = ((y - store.center[1]) / store.radii[1]) ** 2
    disc = disc + ((x - store.center[2]) / store.radii[2]) ** 2
    common = total = 0
    for index in range(store.center[0] - store.radii[0], store.center[0] + store.radii[0] + 1):
        body = disc < 1 - ((index - store.center[0]) / store.radii[0]) ** 2
        found = result.slices.get(index)
        mask = np.zeros_like(body) if found is None else found.mask
        common, total = common + int((mask & body).sum()), total + int(body.sum() + mask.sum())
    return 2 * common / total


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
