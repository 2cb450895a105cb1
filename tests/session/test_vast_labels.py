"""Labels and results that do not fit into memory as plain arrays: the same, sparsely."""

import numpy as np
import pytest

from models import ThresholdPredictor, stack_of
from stacksam.core import sparse_stack
from stacksam.core.sparse_stack import SparseStack
from stacksam.session import Session
from stacksam.session.labels import LabelImage


def truth():
    volume = np.zeros((9, 60, 64), bool)
    volume[1:8, 15:35, 20:44] = True
    return volume


@pytest.fixture(params=[False, True], ids=["plain", "sparse"])
def session(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(sparse_stack, "DENSE_VOXELS", 1)
        monkeypatch.setattr(sparse_stack, "TILE", 16)
    made = Session(stack_of(truth()), ThresholdPredictor(), window=(0, 255))
    assert isinstance(made.labels, SparseStack) == request.param
    return made


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_commit_undo_and_erase(session, axis):
    index = (4, 25, 30)[axis]
    box = [(14, 19, 36, 45), (0, 19, 9, 45), (0, 14, 9, 36)][axis]
    session.add_box(1, index, box, axis=axis)
    result = session.propagate(1, axis=axis)
    found = np.asarray(result.mask)
    assert found.any()
    session.commit(1)
    assert np.array_equal(np.asarray(session.labels) == 1, found)
    assert session.labels.dtype == np.uint8
    session.undo()
    assert not session.labels.any()
    session.redo()
    assert np.array_equal(np.asarray(session.labels) == 1, found)


def test_prompted_slices_alone_and_overlaps(session):
    session.add_box(1, 4, (14, 19, 36, 45))
    session.commit(1)
    found = np.asarray(session.labels) == 1
    assert found[4].any()
    assert not found[3].any()
    session.add_box(2, 4, (14, 19, 36, 45))
    assert session.overlaps(2) == {1: int(found.sum())}


def test_save_and_restore(session, tmp_path):
    session.add_box(1, 4, (14, 19, 36, 45))
    session.propagate(1)
    session.commit(1, label_id=300)
    session.save(tmp_path / "s")
    restored = Session.restore(tmp_path / "s", session.volume, session.model)
    assert type(restored.labels) is type(session.labels)
    assert restored.labels.dtype == np.uint16
    assert np.array_equal(np.asarray(restored.labels), np.asarray(session.labels))
    assert np.asarray(restored.labels).max() == 300


def test_changes_are_the_same_runs(monkeypatch):
    rng = np.random.default_rng(0)
    masks = rng.random((3, 4, 6, 7)) > 0.5
    painted = rng.integers(0, 4, (4, 6, 7)).astype(np.uint8)

    def played():
        image = LabelImage((4, 6, 7))
        changes = [image.write(mask, i + 1, {2}, i) for i, mask in enumerate(masks)]
        changes += [image.paint(painted, {1}), image.erase(3)]
        image.apply(changes[-1].reversed())
        return image.data, changes

    plain, plain_changes = played()
    monkeypatch.setattr(sparse_stack, "DENSE_VOXELS", 1)
    sparse, changes = played()
    assert isinstance(sparse, SparseStack)
    assert np.array_equal(np.asarray(sparse), plain)
    for one, other in zip(plain_changes, changes, strict=True):
        assert np.array_equal(one.indices, other.indices)
        assert np.array_equal(one.after, other.after)
