"""Cooperative shutdown: a signal to the main process becomes a request to the jobs in the workers.

In a worker, long jobs poll the flag below. In the main process, ``caught_signals`` records the signal and the main loop
reads it, so that no step is interrupted halfway.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Seconds for jobs to save a checkpoint after a signal. A batch system allows 30 to 60 in all.
GRACE = 18.0
_stop = threading.Event()


def request_stop() -> None:
    """Ask the jobs in this process to save a checkpoint and raise ``errors.Stopped``."""
    _stop.set()


def stop_requested() -> bool:
    """Whether the jobs in this process were asked to stop."""
    return _stop.is_set()


def clear() -> None:
    """Clear the flag; workers are reused."""
    _stop.clear()


class Caught:
    """The first stop signal received."""

    received: signal.Signals | None = None


@contextmanager
def caught_signals() -> Iterator[Caught]:
    """Record SIGTERM, SIGUSR1 and Ctrl-C instead of ending; a second Ctrl-C raises KeyboardInterrupt at once.

    Only the main thread can install handlers; in other threads nothing is caught.
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
