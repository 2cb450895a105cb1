"""A bounded store of computed things: the least recently used ones go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class MemoryStore(Generic[T]):
    """Keep values up to a budget of bytes.

    Parameters
    ----------
    budget : int
        In bytes. A single value above it is computed but not kept.
    size_of : callable
        Bytes that a value keeps in memory.
    settle : callable, optional
        Makes of a computed value the one that is kept and returned, such as a copy without the
        larger array that it is a part of.

    Examples
    --------
    >>> store = MemoryStore(budget=10, size_of=len)
    >>> store.get_or_compute("a", lambda: b"12345678")
    b'12345678'
    >>> "a" in store
    True
    """

    def __init__(
        self, budget: int, size_of: Callable[[T], int], settle: Callable[[T], T] | None = None
    ) -> None:
        if budget < 0:
            raise ValueError(f"budget is {budget} bytes; it has to be at least 0")
        self.budget = budget
        self.used = 0
        self.computed = 0
        self._size_of, self._settle = size_of, settle
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def get_or_compute(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The stored value, or the computed one, which is then stored."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = compute()
        if self._settle is not None:
            value = self._settle(value)
        size = self._size_of(value)
        with self._lock:
            self.computed += 1
            if key not in self._values and size <= self.budget:
                self._values[key] = value
                self.used += size
            while self.used > self.budget:
                _, dropped = self._values.popitem(last=False)
                self.used -= self._size_of(dropped)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self.used = 0
