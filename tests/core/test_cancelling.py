"""Work without an event is never cancelled."""

from threading import Event

from stacksam.core.cancelling import is_cancelled


def test_only_an_event_that_is_set_cancels():
    event = Event()
    assert not is_cancelled(None)
    assert not is_cancelled(event)
    event.set()
    assert is_cancelled(event)
