"""The wish to stop: from a signal to the main process, and from there to the jobs in the workers.

In a worker, the flag below is what a long job looks at now and then. In the main process, ``caught_signals`` turns
signals into a note that its loop reads, so that nothing is torn from its hands in the middle.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_stop = threading.Event()


def request_stop() -> None:
    """Ask the jobs in this process to save what they have and return, by raising ``errors.Stopped``."""
    _stop.set()


def stop_requested() -> bool:
    """Whether a job in this process should save what it has and return."""
    return _stop.is_set()


def clear() -> None:
    """Take the request back: processes outlive runs."""
    _stop.clear()


class Caught:
    """The first signal that asked for an end."""

    received: signal.Signals | None = None


@contextmanager
def caught_signals() -> Iterator[Caught]:
    """Note SIGTERM, SIGUSR1 and Ctrl-C instead of dying of them; a second Ctrl-C interrupts at once as usual.

    Only a process's main thread can have handlers: elsewhere nothing is caught.
    """
    caught = Caught()

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and caught.received is not None:
            raise KeyboardInterrupt
        caught.received = caught.received or signal.Signals(number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
