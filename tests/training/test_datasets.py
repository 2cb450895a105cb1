"""Samples: they follow from the seed, and prompts point at the truth."""

import numpy as np
import pytest

from models import disc, overlap
from pack_support import items_of
from stacksam.core.masks import box_of
from stacksam.sam.prompt_encoder import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE
from stacksam.training.datasets import KIND_SHARES, KINDS, SampleSource, collate
from stacksam.training.packs import PackedItem

SIZE = 64


@pytest.fixture(scope="module")
def source():
    return SampleSource(items_of("train", 0), input_size=SIZE, objects_per_image=2)


@pytest.fixture(scope="module")
def samples(source):
    return [source.draw((0, seed)) for seed in range(250)]


@pytest.fixture(scope="module")
def objects(samples):
    return [o for sample in samples for o in sample.objects]


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


def test_every_kind_of_prompt_occurs(objects):
    assert {o.kind for o in objects} == set(KINDS)
    assert sum(KIND_SHARES) == pytest.approx(1)


def test_absent_objects_are_asked_by_a_neighbours_mask_only(objects):
    absent = [o for o in objects if not o.truth.any()]
    assert 3 < len(absent) < len(objects) / 2
    for o in absent:
        assert o.kind == "neighbour"
        assert o.logits is not None
        assert set(o.labels) <= {NEGATIVE}
        assert (o.logits > 0).any()


def test_absence_happens_in_flat_images_too():
    source = SampleSource(items_of("train", 0)[:1], input_size=SIZE)
    drawn = [o for seed in range(300) for o in source.draw((1, seed)).objects]
    assert any(not o.truth.any() for o in drawn)


def test_neighbour_masks_are_near_the_truth(objects):
    handed = [o for o in objects if o.kind == "neighbour" and o.truth.any()]
    touching = [((o.logits > 0) & (o.truth > 0)).any() for o in handed]
    assert np.mean(touching) > 0.95
    assert all(set(o.labels) <= {NEGATIVE} for o in handed)


def test_other_objects_are_marked_at_times_whether_the_object_is_there_or_not(monkeypatch):
    monkeypatch.setattr("stacksam.training.datasets.NEGATIVE_NEIGHBOURS_SHARE", 1.0)
    source = SampleSource(items_of("train", 0), input_size=SIZE)
    objects = [o for seed in range(120) for o in source.draw((8, seed)).objects]
    marked = [o for o in objects if o.kind in ("box", "neighbour") and NEGATIVE in o.labels]
    assert len(marked) > 20
    assert any(not o.truth.any() for o in marked)
    for o in marked:
        for (x, y), label in zip(o.points_xy, o.labels, strict=True):
            if label == NEGATIVE:
                assert o.truth[int(y) // 2, int(x) // 2] < 1


def test_positive_clicks_are_on_the_truth_and_negative_ones_beside_it(objects):
    count = {POSITIVE: 0, NEGATIVE: 0}
    for o in objects:
        for (x, y), label in zip(o.points_xy, o.labels, strict=True):
            if label in count:
                count[label] += 1
                cell = o.truth[int(y) // 2, int(x) // 2]
                assert cell > 0 if label == POSITIVE else cell < 1
    assert min(count.values()) > 10


def test_boxes_are_around_the_truth(objects):
    boxed = [o for o in objects if o.kind == "box"]
    assert len(boxed) > 20
    for o in boxed:
        assert o.labels[:2] == [BOX_START, BOX_END]
        assert set(o.labels[2:]) <= {NEGATIVE}
        (x0, y0), (x1, y1) = o.points_xy[:2]
        given = np.array([y0 + 0.5, x0 + 0.5, y1 + 0.5, x1 + 0.5]) / 2
        truth = np.array(box_of(o.truth > 0))
        size = max(truth[2] - truth[0], truth[3] - truth[1])
        assert np.abs(given - truth).max() <= 1 + 0.22 * size


def test_some_boxes_leave_room_around_the_object(objects):
    room = []
    for o in objects:
        if o.kind == "box":
            (x0, y0), (x1, y1) = o.points_xy[:2]
            truth = np.array(box_of(o.truth > 0)) * 2
            room.append((y1 - y0 + x1 - x0) / (truth[2] - truth[0] + truth[3] - truth[1]))
    assert np.mean(np.array(room) > 1.15) > 0.04
    assert np.mean(np.abs(np.array(room) - 1) < 0.1) > 0.4


def test_click_views_count_what_lies_beyond_the_field():
    item = items_of("train", 0)[0]
    large = np.zeros_like(item.labels)
    large[:, 8:56, 8:56] = 1
    source = SampleSource([PackedItem("one", "train", item.image, large, None)], input_size=SIZE)
    objects = [source.draw((7, seed)).objects[0] for seed in range(200)]
    cut = [o for o in objects if o.unseen > 0]
    assert 5 < len(cut) < 100
    for o in cut:
        assert o.kind == "click"
        ((x, y),) = o.points_xy
        assert o.truth[int(y) // 2, int(x) // 2] > 0
    assert not any(o.unseen for o in objects if o.kind != "click")


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


def test_masks_from_further_back_fit_the_slice_less(monkeypatch):
    monkeypatch.setattr("stacksam.training.datasets.SPOILED_SHARE", 0.0)
    fits = []
    for share in (0.0, 1.0):
        monkeypatch.setattr("stacksam.training.datasets.STALE_SHARE", share)
        source = SampleSource([item_of_a_cone()], input_size=SIZE, objects_per_image=1)
        drawn = [source.draw((7, seed), is_augmented=False).objects[0] for seed in range(80)]
        handed = [o for o in drawn if o.logits is not None and o.truth.any()]
        fits.append(np.mean([overlap(o.logits > 0, o.truth > 0.5) for o in handed]))
    assert fits[1] < fits[0] - 0.03


def item_of_a_cone():
    labels = np.zeros((20, 96, 96), np.uint8)
    for z in range(2, 18):
        labels[z][disc((96, 96), (48, 48), 6 + 1.8 * z)] = 1
    return PackedItem(
        "cone", "train", labels * np.uint8(150) + np.uint8(40), labels, (1.0, 1.0, 1.0)
    )
