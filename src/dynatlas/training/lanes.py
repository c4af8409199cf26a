"""Choose the number of networks to compute side by side, by timing: it depends on the machine and the shape.

On a CPU, computing one network at a time keeps its arrays in the cache; an accelerator needs many at once.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from dynatlas.cells.cell import Cell
from dynatlas.study.members import Member
from dynatlas.tasks.task import Task
from dynatlas.training.fit import begin, train

CPU_LANES = (1, 2, 4)
ACCELERATOR_LANES = (1, 4, 16, 64, 256)
TIMED_SECONDS = 1.0


class Timing(NamedTuple):
    """Speed of computing a block with a number of lanes."""

    lanes: int
    compile_seconds: float
    iterations_per_second: float  # summed over networks


def candidates(members: int) -> list[int]:
    """Return the numbers of lanes to time for a block of this many members."""
    lanes = CPU_LANES if jax.default_backend() == "cpu" else ACCELERATOR_LANES
    return [count for count in lanes if count <= members] or [1]


def untuned_lanes(members: int) -> int:
    """Return the number of lanes to use where timing would cost more than it could save."""
    return 1 if jax.default_backend() == "cpu" else members


def measure(
    task: Task, members: Sequence[Member], new_cell: Callable[[PRNGKeyArray], Cell], lanes: Sequence[int]
) -> list[Timing]:
    """Time some iterations of the first members with each number of lanes."""
    return [_measure(task, members[:count], new_cell) for count in lanes]


def fastest(timings: Sequence[Timing]) -> int:
    """Return the number of lanes of the fastest timing."""
    return max(timings, key=lambda timing: timing.iterations_per_second).lanes


def _measure(task: Task, members: Sequence[Member], new_cell: Callable[[PRNGKeyArray], Cell]) -> Timing:
    lanes = len(members)
    started = time.perf_counter()
    state = train(task, members, begin(members, new_cell), until=1, lanes=lanes)
    compile_seconds = time.perf_counter() - started
    iterations, seconds = 1, 0.0
    while seconds < TIMED_SECONDS:
        iterations *= 2
        started = time.perf_counter()
        train(task, members, state, until=state.done + iterations, lanes=lanes)
        seconds = time.perf_counter() - started
    return Timing(lanes, compile_seconds, iterations * lanes / seconds)
