"""Milliseconds from a prompt to the slice's mask, without a window: by threads and slice size.

``new`` is for a field that was not looked at before, ``cached`` for one that was; a click looks at
three fields at once, a box at one. ``encode`` and ``decode`` are the network's two halves, alone.
``first_mask_seconds`` is in a fresh process, from an open volume to the mask of a box; importing
torch, which is part of it, is ``import_torch_seconds``. ``first_mask_ahead_seconds`` is the same
after 512 x 512 x 100 voxels were read from a NIfTI file while the model was loaded by `load_ahead`;
reading took ``read_ahead_seconds``, and alone ``read_seconds``. Medians.

    python benchmarks/run.py interaction --json interaction.json --bars interaction.png
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def measure(
    threads: str = "1,2", sides: str = "512,1024,2048", repeats: int = 12
) -> dict[str, float]:
    """Milliseconds for each number of threads and side of a square slice.

    Parameters
    ----------
    threads, sides : str
        Whole numbers with commas between them.
    repeats : int
    """
    figures: dict[str, float] = {}
    for count in (int(part) for part in threads.split(",")):
        for task in (*FIRST, *sides.split(",")):
            found = _in_process(task, count, 3 if task in FIRST else repeats)
            figures |= {f"threads_{count}_{name}": value for name, value in found.items()}
    return figures


def _in_process(task: str, threads: int, repeats: int) -> dict[str, float]:
    """Run a task in fresh processes; a first mask can be measured once in each."""
    runs = repeats if task in FIRST else 1
    command = [sys.executable, __file__, task, str(repeats)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    found = []
    for _ in range(runs):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: float(np.median([each[name] for each in found])) for name in found[0]}


def first_mask() -> dict[str, float]:
    """Seconds from an open volume to the first mask, the model's loading included."""
    import stacksam

    volume = stacksam.Volume(_stack(512, 3))
    started = time.perf_counter()
    import torch  # noqa: F401 - the model needs it

    imported = time.perf_counter()
    session = stacksam.Session(volume, stacksam.load_model("compact", device="cpu"))
    session.add_box(1, 1, (160, 170, 330, 350))
    assert session.predict(1, 1).mask.any()
    ended = time.perf_counter()
    return {
        "import_torch_seconds": imported - started,
        "first_mask_seconds": ended - started,
    }


def first_mask_ahead() -> dict[str, float]:
    """Seconds from a volume that was just read to the first mask, the model loaded meanwhile."""
    import stacksam

    with tempfile.TemporaryDirectory(prefix="stacksam-bench-") as folder:
        path = Path(folder) / "ct.nii.gz"
        made = "import sys; from interaction import write_ct; write_ct(sys.argv[1])"
        subprocess.run([sys.executable, "-c", made, path], cwd=Path(__file__).parent, check=True)
        began = time.perf_counter()
        loading = stacksam.load_ahead("compact", device="cpu")
        volume = stacksam.read(path)
        started = time.perf_counter()
        session = stacksam.Session(volume, loading.result())
        session.add_box(1, 1, (160, 170, 330, 350))
        assert session.predict(1, 1).mask.any()
        ended = time.perf_counter()
        stacksam.read(path)
        return {
            "first_mask_ahead_seconds": ended - started,
            "read_ahead_seconds": started - began,
            "read_seconds": time.perf_counter() - ended,
        }


def write_ct(path: str) -> None:
    """A compressed NIfTI file of 512 x 512 x 100 voxels, as CTs come."""
    import stacksam

    volume = stacksam.Volume(8 * _stack(512, 100).astype(np.uint16), spacing_zyx=(2.0, 0.8, 0.8))
    stacksam.write_labels(path, volume.data, like=volume)


def answers(side: int, repeats: int) -> dict[str, float]:
    """Milliseconds of clicks and boxes on slices of one size."""
    import stacksam
    from stacksam.sam.predictor import FieldPrompts

    model = stacksam.load_model("compact", device="cpu")
    volume = stacksam.Volume(_stack(side, repeats + 1))
    session = stacksam.Session(volume, model)
    half = 0.17 * side
    box = (side / 2 - half, side / 2 - half, side / 2 + half, side / 2 + half)
    taken: dict[str, list[float]] = {}
    for number in range(repeats + 1):
        for kind in ("click", "box"):
            for state in ("new", "cached"):
                session.predictor.predictions.clear()
                if state == "new":
                    session.predictor.embeddings.clear()
                object_id = 1 + max(session.objects, default=0)
                if kind == "click":
                    session.add_point(object_id, (number, side / 2, side / 2))
                else:
                    session.add_box(object_id, number, box)
                name = f"side_{side}_{kind}_{state}_ms"
                taken.setdefault(name, []).append(
                    _ms(lambda i=object_id, n=number: session.predict(i, n).mask)
                )
    crop = np.random.default_rng(0).random((model.input_size,) * 2, np.float32)
    embedding = model.encode(crop)
    prompts = FieldPrompts(box_yxyx=(60.0, 60.0, 190.0, 190.0))
    for _ in range(repeats + 1):
        taken.setdefault("encode_ms", []).append(_ms(lambda: model.encode(crop)))
        taken.setdefault("decode_ms", []).append(_ms(lambda: model.decode(embedding, prompts)))
    return {name: float(np.median(values[1:])) for name, values in taken.items()}


def _ms(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def _stack(side: int, depth: int) -> np.ndarray:
    """A bright disc in noise, another noise on each slice."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:side, :side]
    disc = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (0.15 * side) ** 2
    return (rng.normal(100, 12, (depth, side, side)) + 60 * disc).clip(0, 255).astype(np.uint8)


FIRST = {"first": first_mask, "ahead": first_mask_ahead}

if __name__ == "__main__":
    task, repeats = sys.argv[1:]
    done = FIRST[task]() if task in FIRST else answers(int(task), int(repeats))
    print(json.dumps(done))
