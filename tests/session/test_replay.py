"""What a user did, done again without the user."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings

import stacksam
from models import ThresholdPredictor, stack_of, tiny_predictor
from session_support import BOX_1, BOX_2, TRUTH, act, crash, steps, work
from stacksam.core.errors import ReadError
from stacksam.session import Session
from stacksam.session.lines import JOURNAL
from stacksam.session.replay import replay


def again(folder, **options):
    return replay(folder, stack_of(TRUTH), ThresholdPredictor(), **options)


def assert_identical(replayed, session):
    assert replayed.n_different == 0
    assert np.array_equal(replayed.session.labels, session.labels)
    assert replayed.session.objects == session.objects
    for object_id in session.objects:
        assert replayed.session.result(object_id) == session.result(object_id)


def test_saved_sessions_can_be_replayed(session, tmp_path):
    work(session)
    session.save(tmp_path / "session")
    seen = []
    replayed = again(tmp_path / "session", progress=lambda *args: seen.append(args))
    assert_identical(replayed, session)
    assert replayed.n_steps == 14
    assert seen[-1] == (len(seen), len(seen))


def test_journals_can_be_replayed(session, tmp_path):
    session.add_box(1, 6, BOX_1)
    session.start_journal(tmp_path / "session")
    session.undo()
    work(session)
    crash(session)
    assert_identical(again(tmp_path / "session"), session)


@settings(max_examples=10, deadline=None)
@given(steps=steps)
def test_any_work_can_be_replayed(steps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    session = Session(stack_of(TRUTH), ThresholdPredictor())
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 4, BOX_2)
    for step in steps:
        try:
            if step[0] in ("undo", "redo"):
                getattr(session, step[0])()
            else:
                act(session, step)
        except ValueError:
            continue
    session.save(folder)
    assert_identical(again(folder), session)


def test_masks_are_computed_and_not_taken_over(session, tmp_path):
    work(session)
    session.save(tmp_path)
    model = ThresholdPredictor()
    replay(tmp_path, stack_of(TRUTH), model)
    assert model.decoded > 5


def test_another_model_makes_a_difference(session, tmp_path):
    session.add_box(1, 6, BOX_1)
    session.propagate(1)
    session.commit(1)
    session.save(tmp_path)
    replayed = replay(tmp_path, stack_of(TRUTH), ThresholdPredictor(score=0.1))
    assert 0 < replayed.n_different == np.count_nonzero(replayed.session.labels != session.labels)


def test_cancelled_and_outdated_runs(session, tmp_path):
    session.add_box(1, 6, BOX_1)
    session.add_box(2, 2, BOX_2)
    session.add_box(2, 9, BOX_2)
    job = session.propagation_job([1, 2])
    run = job.run()
    for _ in range(11):
        next(run)
    session.accept_propagation(job)
    session.commit(1)
    session.commit(2)
    late = session.propagation_job([2, 1])
    list(late.run())
    session.move_prompt(1, yxyx=(15, 15, 30, 30))
    session.accept_propagation(late)
    session.undo()
    session.redo()
    session.commit(2)
    session.save(tmp_path)
    assert_identical(again(tmp_path), session)


def test_models_of_a_session_are_loaded_by_name(tmp_path, monkeypatch):
    image = tmp_path / "bild.tif"
    tifffile.imwrite(image, np.asarray(stack_of(TRUTH).data), metadata={"axes": "ZYX"})
    models = {"tiny": tiny_predictor(), "threshold": ThresholdPredictor()}
    monkeypatch.setattr("stacksam.session.replay.load_model", lambda name, device: models[name])
    session = Session(stacksam.read(image), models["tiny"])
    session.add_box(1, 6, BOX_1)
    session.propagate(1, z_range=(5, 8))
    session.set_model(models["threshold"])
    session.add_box(2, 6, BOX_2)
    session.propagate(2)
    session.commit(1)
    session.commit(2)
    session.save(tmp_path / "session")
    assert_identical(replay(tmp_path / "session"), session)


def test_restored_work_can_be_replayed_from_its_beginning(session, tmp_path):
    work(session)
    session.start_journal(tmp_path / "session")
    crash(session)
    second = Session.restore(tmp_path / "session", stack_of(TRUTH), ThresholdPredictor())
    second.add_box(7, 6, BOX_1)
    second.commit(7, overwrite=True)
    second.save(tmp_path / "session")
    replayed = again(tmp_path / "session")
    assert replayed.n_different == 0
    assert np.array_equal(replayed.session.labels, second.labels)


def test_journal_with_a_gap_is_not_replayed(session, tmp_path):
    work(session)
    session.save(tmp_path)
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    with pytest.raises(ReadError, match="does not tell everything that was done"):
        again(tmp_path)
    restored = Session.restore(tmp_path, stack_of(TRUTH), ThresholdPredictor())
    assert np.array_equal(restored.labels, session.labels)
    restored.save(tmp_path)
    with pytest.raises(ReadError, match="does not tell everything that was done"):
        again(tmp_path)


def test_another_image_is_refused(session, tmp_path):
    work(session)
    session.save(tmp_path)
    with pytest.raises(ReadError, match="give the right image"):
        replay(tmp_path, stack_of(TRUTH[:-1]), ThresholdPredictor())
