"""The store of computed things: bounded, and only ever a shortcut."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from stacksam.io.embedding_store import MemoryStore


def test_value_is_computed_once():
    store = MemoryStore(100, len)
    calls = []
    for _ in range(3):
        assert store.get_or_compute("a", lambda: calls.append(1) or "value") == "value"
    assert len(calls) == store.computed == 1
    assert "a" in store
    assert "b" not in store
    assert store.used == 5


def test_least_recently_used_goes_first():
    store = MemoryStore(6, len)
    for key in "ab":
        store.get_or_compute(key, lambda: "xxx")
    store.get_or_compute("a", lambda: "never")
    store.get_or_compute("c", lambda: "xxx")
    assert [key in store for key in "abc"] == [True, False, True]
    assert store.used == 6


def test_budget_holds_whatever_comes():
    store = MemoryStore(10, len)
    for length in (3, 9, 1, 10, 4, 4, 4, 2):
        store.get_or_compute(length, lambda length=length: "x" * length)
        assert store.used <= 10
    assert store.used == 6


def test_value_above_the_budget_passes_and_drives_nothing_out():
    store = MemoryStore(4, len)
    store.get_or_compute("small", lambda: "xx")
    assert store.get_or_compute("large", lambda: "x" * 50) == "x" * 50
    assert "small" in store
    assert "large" not in store


def test_nothing_is_kept_without_a_budget():
    store = MemoryStore(0, len)
    assert store.get_or_compute("a", lambda: "x") == "x"
    assert len(store) == store.used == 0


def test_failed_computation_leaves_no_trace():
    store = MemoryStore(10, len)
    with pytest.raises(RuntimeError, match="no device"):
        store.get_or_compute("a", lambda: (_ for _ in ()).throw(RuntimeError("no device")))
    assert store.get_or_compute("a", lambda: "x") == "x"


def test_clear_forgets():
    store = MemoryStore(10, len)
    store.get_or_compute("a", lambda: "xx")
    store.clear()
    assert len(store) == store.used == 0
    assert store.get_or_compute("a", lambda: "new") == "new"


def test_threads_agree():
    store = MemoryStore(1000, len)
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda i: store.get_or_compute(i % 5, lambda: "xyz"), range(200)))
    assert set(values) == {"xyz"}
    assert store.used == 15


def test_negative_budget_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        MemoryStore(-1, len)
