"""Prompts of samples: they point at the truth, and neighbours' masks are not quite it."""

import numpy as np
import pytest

from models import disc, overlap
from pack_support import SIZE, items_of
from stacksam.core.masks import box_of
from stacksam.sam.prompt_encoder import BOX_END, BOX_START, NEGATIVE, POSITIVE
from stacksam.training.datasets import SampleSource
from stacksam.training.packs import PackedItem
from stacksam.training.sample_prompts import KIND_SHARES, KINDS


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
    monkeypatch.setattr("stacksam.training.sample_prompts.NEGATIVE_NEIGHBOURS_SHARE", 1.0)
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


def test_masks_from_further_back_fit_the_slice_less(monkeypatch):
    monkeypatch.setattr("stacksam.training.sample_prompts.SPOILED_SHARE", 0.0)
    fits = []
    for share in (0.0, 1.0):
        monkeypatch.setattr("stacksam.training.sample_prompts.STALE_SHARE", share)
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
