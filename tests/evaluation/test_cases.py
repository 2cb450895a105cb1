"""Which objects are measured: seeded, spread over files, large enough, in one piece."""

import numpy as np
import pytest
import tifffile

from stacksam.evaluation.cases import MIN_PIXELS, choose_cases
from stacksam.evaluation.datasets import Item, find_items


def keys(cases):
    return [(c.item.key, c.label_id, c.index) for c in cases]


def test_small_objects_are_left_out(data):
    cases = choose_cases(find_items(data / "microscopy" / "cells"), limit=100)
    assert len(cases) == 6
    assert all(c.crop.sum() >= MIN_PIXELS for c in cases)


def test_objects_are_spread_over_files(data):
    cases = choose_cases(find_items(data / "microscopy" / "cells"), limit=3)
    assert len({c.item.key for c in cases}) == 3


def test_the_choice_is_seeded_and_does_not_depend_on_other_data_sets(data):
    whole = choose_cases(find_items(data), limit=2, seed=5)
    again = choose_cases(find_items(data), limit=2, seed=5)
    alone = choose_cases(find_items(data / "microscopy" / "cells"), limit=2, seed=5)
    assert keys(whole) == keys(again)
    assert keys(alone) == [k for k in keys(whole) if "/cells/" in k[0]]
    choices = {
        tuple(keys(choose_cases(find_items(data / "microscopy" / "cells"), 1, seed)))
        for seed in range(10)
    }
    assert len(choices) > 1


def test_a_2d_case_is_the_slice_of_largest_area(data):
    cases = choose_cases(find_items(data / "microscopy" / "nuclei"), limit=9)
    assert [(c.label_id, c.index) for c in cases] == [(1, 4), (2, 5)]
    labels = cases[0].item.read_labels()
    assert np.array_equal(cases[0].truth_on(4), labels[4] == 1)
    assert not cases[0].truth_on(5).any()


def test_a_3d_case_is_the_largest_piece(data):
    (case,) = choose_cases(find_items(data), limit=9, in_3d=True)
    labels = case.item.read_labels()
    assert case.slices == range(1, 9)
    assert np.array_equal(case.truth()[:9], labels[:9] == 1)
    assert not case.truth()[9].any()
    assert np.array_equal(case.truth_on(6), case.truth()[6])


def test_3d_cases_are_among_the_2d_ones(data):
    items = find_items(data / "microscopy" / "nuclei")
    whole = choose_cases(items, limit=1, in_3d=True)
    flat = choose_cases(items, limit=2)
    assert set(keys(whole)) <= set(keys(flat))


def test_a_smaller_limit_takes_a_part_of_a_larger_one(data):
    items = find_items(data / "microscopy" / "cells")
    for seed in range(5):
        few, many = (set(keys(choose_cases(items, n, seed))) for n in (2, 5))
        assert few < many


def test_a_file_keeps_its_order_when_others_come_or_go(data):
    items = find_items(data / "microscopy" / "cells")
    for item in items:
        alone = set(keys(choose_cases([item], 1)))
        assert alone <= set(keys(choose_cases(items, 3)))


def test_label_images_are_read_again_rather_than_all_kept(data, monkeypatch):
    items = find_items(data / "microscopy" / "cells")
    expected = keys(choose_cases(items, 6))
    monkeypatch.setattr("stacksam.evaluation.cases.LABELS_BUDGET", 1)
    reads = []
    read_labels = Item.read_labels
    monkeypatch.setattr(Item, "read_labels", lambda item: reads.append(item) or read_labels(item))
    assert keys(choose_cases(items, 6)) == expected
    assert len(reads) > len(items)


def test_area_is_that_of_the_prompted_slice(data):
    (case,) = choose_cases(find_items(data), limit=9, in_3d=True)
    assert case.area == case.truth_on(case.index).sum()


def test_a_2d_object_in_pieces_is_its_largest_piece(data):
    item = find_items(data / "radiology" / "lesions")[0]
    labels = np.zeros((64, 80), np.uint16)
    labels[5:15, 5:15] = labels[30:50, 30:50] = 1
    labels[55:60, 60:70] = 7
    tifffile.imwrite(item.mask_path, labels)
    cases = choose_cases([item], limit=9)
    assert [(c.label_id, int(c.crop.sum())) for c in cases] == [(1, 400), (7, 50)]


def test_objects_that_fill_the_image_are_left_out(data):
    item = find_items(data / "radiology" / "lesions")[0]
    tifffile.imwrite(item.mask_path, np.ones((64, 80), np.uint16))
    assert choose_cases([item], limit=9) == []


def test_limit_below_one(data):
    with pytest.raises(ValueError, match="limit is 0"):
        choose_cases(find_items(data), limit=0)
