"""One worker thread per workbench: what the user waits for first, the rest in the gaps.

Work is an iterator; between two of its steps the thread turns to whatever is more urgent, so a
click is answered in the middle of a propagation. Nothing here knows napari or sessions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import monotonic
from typing import Any

from qtpy.QtCore import QObject, Signal

INTERACTION, PROPAGATION, BACKGROUND = 0, 1, 2
QUIET_SECONDS = 0.25
"""Background work waits until the user has asked for nothing for this long."""


@dataclass(eq=False)
class Task:
    """Work in steps, and whom to tell; all callbacks run in the GUI thread.

    Attributes
    ----------
    number : int
        Later requests have larger ones.
    is_cancelled : bool
        Nothing is told any more.
    """

    number: int
    priority: int
    steps: Iterator[Any]
    key: Hashable | None = None
    on_step: Callable[[Any], None] | None = None
    on_done: Callable[[], None] | None = None
    on_error: Callable[[Exception], None] | None = None
    is_cancelled: bool = field(default=False)


class Engine(QObject):
    """Runs tasks in one thread, the most urgent first.

    Parameters
    ----------
    on_error : callable, optional
        Gets exceptions of tasks that have no handler of their own.
    """

    _arrived = Signal(object, object, object)

    def __init__(self, on_error: Callable[[Exception], None] | None = None) -> None:
        super().__init__()
        self._on_error = on_error
        self._tasks: list[Task] = []
        self._wake = Condition()
        self._number = 0
        self._is_closed, self._is_held = False, False
        self._quiet_from = 0.0
        self._arrived.connect(self._on_arrived)
        self._thread = Thread(target=self._work, name="stacksam-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        work: Iterator[Any] | Callable[[], Any],
        *,
        priority: int = INTERACTION,
        key: Hashable | None = None,
        on_step: Callable[[Any], None] | None = None,
        on_done: Callable[[], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> Task:
        """Queue work.

        Parameters
        ----------
        work : iterator or callable
            An iterator is advanced step by step; a callable is one step.
        priority : {INTERACTION, PROPAGATION, BACKGROUND}
        key : hashable, optional
            Earlier tasks of the same key are cancelled: what they find comes too late.
        on_step, on_done, on_error : callable, optional
            Called in the GUI thread with each step's value, at the end, and with an exception.

        Returns
        -------
        task : Task
        """
        steps = _one_step(work) if callable(work) else work
        with self._wake:
            self._number += 1
            task = Task(self._number, priority, steps, key, on_step, on_done, on_error)
            if key is not None:
                for earlier in self._tasks:
                    earlier.is_cancelled |= earlier.key == key
            if priority < BACKGROUND:
                self._quiet_from = monotonic() + QUIET_SECONDS
            self._tasks.append(task)
            self._wake.notify()
        return task

    def cancel(self, key: Hashable) -> None:
        """Drop the tasks of a key; a step that is under way ends unheard."""
        with self._wake:
            for task in self._tasks:
                task.is_cancelled |= task.key == key
            self._wake.notify()

    def hold_background(self, is_held: bool) -> None:
        """Keep background work from beginning, as long as a mouse button is down."""
        with self._wake:
            self._is_held = is_held
            self._quiet_from = monotonic() + QUIET_SECONDS
            self._wake.notify()

    def is_busy(self, priority: int = PROPAGATION) -> bool:
        """Whether there is work of this urgency or a higher one."""
        with self._wake:
            return any(t.priority <= priority and not t.is_cancelled for t in self._tasks)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self, timeout: float = 10.0) -> bool:
        """Stop after the step that is under way.

        Returns
        -------
        is_stopped : bool
            False if that step takes longer than `timeout` seconds.
        """
        with self._wake:
            self._is_closed = True
            for task in self._tasks:
                task.is_cancelled = True
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                message = ("step", next(task.steps))
            except StopIteration:
                message = ("done", None)
            except Exception as error:  # noqa: BLE001 - the GUI thread shows it
                message = ("error", error)
            if message[0] != "step":
                with self._wake:
                    self._tasks.remove(task)
            self._tell(task, *message)

    def _next(self) -> Task | None:
        """Wait for the most urgent task; None once closed. Forgets cancelled ones."""
        with self._wake:
            while not self._is_closed:
                for task in [t for t in self._tasks if t.is_cancelled]:
                    self._tasks.remove(task)
                    _close(task.steps)
                pause = self._quiet_from - monotonic()
                can_idle = not self._is_held and pause <= 0
                ready = [t for t in self._tasks if t.priority < BACKGROUND or can_idle]
                if ready:
                    return min(ready, key=lambda t: (t.priority, t.number))
                is_waiting = bool(self._tasks) and not self._is_held
                self._wake.wait(max(pause, 0.001) if is_waiting else None)
            for task in self._tasks:
                _close(task.steps)
            self._tasks.clear()
        return None

    def _tell(self, task: Task, what: str, value: Any) -> None:
        try:
            self._arrived.emit(task, what, value)
        except RuntimeError:  # the window is gone, and Qt's half of this object with it
            self._is_closed = True

    def _on_arrived(self, task: Task, what: str, value: Any) -> None:
        if task.is_cancelled or self._is_closed:
            return
        if what == "step" and task.on_step is not None:
            task.on_step(value)
        elif what == "done" and task.on_done is not None:
            task.on_done()
        elif what == "error":
            handler = task.on_error or self._on_error
            if handler is not None:
                handler(value)


def leave_a_core() -> int:
    """Let torch, in the thread that calls this, use all cores but one; returns how many."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_threads = max(1, (cores or 1) - 1)
    torch.set_num_threads(n_threads)
    return n_threads


def _one_step(work: Callable[[], Any]) -> Iterator[Any]:
    yield work()


def _close(steps: Iterator[Any]) -> None:
    close = getattr(steps, "close", None)
    if close is not None:
        close()
