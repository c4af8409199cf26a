"""CPU cores available to this process."""

import os


def available_cores() -> int:
    """Return the number of cores this process may use; on a cluster, fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
