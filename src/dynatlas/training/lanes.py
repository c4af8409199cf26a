"""How many networks to compute side by side: measured, since it depends on the machine and on the shape.

On a CPU one network after the other keeps its arrays in the cache; on an accelerator only many at once fill it.
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


class Mapping(NamedTuple):
    """One way to compute a block, and its speed."""

    lanes: int
    compile_seconds: float
    iterations_per_second: float  # summed over networks


def candidates(members: int) -> list[int]:
    """The numbers of lanes worth a try for a block of so many members."""
    lanes = CPU_LANES if jax.default_backend() == "cpu" else ACCELERATOR_LANES
    return [count for count in lanes if count <= members] or [1]


def untuned_lanes(members: int) -> int:
    """The choice where measuring would cost more than it can save."""
    return 1 if jax.default_backend() == "cpu" else members


def measure(
    task: Task, members: Sequence[Member], new_cell: Callable[[PRNGKeyArray], Cell], lanes: Sequence[int]
) -> list[Mapping]:
    """Time some iterations of the first members under every number of lanes."""
    return [_measure(task, members[:count], new_cell) for count in lanes]


def fastest(mappings: Sequence[Mapping]) -> int:
    """The lanes of the fastest mapping."""
    return max(mappings, key=lambda mapping: mapping.iterations_per_second).lanes


def _measure(task: Task, members: Sequence[Member], new_cell: Callable[[PRNGKeyArray], Cell]) -> Mapping:
    lanes = len(members)
    begun = time.perf_counter()
    state = train(task, members, begin(members, new_cell), until=1, lanes=lanes)
    compile_seconds = time.perf_counter() - begun
    iterations, seconds = 1, 0.0
    while seconds < TIMED_SECONDS:
        iterations *= 2
        begun = time.perf_counter()
        train(task, members, state, until=state.done + iterations, lanes=lanes)
        seconds = time.perf_counter() - begun
    return Mapping(lanes, compile_seconds, iterations * lanes / seconds)
