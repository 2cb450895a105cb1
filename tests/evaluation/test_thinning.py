"""Every N-th slice: the stack, the objects, and the slices that are scored."""

import json

import numpy as np
import pytest
import tifffile

from stacksam.core.scan_info import ScanInfo, SourceSlice
from stacksam.core.volume import Volume
from stacksam.evaluation import evaluate
from stacksam.evaluation.cases import choose_cases
from stacksam.evaluation.datasets import find_items
from stacksam.evaluation.thinning import LEAST_KEPT, Thinning

DEPTH = 41


@pytest.fixture
def tall(tmp_path):
    """A stack of 41 slices: a long object, largest on slice 21, and one over 16 slices."""
    labels = np.zeros((DEPTH, 40, 50), np.uint16)
    labels[1:40, 5:15, 5:15] = 1
    labels[21, 5:18, 5:18] = 1
    labels[3:19, 25:35, 30:40] = 2
    volume = np.where(labels > 0, 900, 100) + np.random.default_rng(0).normal(0, 10, labels.shape)
    folder = tmp_path / "microscopy" / "tubes"
    for name, array in (("volumes", volume.astype(np.uint16)), ("volume_masks", labels)):
        (folder / name).mkdir(parents=True)
        tifffile.imwrite(folder / name / "t.tif", array, metadata={"axes": "ZYX"})
    split = {"files": {"microscopy/tubes/volumes/t.tif": "test"}, "unseen_data_sets": []}
    (tmp_path / "SPLIT.json").write_text(json.dumps(split), encoding="utf-8")
    return tmp_path


def cases_of(data, **numbers):
    return choose_cases(find_items(data), 9, in_3d=True, thinning=Thinning(**numbers))


def test_a_thinned_stack_has_wider_steps():
    data = np.arange(7 * 2 * 3).reshape(7, 2, 3)
    thin = Thinning(3).thin(Volume(data, spacing_zyx=(2.0, 0.5, 0.5)))
    assert thin.spacing_zyx == (6.0, 0.5, 0.5)
    assert np.array_equal(thin.data, data[[0, 3, 6]])
    assert Thinning(3).thin(Volume(data)).spacing_zyx is None


def test_a_thinned_stack_keeps_its_place():
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (5, 6, 7)
    positions = tuple((5.0 + 2 * z + (z > 3), 6.0, 7.0) for z in range(7))
    scan = ScanInfo("HU", slice_positions=positions, sources=tuple(map(SourceSlice, "abcdefg")))
    full = Volume(np.zeros((7, 2, 3)), affine=affine, scan=scan)
    thin = Thinning(2).thin(full)
    assert np.allclose(thin.positions_mm([2, 1, 1]), full.positions_mm([4, 1, 1]))
    assert thin.spacing_zyx == (4.0, 1.0, 1.0)
    assert thin.scan.unit == "HU"
    assert [source.path for source in thin.scan.sources] == ["a", "c", "e", "g"]
    assert Thinning(7).thin(full).scan.slice_positions is None


def test_all_slices_are_the_stack_itself():
    volume = Volume(np.zeros((3, 4, 5)))
    assert Thinning(1, 8).thin(volume) is volume


@pytest.mark.parametrize("numbers", [(0, 0), (2, 3), (4, 2), (-1, 0)])
def test_numbers_that_do_not_fit(numbers):
    with pytest.raises(ValueError, match="kept_at a multiple of every"):
        Thinning(*numbers)


def test_objects_keep_enough_slices():
    assert LEAST_KEPT == 6


@pytest.mark.parametrize(("kept_at", "labels"), [(1, [1, 2]), (2, [1, 2]), (4, [1]), (8, [])])
def test_objects_that_keep_too_few_slices_are_left_out(tall, kept_at, labels):
    assert [c.label_id for c in cases_of(tall, kept_at=kept_at)] == labels
    assert [c.label_id for c in cases_of(tall, every=kept_at)] == labels


def test_one_list_of_objects_serves_all_steps(tall):
    full, half, quarter = (cases_of(tall, every=n, kept_at=4)[0] for n in (1, 2, 4))
    assert [c.shape[0] for c in (full, half, quarter)] == [41, 21, 11]
    assert [c.score_step for c in (full, half, quarter)] == [4, 2, 1]
    assert full.index == 2 * half.index == 4 * quarter.index  # the same slice is prompted
    assert full.index % 4 == 0
    assert full.area == half.area == quarter.area == 100  # slice 21 is not kept
    for case in (full, half, quarter):
        assert np.array_equal(case.truth()[:: case.score_step], full.truth()[::4])
        assert np.array_equal(case.truth_on(case.index), full.truth_on(full.index))


def test_without_thinning_nothing_changes(tall):
    (case, _) = cases_of(tall)
    assert (case.index, case.score_step, case.shape) == (21, 1, (DEPTH, 40, 50))


def test_thinned_stacks_are_run_and_scored_on_the_kept_slices(tall, model, make_session):
    reports = [
        evaluate(tall, model, "propagate", make_session=make_session, every=n, kept_at=4)
        for n in (1, 2, 4)
    ]
    for report in reports:
        assert [s.label_id for s in report.scores] == [1]
        assert report.mean("model").value == 1
    assert [s.is_bright.shape[0] for s in model.sessions] == [41, 21, 11]
    assert reports[1].to_dict()["every"] == 2
    assert reports[1].to_dict()["kept_at"] == 4
    assert "slices kept: every 2; objects and scores by those kept at every 4" in (
        reports[1].to_text()
    )
    assert (
        "slices kept" not in evaluate(tall, model, "propagate", make_session=make_session).to_text()
    )


def test_what_is_wrong_on_slices_that_are_not_kept_does_not_count(tall, model, make_session):
    def make(volume, model):
        session = make_session(volume, model)
        propagate = session.propagate

        def spoilt(object_id):
            found = propagate(object_id)
            found.mask[1::4] = False
            return found

        session.propagate = spoilt
        return session

    value = {
        kept_at: evaluate(tall, model, "propagate", make_session=make, kept_at=kept_at, limit=9)
        .scores[0]
        .figures["dice"]
        for kept_at in (1, 4)
    }
    assert value[4] == 1
    assert value[1] < 0.9


def test_distances_are_those_of_the_scored_slices(tall, model, make_session, monkeypatch):
    from stacksam.evaluation.datasets import Item

    read = Item.read_volume
    monkeypatch.setattr(
        Item, "read_volume", lambda item: Volume(read(item).data, spacing_zyx=(1.0, 5.0, 5.0))
    )

    def make(volume, model):
        session = make_session(volume, model)
        session.is_bright[-3:] = session.is_bright[len(session.is_bright) // 2]
        return session

    millimetres = [
        evaluate(tall, model, "propagate", make_session=make, every=n, kept_at=4)
        .scores[0]
        .figures["boundary_mm"]
        for n in (1, 4)
    ]
    assert millimetres[0] > 0
    assert millimetres[1] > 0


def test_single_slices_cannot_be_thinned(tall, model):
    with pytest.raises(ValueError, match="box looks at single slices"):
        evaluate(tall, model, "box", every=2)
