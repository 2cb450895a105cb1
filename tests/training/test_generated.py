"""Generated items: the same wherever and however they are drawn."""

import numpy as np

from stacksam.training.config import DataConfig
from stacksam.training.generated import generated_items


def config(tmp_path, **counts):
    return DataConfig(tmp_path, tmp_path / "pack.npz", **counts)


def test_items_come_in_order_and_are_as_many_as_wanted(tmp_path):
    counts = {"synthetic_images": 2, "synthetic_volumes": 1, "synthetic_patients": 0}
    items = list(generated_items(config(tmp_path, **counts)))
    assert [i.dataset for i in items] == ["synthetic_images"] * 2 + ["synthetic_volumes"]
    for item in items:
        assert item.split == "train"
        assert item.image.shape == item.labels.shape
        assert item.labels.any()
    assert not np.array_equal(items[0].image, items[1].image)


def test_several_processes_draw_the_same(tmp_path):
    wanted = config(tmp_path, synthetic_images=3, synthetic_volumes=1, synthetic_patients=0)
    alone = list(generated_items(wanted))
    shared = list(generated_items(wanted, workers=2))
    for item, again in zip(alone, shared, strict=True):
        assert item.dataset == again.dataset
        assert np.array_equal(item.image, again.image)
        assert np.array_equal(item.labels, again.labels)


def test_the_file_of_generated_items_is_named_after_their_counts(tmp_path):
    wanted = config(tmp_path, synthetic_images=3, synthetic_volumes=1, synthetic_patients=7)
    assert wanted.generated == tmp_path / "generated-3-1-7.npz"
