"""CPU cores available to this process, and how many of them linear algebra uses."""

import os
from contextlib import AbstractContextManager
from functools import cache

import scipy.linalg  # noqa: F401 - loads its own linear algebra, which is to be limited too
from threadpoolctl import ThreadpoolController


def available_cores() -> int:
    """Return the number of cores this process may use; on a cluster, fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def single_threaded_algebra() -> AbstractContextManager[object]:
    """Limit NumPy and SciPy to one thread per product while the context is open."""
    limits: AbstractContextManager[object] = _thread_pools().limit(limits=1)
    return limits


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the pools of the loaded libraries; to look for them takes 20 ms."""
    return ThreadpoolController()
