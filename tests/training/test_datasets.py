"""Samples: they follow from the seed, and data sets have their shares."""

import numpy as np
import pytest

from pack_support import SIZE, items_of
from stacksam.core.masks import box_of
from stacksam.sam.prompt_encoder import PADDING
from stacksam.training.datasets import SampleSource, collate
from stacksam.training.packs import PackedItem
from stacksam.training.sample_prompts import KINDS


def equal(first, second):
    batches = collate([first]), collate([second])
    return all(np.array_equal(batches[0][k], batches[1][k]) for k in batches[0])


def test_sample_follows_from_its_seed(source, samples):
    again = SampleSource(items_of("train", 0), input_size=SIZE, objects_per_image=2)
    for seed in (17, 3, 3):
        assert equal(again.draw((0, seed)), samples[seed])
    assert not equal(samples[3], samples[4])


def test_shapes_and_ranges(samples, objects):
    for sample in samples:
        assert (sample.image.shape, sample.image.dtype) == ((SIZE, SIZE), np.float32)
        assert 0 <= sample.image.min() <= sample.image.max() <= 1
        assert len(sample.objects) == 2
    for o in objects:
        assert (o.truth.shape, o.truth.dtype) == ((SIZE // 2, SIZE // 2), np.float32)
        assert 0 <= o.truth.min() <= o.truth.max() <= 1
        assert len(o.points_xy) == len(o.labels)


def test_plain_samples_show_the_object_as_at_inference(source):
    for seed in range(20):
        sample = source.draw((2, seed), is_augmented=False)
        assert equal(sample, source.draw((2, seed), is_augmented=False))
        y0, x0, y1, x1 = box_of(sample.objects[0].truth > 0) or (0, 0, 14, 14)
        assert 0.2 < max(y1 - y0, x1 - x0) / (SIZE / 2) < 1


def test_synthetic_share_is_kept():
    items = items_of("train", 0)
    made = [PackedItem("synthetic_images", "train", i.image, i.labels, None) for i in items[:1]]
    source = SampleSource([*items, *made], input_size=SIZE, synthetic_share=0.3)
    drawn = [source.draw((3, seed)).dataset for seed in range(200)]
    assert 0.2 < np.mean([name == "synthetic_images" for name in drawn]) < 0.4


def test_patients_have_their_share_of_the_synthetic_ones():
    items = items_of("train", 0)
    flat = items[0]
    made = [
        PackedItem(f"synthetic_{name}", "train", flat.image, flat.labels, None)
        for name in ("images", "images", "images", "patients")
    ]
    weights = SampleSource(
        [*items, *made], input_size=SIZE, synthetic_share=0.4, patient_share=0.5
    )._weights
    assert weights[-1] == pytest.approx(0.2)
    assert weights[-4:].sum() == pytest.approx(0.4)


def test_large_data_sets_do_not_drown_small_ones():
    flat = items_of("train", 0)[0]
    many = [PackedItem("many", "train", flat.image, flat.labels, None)] * 100
    source = SampleSource([flat, *many], input_size=SIZE)
    drawn = [source.draw((4, seed)).dataset for seed in range(150)]
    assert drawn.count("dsb2018_nuclei") > 5


def test_colour_images_become_grey():
    flat = items_of("train", 0)[0]
    colours = np.repeat(flat.image[..., None], 3, axis=-1)
    source = SampleSource(
        [PackedItem("stain", "train", colours, flat.labels, None)], input_size=SIZE
    )
    assert source.draw((0, 0)).image.shape == (SIZE, SIZE)


def test_empty_sources_are_refused():
    with pytest.raises(ValueError, match="no items of this split"):
        SampleSource([])
    empty = PackedItem(
        "e", "train", np.zeros((1, 40, 40), np.uint8), np.zeros((1, 40, 40), np.uint16), None
    )
    with pytest.raises(ValueError, match="no object of at least 25 pixels"):
        SampleSource([empty]).draw((0,))


def test_batch_is_padded_to_the_longest(samples):
    batch = collate(samples[:6])
    chosen = [o for sample in samples[:6] for o in sample.objects]
    longest = max(len(o.labels) for o in chosen)
    half = SIZE // 2
    assert batch["image"].shape == (6, 1, SIZE, SIZE)
    assert batch["truth"].shape == (12, half, half)
    assert batch["points"].shape == (12, longest, 2)
    assert batch["logits"].shape == (12, 1, half, half)
    for i, o in enumerate(chosen):
        assert (batch["labels"][i] != PADDING).sum() == len(o.labels)
        assert batch["is_neighbour"][i] == (o.logits is not None)
        assert batch["logits"][i].any() == (o.logits is not None)
        assert KINDS[batch["kind"][i]] == o.kind
    assert batch["unseen"].tolist() == pytest.approx([o.unseen for o in chosen])
    assert batch["points"].dtype == batch["labels"].dtype == np.float32


def test_two_slices_drawn_together_show_the_same_objects(source):
    twos = [source.draw_two((6, seed)) for seed in range(60)]
    assert all(len(two) == 2 and not two[0].follows for two in twos)
    following = [two for two in twos if two[1].follows]
    assert 5 < len(following) < 60
    for first, second in following:
        assert first.image.shape == second.image.shape
        assert not np.array_equal(first.image, second.image)
        for before, after in zip(first.objects, second.objects, strict=True):
            assert before.truth.any()
            assert after.kind == "neighbour"
            assert after.context is not None
            near = (after.logits > 0) & (before.truth > 0)
            assert near.any() or after.logits.max() <= 0
    again = source.draw_two((6, 0))
    assert all(equal(a, b) for a, b in zip(again, twos[0], strict=True))


def test_batch_tells_which_objects_follow(source):
    two = next(t for t in (source.draw_two((6, s)) for s in range(60)) if t[1].follows)
    assert collate(two)["follows"].tolist() == [False, False, True, True]
