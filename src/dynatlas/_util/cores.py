"""The cores that this process may use."""

import os


def available_cores() -> int:
    """The cores that this process may use; on a cluster fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
