"""Whether long work was asked to stop."""

from __future__ import annotations

from threading import Event


def is_cancelled(cancel: Event | None) -> bool:
    """Whether an event that may stop some work is there and set."""
    return cancel is not None and cancel.is_set()
