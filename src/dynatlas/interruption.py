"""A request to stop, made to this process from outside and heard by the jobs that can stop and be taken up again."""

import threading

_REQUESTED = threading.Event()


def request_stop() -> None:
    """Ask the job of this process to keep what it has and end."""
    _REQUESTED.set()


def stop_requested() -> bool:
    """Whether somebody asked."""
    return _REQUESTED.is_set()


def clear() -> None:
    """Take the request back: a new run begins."""
    _REQUESTED.clear()
