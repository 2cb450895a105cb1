"""A range of slices and a box on each: nothing is found outside of that part of the stack."""

import numpy as np
import pytest

from models import ThresholdPredictor, disc, stack_of
from stacksam.core.prompts import BoxPrompt
from stacksam.session import Session
from stacksam.session.box_limits import box_limits
from stacksam.session.replay import replay

BOX, OTHER = (12, 14, 32, 34), (36, 44, 52, 60)


def merging():
    """Two tubes on 10 slices that a bridge joins from slice 5 on."""
    labels = np.zeros((10, 64, 72), np.uint8)
    labels[:, disc((64, 72), (22, 24), 9)] = 1
    labels[:, disc((64, 72), (44, 52), 8)] = 1
    labels[5:, 20:26, 24:52] = labels[5:, 20:44, 50:54] = 1
    return labels


@pytest.fixture
def session():
    session = Session(stack_of(merging()), ThresholdPredictor())
    session.add_box(1, 2, BOX)
    return session


def outside(mask, box=BOX):
    kept = mask.copy()
    kept[:, box[0] : box[2], box[1] : box[3]] = False
    return int(kept.sum())


def test_objects_stay_inside_their_boxes(session):
    free = session.propagate(1).mask
    assert outside(free) > 500
    kept = session.propagate(1, inside="boxes").mask
    assert outside(kept) == 0
    assert np.array_equal(kept[:5], free[:5])
    assert kept[9, 22, 24]


def test_a_range_and_a_box_are_a_box_in_space(session):
    result = session.propagate(1, z_range=(1, 7), inside=(15, 10, 40, 40))
    assert sorted(result.slices) == list(range(1, 7))
    assert outside(result.mask, (15, 10, 40, 40)) == 0
    assert result.mask[1:7, 15].any()


def test_several_boxes_count_together(session):
    session.add_box(1, 8, (20, 30, 46, 40))
    kept = session.propagate(1, inside="boxes").mask
    assert outside(kept, (12, 14, 46, 40)) == 0
    assert outside(kept) > 0


def test_what_is_committed_is_what_was_kept(session):
    kept = session.propagate(1, inside="boxes").mask
    session.commit(1)
    assert np.array_equal(session.labels > 0, kept)


@pytest.mark.parametrize("finish", [{"consensus": True}, {"smooth": 2.5}])
def test_the_end_of_a_run_does_not_leave_the_box(session, finish):
    assert outside(session.propagate(1, **finish).mask) > 0
    kept = session.propagate(1, inside="boxes", **finish)
    assert kept.mask.any()
    assert outside(kept.mask) == 0
    assert not any(found.is_empty for found in kept.slices.values())


def test_slices_on_which_nothing_is_in_the_box_are_left_out(session):
    session.add_box(1, 7, OTHER)
    result = session.propagate(1, inside=OTHER)
    assert result.mask[7].any()
    assert [i for i, found in result.slices.items() if found.is_empty] == [2]  # a marked slice


def test_each_object_has_its_own_box_and_one_without_is_free(session):
    session.add_point(2, (2, 44, 52))
    session.propagate([1, 2], inside="boxes")
    assert outside(session.result(1).mask) == 0
    assert outside(session.result(2).mask, OTHER) > 0
    session.remove_object(1)
    with pytest.raises(ValueError, match="no box is drawn along this axis"):
        session.propagate(2, inside="boxes")


def test_boxes_of_other_axes_do_not_count():
    drawn = {1: [BoxPrompt(1, 1, 1, 3, (0.0, 0.0, 5.0, 5.0)), BoxPrompt(2, 1, 0, 3, BOX)]}
    assert box_limits(drawn, 0, (64, 72), "boxes") == {1: BOX}
    assert box_limits(drawn, 1, (10, 72), "boxes") == {1: (0, 0, 5, 5)}
    assert box_limits(drawn, 0, (64, 72), None) == {}


@pytest.mark.parametrize("inside", ["boxes", (14.4, 15.0, 33.0, 30.0)])
def test_limited_runs_can_be_replayed(session, tmp_path, inside):
    session.propagate(1, z_range=(0, 8), inside=inside)
    session.commit(1)
    session.propagate(1)
    session.save(tmp_path)
    replayed = replay(tmp_path, stack_of(merging()), ThresholdPredictor())
    assert replayed.n_different == 0
    assert np.array_equal(replayed.session.labels, session.labels)
    assert replayed.session.result(1) == session.result(1)
