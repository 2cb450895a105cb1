"""Generated training items: seeds 0, 1, ... drawn anew wherever they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from stacksam.core.volume import Volume
from stacksam.training.config import DataConfig
from stacksam.training.packs import PackedItem, make_item
from stacksam.training.synthetic import generate_image, generate_volume
from stacksam.training.synthetic_abdomen import SPACING_ZYX, draw_abdomen

PREFIX = "synthetic_"
"""How the data sets of generated items are called."""


def generated_items(config: DataConfig, workers: int = 0) -> Iterator[PackedItem]:
    """Images, volumes and CT abdomens, as many as a configuration wants.

    Parameters
    ----------
    config : DataConfig
    workers : int
        Processes that draw; 0: this one. The items and their order are the same.

    Yields
    ------
    item : PackedItem
    """
    counts = {
        "images": config.synthetic_images,
        "volumes": config.synthetic_volumes,
        "patients": config.synthetic_patients,
    }
    wanted = [(kind, seed) for kind, count in counts.items() for seed in range(count)]
    if not workers or not wanted:
        yield from map(_draw, wanted)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, wanted)


def _draw(what: tuple[str, int]) -> PackedItem:
    kind, seed = what
    if kind == "images":
        image, labels = generate_image(seed)
        return PackedItem(f"{PREFIX}{kind}", "train", image[None], labels[None], None)
    if kind == "volumes":
        image, labels, spacing = generate_volume(seed)
        return PackedItem(f"{PREFIX}{kind}", "train", image, labels, spacing)
    hu, organs = draw_abdomen(seed, is_varied=True)
    volume = Volume(hu, spacing_zyx=SPACING_ZYX)
    return make_item(f"{PREFIX}{kind}", "train", volume, organs.astype(np.uint16))
