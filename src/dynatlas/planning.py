"""What a study will cost here, before anything is spent: counts, and a time from a short calibration."""

import time
from typing import NamedTuple

import numpy as np

from dynatlas.cluster import local_cluster
from dynatlas.pipeline import available_cores, training_flops
from dynatlas.study import Block, Study

# Iterations that are timed per block; the first call, which compiles, is timed apart.
TIMED_ITERATIONS = 20


class BlockPlan(NamedTuple):
    """One block, and what its training is expected to take on one worker."""

    block: Block
    networks: int
    iterations: int
    flops: float
    seconds: float


class Plan(NamedTuple):
    """What a study consists of and is expected to take."""

    blocks: tuple[BlockPlan, ...]
    searches: int  # fixed-point searches: networks × conditions
    pairs: int  # pairs of networks compared, per measure
    workers: int
    training_seconds: float

    @property
    def networks(self) -> int:
        """Networks to train."""
        return sum(block.networks for block in self.blocks)

    @property
    def flops(self) -> float:
        """Floating-point operations of all training."""
        return sum(block.flops for block in self.blocks)


def plan(study: Study, workers: int | None = None) -> Plan:
    """Time a few iterations of some blocks, and infer the rest.

    Timed are, for every task and architecture, its smallest and its largest number of units; a block between them is
    interpolated. Not included: start-up, and the analyses, which took a little over half of the training's time in
    the demo.
    """
    workers = workers or available_cores()
    timed = _blocks_to_time(study)
    with local_cluster(min(workers, len(timed))) as client:
        futures = client.map(time_block, [study.to_toml()] * len(timed), timed, pure=False)
        costs = dict(zip(timed, client.gather(futures), strict=True))
    blocks = []
    for block, members in study.blocks.items():
        iterations = members[0].training.iterations
        compiling, per_iteration = _cost(study, block, costs)
        seconds = compiling + per_iteration * iterations * len(members)
        blocks.append(BlockPlan(block, len(members), iterations, training_flops(study, block), seconds))
    per_task: dict[str, int] = {task.kind: 0 for task in study.tasks}
    for item in blocks:
        per_task[item.block.task] += item.networks
    # The work is shared evenly, but a block is never split between workers.
    total, longest = sum(item.seconds for item in blocks), max(item.seconds for item in blocks)
    return Plan(
        blocks=tuple(blocks),
        searches=sum(per_task[task.kind] * len(task.conditions()) for task in study.tasks),
        pairs=sum(count * (count - 1) // 2 for count in per_task.values()),
        workers=workers,
        training_seconds=max(total / workers, longest),
    )


def time_block(study_toml: str, block: Block) -> tuple[float, float]:
    """(seconds to compile, seconds per iteration and network) of a block, measured in this process."""
    from dynatlas.training import begin, train

    study = Study.parse(study_toml)
    first = study.blocks[block][0]

    def seconds(iterations: int) -> float:
        settings = first.training.model_copy(update={"iterations": iterations, "validation_interval": iterations})
        begun = time.perf_counter()
        members = [first._replace(training=settings)]
        state = begin(members, lambda key: study.cell(block, key))
        train(study.task(block.task), members, state, until=iterations)
        return time.perf_counter() - begun

    compiling = seconds(1)
    per_iteration = (seconds(TIMED_ITERATIONS) - seconds(1)) / (TIMED_ITERATIONS - 1)
    return compiling, max(per_iteration, 1e-6)


def _blocks_to_time(study: Study) -> list[Block]:
    chosen: dict[tuple[str, str, int], Block] = {}
    sizes = (min(study.population.units), max(study.population.units))
    for block in study.blocks:
        if block.units in sizes:
            chosen.setdefault((block.task, block.architecture, block.units), block)
    return list(chosen.values())


def _cost(study: Study, block: Block, costs: dict[Block, tuple[float, float]]) -> tuple[float, float]:
    """(compile seconds, seconds per iteration and network), interpolated in log units."""
    alike = {
        timed.units: cost
        for timed, cost in costs.items()
        if (timed.task, timed.architecture) == (block.task, block.architecture)
    }
    sizes = np.array(sorted(alike), float)
    compiling, per_iteration = (np.array([alike[int(size)][i] for size in sizes]) for i in (0, 1))
    at = np.log(block.units)
    return (
        float(np.interp(at, np.log(sizes), compiling)),
        float(np.exp(np.interp(at, np.log(sizes), np.log(per_iteration)))),
    )
