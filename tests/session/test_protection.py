"""Committed objects stay as they are unless somebody says otherwise, and so do their labels."""

import numpy as np
import pytest

from models import ThresholdPredictor, stack_of
from session_support import BOX_1, BOX_2, TRUTH
from stacksam.core.errors import StackSAMError
from stacksam.session import OverlapError, Session


@pytest.fixture
def overlapping(session):
    """Object 1 is committed, object 2 covers a part of it on slice 6."""
    session.add_mask(1, 6, TRUTH[6] == 1)
    session.commit(1, name="liver")
    mask = np.zeros(TRUTH[6].shape, bool)
    mask[20:40, 20:40] = True
    session.add_mask(2, 6, mask)
    return session


def covered(session):
    return int(np.count_nonzero((TRUTH[6] == 1)[20:40, 20:40]))


def test_overlaps_are_told_before(overlapping):
    assert overlapping.overlaps(2) == {1: covered(overlapping)}
    overlapping.set_locked(1, False)
    assert overlapping.overlaps(2) == {}


@pytest.mark.parametrize("overwrite", [False, "keep", np.False_])
def test_keep_leaves_locked_objects(overlapping, overwrite):
    before = np.count_nonzero(overlapping.labels == 1)
    overlapping.commit(2, overwrite=overwrite)
    assert np.count_nonzero(overlapping.labels == 1) == before
    assert np.count_nonzero(overlapping.labels == 2) == 400 - covered(overlapping)


@pytest.mark.parametrize("overwrite", [True, "overwrite"])
def test_overwrite_takes_them(overlapping, overwrite):
    before = np.count_nonzero(overlapping.labels == 1)
    overlapping.commit(2, overwrite=overwrite)
    assert np.count_nonzero(overlapping.labels == 1) == before - covered(overlapping)
    assert np.count_nonzero(overlapping.labels == 2) == 400


def test_ask_does_nothing_and_says_what_it_is_about(overlapping):
    before, text = overlapping.labels.copy(), overlapping.undo_text
    match = rf"object 2 covers {covered(overlapping)} voxels of liver \(label 1\); choose"
    with pytest.raises(OverlapError, match=match) as caught:
        overlapping.commit(2, overwrite="ask")
    assert isinstance(caught.value, StackSAMError)
    assert caught.value.overlaps == {1: covered(overlapping)}
    assert np.array_equal(overlapping.labels, before)
    assert overlapping.undo_text == text
    assert overlapping.objects[2].label_id is None


def test_ask_goes_on_where_nothing_is_covered(session):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 6, BOX_2)
    assert session.commit(1, overwrite="ask") == 1
    assert session.commit(2, overwrite="ask") == 2
    assert session.commit(1, overwrite="ask") == 1  # its own voxels are no overlap


def test_unknown_policies_are_refused(overlapping):
    with pytest.raises(ValueError, match="overwrite is 'maybe'; choose keep, overwrite, ask"):
        overlapping.commit(2, overwrite="maybe")


# Labels


def test_labels_of_deleted_objects_are_not_given_again(session, tmp_path):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 6, BOX_2)
    session.commit(1)
    assert session.commit(2) == 2
    session.remove_object(2)
    session.save(tmp_path / "saved")
    for one in (session, Session.restore(tmp_path / "saved", stack_of(TRUTH), session.model)):
        one.add_box(3, 6, BOX_2)
        assert one.commit(3) == 3


def test_undoing_a_commit_gives_its_label_back(session):
    session.add_box(1, 6, BOX_1)
    session.commit(1)
    session.undo()
    session.add_box(2, 6, BOX_2)
    assert session.commit(2) == 1


def test_an_object_keeps_its_label(session, tmp_path):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 6, BOX_2)
    session.commit(2, label_id=7)
    session.commit(1)
    session.add_box(2, 7, BOX_2)
    session.rename(2, "spleen")
    session.propagate(2)
    assert session.commit(2) == 7
    session.set_locked(2, False)
    session.remove_object(1)
    session.undo()
    session.save(tmp_path / "saved")
    again = Session.restore(tmp_path / "saved", stack_of(TRUTH), ThresholdPredictor())
    for one in (session, again):
        assert {i: o.label_id for i, o in one.objects.items()} == {2: 7, 1: 8}
        assert one.commit(2) == 7


def test_imported_labels_leave_earlier_ones_alone(session):
    session.add_box(1, 6, BOX_1)
    session.commit(1, label_id=4)
    session.remove_object(1)
    session.add_box(2, 6, BOX_2)
    session.commit(2, label_id=1)
    labels = np.zeros(TRUTH.shape, np.uint8)
    labels[0, :3, :3], labels[0, 5:8, :3] = 1, 2
    first, second = session.import_labels(labels)
    assert session.objects[first].label_id == 5  # 1 is taken, and 4 was
    assert session.objects[second].label_id == 2
