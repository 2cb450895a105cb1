"""Clicks that are taken back leave nothing behind but their line in the log."""

import gc
import weakref

import numpy as np
import pytest

import stacksam.propagation.slice_predictor as slice_predictor
from models import ThresholdPredictor, stack_of, two_tubes
from stacksam.session import Session

N_CLICKS = 60
TRUTH = two_tubes()


class Forgetful(list):
    def append(self, value):
        """What the double was shown is of no interest here."""


@pytest.fixture
def session(monkeypatch):
    """With stores that are full after a few clicks."""
    monkeypatch.setattr(slice_predictor, "EMBEDDING_BUDGET", 400_000)
    monkeypatch.setattr(slice_predictor, "PREDICTION_BUDGET", 400_000)
    model = ThresholdPredictor()
    model.seen = Forgetful()
    return Session(stack_of(TRUTH), model)


def click_and_undo(session, rng, n_clicks=N_CLICKS):
    for _ in range(n_clicks):
        index = int(rng.integers(3, 9))
        session.add_point(1, (index, *rng.uniform(16, 28, 2)))
        session.accept(job := session.slice_job(1, index), job.run())
        session.undo()


def n_objects():
    gc.collect()
    return len(gc.get_objects())


def test_nothing_grows_with_clicks(session):
    rng = np.random.default_rng(0)
    session.add_box(1, 5, (12, 14, 32, 34))
    click_and_undo(session, rng, 2 * N_CLICKS)
    stores = session.predictor.embeddings, session.predictor.predictions
    assert all(store.computed > 2 * len(store) for store in stores)  # they are full
    before, log_before = n_objects(), session._log.nbytes
    click_and_undo(session, rng)
    assert all(0.5 * store.budget < store.used <= store.budget for store in stores)
    assert len(session._history.done) == 1
    assert len(session._history.undone) == 1
    assert n_objects() - before < N_CLICKS  # one per click would be a leak
    assert session._log.nbytes - log_before < 1000 * N_CLICKS


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.predict(1, 5),
        lambda session: session.propagate(1),
        lambda session: list(session.propagate_iter(1)),
    ],
)
def test_work_sweeps_up_behind_itself(session, work, monkeypatch):
    swept = []
    monkeypatch.setattr(slice_predictor, "give_back_freed_memory", lambda: swept.append(1))
    monkeypatch.setattr(slice_predictor, "DECODINGS_PER_SWEEP", 1)
    session.add_box(1, 5, (12, 14, 32, 34))
    job = session.slice_job(1, 5)
    job.run()
    assert not swept  # whoever runs a job waits for what it finds
    work(session)
    assert swept


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.set_window((0, 300)),
        lambda session: session.set_model(ThresholdPredictor(fingerprint="another")),
    ],
)
def test_stores_of_another_window_or_model_are_let_go(session, change):
    rng = np.random.default_rng(0)
    session.add_box(1, 5, (12, 14, 32, 34))
    session.accept(job := session.slice_job(1, 5), job.run())
    offered = session.prediction(1, 5)
    click_and_undo(session, rng, 3)
    before = weakref.ref(session.predictor)
    del job
    change(session)
    assert session.predictor is not before()
    gc.collect()
    assert before() is None
    assert offered.choose(1)  # what a panel still shows can be chosen
