"""Each protocol, driven through a Session of known behaviour."""

from dataclasses import replace

import numpy as np
import pytest

from stacksam.evaluation.cases import Case, choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.evaluation.protocols import PROTOCOLS
from stacksam.evaluation.slice_protocols import NOC_CAP, run_box, run_click, run_iterative
from stacksam.evaluation.stack_protocols import run_propagate, run_propagate_k, worst_slice


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
        self.calls.append(("propagate", object_id))
        return self._next()

    def _next(self):
        mask = self.masks.pop(0) if len(self.masks) > 1 else self.masks[0]
        return answer(mask)


def answer(mask):
    """What `predict` or `propagate` give back."""
    confidence = np.full(len(mask), 0.9)
    return type("Answer", (), {"mask": mask, "score": 0.9, "confidence": confidence})()


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


def figures_of(outcomes, method="model"):
    return outcomes[method].figures


def test_click_is_the_centre_of_the_object(square):
    session = Scripted([part(square, 5)])
    figures = figures_of(run_click(session, square, 3))
    assert (figures["iou"], figures["recall"], figures["precision"]) == (0.5, 0.5, 1)
    assert figures["dice"] == pytest.approx(2 / 3)
    assert "boundary_mm" not in figures
    (call,) = session.calls
    assert call[:2] == ("point", 3)
    assert call[2] in [(0, y, x) for y in (9, 10) for x in (9, 10)]
    assert call[3] is True


def test_box_is_tight_and_spacing_gives_millimetres(square):
    square = replace(square, spacing_zyx=(5.0, 0.5, 0.5))
    session = Scripted([part(square, 9)])
    figures = figures_of(run_box(session, square, 3))
    assert figures["iou"] == 0.9
    assert figures["boundary_mm"] == pytest.approx(figures["boundary_px"] / 2)
    assert session.calls == [("box", 3, 0, (5.0, 5.0, 15.0, 15.0))]


def test_corrections_go_to_the_largest_error(square):
    half, whole = part(square, 5), part(square, 10)
    too_much = whole.copy()
    too_much[0:20, 20:30] = True
    session = Scripted([half, too_much, whole])
    figures = figures_of(run_iterative(session, square, 1))
    assert [figures[f"iou@{n}"] for n in (1, 2, 3, 6)] == [0.5, pytest.approx(1 / 3), 1, 1]
    assert (figures["noc@80"], figures["noc@85"]) == (3, 3)
    assert (figures["failed@80"], figures["failed@85"]) == (0, 0)
    assert [c[3] for c in session.calls] == [True, True, False]
    assert 10 <= session.calls[1][2][2] < 15
    assert session.calls[2][2][2] >= 20


def test_click_and_four_corrections_is_a_figure_of_its_own(square):
    masks = [part(square, n) for n in (1, 2, 3, 4, 7, 8)]
    outcome = run_iterative(Scripted(masks), square, 1)["model"]
    assert outcome.figures["iou@click+4"] == outcome.figures["iou@5"] == pytest.approx(0.7)
    assert outcome.figures["dice@click+4"] == outcome.figures["dice@5"]
    assert np.array_equal(outcome.shown[0], masks[4])


def test_clicks_stop_at_the_cap_and_failures_count_as_it(square):
    session = Scripted([part(square, 5)])
    figures = figures_of(run_iterative(session, square, 1))
    assert len(session.calls) == NOC_CAP
    assert figures["noc@80"] == figures["noc@85"] == NOC_CAP
    assert figures["failed@80"] == figures["failed@85"] == 1
    assert figures["iou@6"] == 0.5


def test_a_goal_reached_with_the_last_click_is_no_failure(square):
    masks = [part(square, 5)] * (NOC_CAP - 1) + [part(square, 10)]
    figures = figures_of(run_iterative(Scripted(masks), square, 1))
    assert (figures["noc@80"], figures["failed@80"]) == (NOC_CAP, 0)


def test_clicks_go_on_to_six_and_no_further_once_good_enough(square):
    almost = part(square, 9)
    session = Scripted([almost])
    figures = figures_of(run_iterative(session, square, 1))
    assert len(session.calls) == 6
    assert figures["noc@85"] == 1


def test_propagate_is_scored_in_3d(bar):
    bar = replace(bar, spacing_zyx=(2.0, 1.0, 1.0))
    found = bar.truth()
    found[1:6] = False
    found[11, :10, :10] = True
    session = Scripted([found])
    outcomes = run_propagate(session, bar, 2)
    figures = figures_of(outcomes)
    assert session.calls[0] == ("box", 2, 6, (5.0, 5.0, 16.0, 16.0))
    n, right = bar.truth().sum(), 521
    assert figures["recall"] == pytest.approx(right / n)
    assert figures["precision"] == pytest.approx(right / (right + 100))
    assert figures["dice"] == pytest.approx(2 * right / (n + right + 100))
    assert figures["boundary_mm"] > figures["boundary_px"]
    assert sorted(outcomes["model"].shown) == [1, 6]


def test_the_held_shape_spans_what_propagation_found(bar):
    found = bar.truth()
    found[8:] = False
    held = run_propagate(Scripted([found]), bar, 1)["shape_held_constant"].figures
    right = 6 * 100 + 121
    assert held["precision"] == pytest.approx(right / (7 * 121))
    assert held["recall"] == pytest.approx(right / bar.truth().sum())


class Corrected(Scripted):
    """Answers as it was told: given masks exactly, on the other slices the prepared stack."""

    def __init__(self, stack):
        super().__init__([None])
        self.stack = stack.copy()

    def add_mask(self, object_id, index, mask, axis=0):
        super().add_mask(object_id, index, mask)
        self.stack[index] = mask

    def _next(self):
        return answer(self.stack.copy())


def test_the_slice_with_the_largest_error_is_corrected_next(bar):
    found = bar.truth()
    found[2] = False
    found[4, 5:9] = False
    found[11, :10, :20] = True
    session = Corrected(found)
    figures = figures_of(run_propagate_k(session, bar, 7))
    n = bar.truth().sum()
    assert [c for c in session.calls if c[0] == "mask"] == [
        ("mask", 7, 11, 0),
        ("mask", 7, 2, 100),
        ("mask", 7, 4, 100),
    ]
    assert session.calls[0] == ("box", 7, 6, (5.0, 5.0, 16.0, 16.0))
    assert sum(c == ("propagate", 7) for c in session.calls) == 4
    dices = [2 * (n - 140) / (2 * n + 60), 2 * (n - 140) / (2 * n - 140), 2 * (n - 40)]
    dices[2] /= 2 * n - 40
    assert [figures[f"dice@{k}"] for k in range(6)] == pytest.approx([*dices, 1, 1, 1])
    assert figures["dice@auc"] == pytest.approx((dices[0] / 2 + dices[1] + dices[2] + 2.5) / 5)


def test_a_session_that_does_not_learn_is_asked_five_times(bar):
    session = Scripted([bar.truth() & False])
    figures = figures_of(run_propagate_k(session, bar, 1))
    assert sum(c[0] == "mask" for c in session.calls) == 5
    assert figures["dice@5"] == 0
    assert figures["empty@5"] == 1


def test_interpolation_knows_the_same_slices(bar):
    found = bar.truth()
    found[8:] = False
    outcomes = run_propagate_k(Corrected(found), bar, 1)
    figures = figures_of(outcomes, "interpolation")
    right = 6 * 100 + 121
    assert figures["precision@0"] == pytest.approx(right / (7 * 121))
    assert figures["dice@1"] > figures["dice@0"]
    assert figures["recall@1"] == pytest.approx((right + 100) / bar.truth().sum())


def test_the_worst_slice():
    truth = np.zeros((4, 3, 3), bool)
    found = truth.copy()
    assert worst_slice(truth, found) is None
    found[1, 0, 0] = found[3, 0, 0] = True
    assert worst_slice(truth, found) == 1
    truth[3, 1, 1] = True
    assert worst_slice(truth, found) == 3


def test_every_protocol_gives_the_figures_it_shows(square, bar):
    for name, protocol in PROTOCOLS.items():
        case = replace(bar if protocol.in_3d else square, spacing_zyx=(1.0, 1.0, 1.0))
        given = case.truth() if protocol.in_3d else case.truth_on(0)
        outcomes = protocol.run(Scripted([given]), case, 1)
        figures = outcomes[protocol.methods[0]].figures
        assert protocol.shown[0] == protocol.main, name
        assert set(protocol.shown) <= set(figures), name


@pytest.mark.parametrize(
    ("protocol", "name", "least"),
    [
        ("click", "otsu", 0.8),
        ("click", "flood_fill", 0.5),  # blurred before, so a small object loses its edge
        ("click", "random_walker", 0.8),
        ("box", "otsu", 0.8),
        ("box", "grabcut", 0.8),
        ("box", "random_walker", 0.8),
        ("iterative", "otsu", 0.8),
        ("iterative", "flood_fill", 0.5),
        ("iterative", "random_walker", 0.8),
        ("propagate", "random_walker", 0.75),
    ],
)
def test_baselines_find_easy_objects(data, protocol, name, least):
    chosen = PROTOCOLS[protocol]
    items = find_items(data / "microscopy" / "nuclei")
    case = choose_cases(items, 1, in_3d=True)[0] if chosen.in_3d else choose_cases(items, 1)[0]
    volume = case.item.read_volume()

    def read_image(index):
        return volume.read_slice(index).astype(np.float32) / 1000

    outcome = chosen.baselines[name](read_image, case)
    assert outcome.figures[chosen.main] > least
    assert case.index in outcome.shown
