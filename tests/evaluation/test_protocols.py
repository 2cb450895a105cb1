"""Each protocol, driven through a Session of known behaviour."""

import numpy as np
import pytest

from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.evaluation.protocols import (
    NOC_CAP,
    PROTOCOLS,
    keyframes_of,
    masked_slices,
    run_box,
    run_click,
    run_interpolate,
    run_iterative,
    run_propagate,
    run_propagate_k,
)


class Scripted:
    """Answers with prepared masks, one after the other, and notes what it was told."""

    def __init__(self, masks):
        self.masks = list(masks)
        self.calls = []

    def add_point(self, object_id, zyx, positive=True, axis=0):
        self.calls.append(("point", object_id, zyx, positive))

    def add_box(self, object_id, index, yxyx, axis=0):
        self.calls.append(("box", object_id, index, yxyx))

    def add_mask(self, object_id, index, mask, axis=0):
        self.calls.append(("mask", object_id, index, int(mask.sum())))

    def predict(self, object_id, index, axis=0):
        return self._next()

    def propagate(self, object_id):
        return self._next()

    def _next(self):
        mask = self.masks.pop(0) if len(self.masks) > 1 else self.masks[0]
        return type("Answer", (), {"mask": mask})()


def case_of(truth):
    areas = truth.sum(axis=(1, 2))
    return Case(None, 1, int(np.argmax(areas)), (0, 0, 0), truth, truth.shape)


@pytest.fixture
def square():
    truth = np.zeros((1, 20, 30), bool)
    truth[0, 5:15, 5:15] = True
    return case_of(truth)


@pytest.fixture
def bar():
    """Twelve slices, the object on ten of them, largest on slice 6."""
    truth = np.zeros((12, 20, 30), bool)
    truth[1:11, 5:15, 5:15] = True
    truth[6, 5:16, 5:16] = True
    return case_of(truth)


def part(case, columns):
    mask = case.truth_on(case.index)
    mask[:, 5 + columns :] = False
    return mask


def test_click_is_the_centre_of_the_object(square):
    session = Scripted([part(square, 5)])
    assert run_click(session, square, 3) == {"iou": 0.5, "dice": pytest.approx(2 / 3)}
    (call,) = session.calls
    assert call[:2] == ("point", 3)
    assert call[2] in [(0, y, x) for y in (9, 10) for x in (9, 10)]
    assert call[3] is True


def test_box_is_tight(square):
    session = Scripted([part(square, 10)])
    assert run_box(session, square, 3) == {"iou": 1.0, "dice": 1.0}
    assert session.calls == [("box", 3, 0, (5.0, 5.0, 15.0, 15.0))]


def test_corrections_go_to_the_largest_error(square):
    half, whole = part(square, 5), part(square, 10)
    too_much = whole.copy()
    too_much[0:20, 20:30] = True
    session = Scripted([half, too_much, whole])
    figures = run_iterative(session, square, 1)
    assert [figures[f"iou_{n}"] for n in (1, 2, 3, 6)] == [0.5, pytest.approx(1 / 3), 1, 1]
    assert (figures["noc80"], figures["noc85"]) == (3, 3)
    assert (figures["reached80"], figures["reached85"]) == (1, 1)
    assert [c[3] for c in session.calls] == [True, True, False]
    assert 10 <= session.calls[1][2][2] < 15
    assert session.calls[2][2][2] >= 20


def test_clicks_stop_at_the_cap_and_count_as_it(square):
    session = Scripted([part(square, 5)])
    figures = run_iterative(session, square, 1)
    assert len(session.calls) == NOC_CAP
    assert figures["noc80"] == figures["noc85"] == NOC_CAP
    assert figures["reached80"] == figures["reached85"] == 0
    assert figures["iou_6"] == 0.5


def test_clicks_go_on_to_six_and_no_further_once_good_enough(square):
    almost = part(square, 9)
    session = Scripted([almost])
    figures = run_iterative(session, square, 1)
    assert len(session.calls) == 6
    assert figures["noc85"] == 1


def test_propagate_is_scored_in_3d(bar):
    found = bar.truth()
    found[1:6] = False
    found[11, :10, :10] = True
    session = Scripted([found])
    figures = run_propagate(session, bar, 2)
    assert session.calls == [("box", 2, 6, (5.0, 5.0, 16.0, 16.0))]
    n, right = bar.truth().sum(), 521
    assert figures["recall"] == pytest.approx(right / n)
    assert figures["precision"] == pytest.approx(right / (right + 100))
    assert figures["dice"] == pytest.approx(2 * right / (n + right + 100))


def test_keyframes_are_spread_and_hold_the_largest_slice(bar):
    touched = keyframes_of(bar)
    assert len(touched) == 3
    assert bar.index in touched
    assert max(touched) - min(touched) >= 5
    assert all(bar.truth_on(i).any() for i in touched)
    session = Scripted([bar.truth()])
    assert run_propagate_k(session, bar, 1)["dice"] == 1
    assert [c[2] for c in session.calls] == touched


def test_interpolation_is_scored_between_the_masks(bar):
    found = np.zeros(bar.shape, bool)
    for index in (3, 4, 5, 7, 8):
        found[index] = bar.truth_on(index)
    found[0] = True
    bar_masks = masked_slices(bar)
    session = Scripted([found])
    figures = run_interpolate(session, bar, 1)
    assert [c[2] for c in session.calls] == bar_masks
    between = [i for i in bar.slices if i not in bar_masks]
    right = sum(bar.truth_on(i).sum() for i in between if i in (3, 4, 5, 7, 8))
    total = sum(bar.truth_on(i).sum() for i in between)
    assert figures["dice"] == pytest.approx(2 * right / (total + right))


def test_masked_slices_are_every_fifth_and_the_last():
    truth = np.ones((13, 8, 8), bool)
    assert masked_slices(case_of(truth)) == [0, 5, 10, 12]


@pytest.mark.parametrize(
    ("protocol", "name", "least"),
    [
        ("click", "otsu", 0.8),
        ("box", "random_walker", 0.8),
        ("propagate", "random_walker", 0.75),
        ("interpolate", "shape_interpolation", 0.8),
    ],
)
def test_baselines_find_easy_objects(data, protocol, name, least):
    chosen = PROTOCOLS[protocol]
    items = find_items(data / "microscopy" / "nuclei")
    case = choose_cases(items, 1, in_3d=True)[0] if chosen.in_3d else choose_cases(items, 1)[0]
    volume = case.item.read_volume()

    def read_image(index):
        return volume.read_slice(index).astype(np.float32) / 1000

    figures = chosen.baselines[name](read_image, case)
    assert figures[chosen.main] > least
