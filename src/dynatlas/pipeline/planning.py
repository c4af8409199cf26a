"""Estimate the cost of a study: counts, and times from a short calibration.

The calibration times some training iterations of the smallest and the largest size of every task and architecture, and
a fixed-point search on an untrained network of these sizes; sizes between them are interpolated. Then the study's jobs
are simulated, each on the first free worker, as the pipeline schedules them.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dynatlas._util.cores import available_cores
from dynatlas.measures.findings import FINDING_MEASURES
from dynatlas.pipeline.calibration import Cost, import_everything, time_dynamics, time_geometry, time_training
from dynatlas.pipeline.jobs import Job, jobs_of, training_flops
from dynatlas.pipeline.pending import Pending
from dynatlas.pipeline.stages.comparison import TILE, Tile
from dynatlas.pipeline.stages.dynamics.snapshots import place_snapshots
from dynatlas.pipeline.workers.cluster import Cluster, count_workers, local_cluster, running_scheduler
from dynatlas.study.members import Block, Configuration, Matrix, Member, Shape
from dynatlas.study.study import Study
from dynatlas.tasks.task import Task

if TYPE_CHECKING:
    from dynatlas.pipeline.workers import Future

# Costs that the calibration does not measure, in seconds of one worker on the demo.
BEHAVIOR_COMPILE_SECONDS = 0.5
# Of a memory's network: basins and smallest perturbations beside a fixed-point search.
ROBUSTNESS_SEARCHES = 10.0
PAGE_SECONDS, FIGURES_SECONDS, JOIN_SECONDS, CLAIMS_SECONDS = 3.5, 3.5, 0.4, 0.5
OVERHEAD_SECONDS, MATRIX_SECONDS, PAIR_SECONDS = 0.1, 0.2, 9e-6
# Expected fixed and slow points on the line of an integrator, for the disk estimate.
POINTS_ON_A_LINE = 8


class StagePlan(NamedTuple):
    """Estimate of one stage."""

    name: str
    jobs: int
    flops: float  # of training's matrix products; 0 elsewhere
    worker_seconds: float
    start: float  # seconds after the start of the run
    end: float


class Plan(NamedTuple):
    """Counts and expected cost of a study."""

    networks: int
    blocks: int
    searches: int  # fixed-point searches: networks × conditions
    pairs: int  # pairs of networks compared, per measure
    workers: int
    stages: tuple[StagePlan, ...]
    worker_bytes: float  # the largest worker's memory
    disk_bytes: float

    @property
    def flops(self) -> float:
        """Floating-point operations of training, including the hyperparameter search."""
        return sum(stage.flops for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Expected seconds from the start to the report."""
        return max(stage.end for stage in self.stages)


class Calibration(NamedTuple):
    """Measured costs."""

    start_up: float  # seconds until the workers are ready
    training: Mapping[Shape, Cost]
    searches: Mapping[Shape, Cost]
    geometry: Mapping[str, tuple[float, float]]  # measure → seconds to reduce a network, and per pair


def plan(study: Study, workers: int | None = None, scheduler: str | None = None) -> Plan:
    """Calibrate on the machine that would run the study, and simulate its jobs.

    Args:
        study: what to plan.
        workers: number of processes; by default one per core of this machine, or all of the scheduler's.
        scheduler: the address of a Dask scheduler on whose workers to calibrate, instead of this machine.
    """
    begun = time.perf_counter()
    where = running_scheduler(scheduler) if scheduler else local_cluster(min(workers or 99_999, available_cores()))
    with where as cluster:
        if workers is None:
            workers = count_workers(cluster.client) if scheduler else available_cores()
        _results(cluster, [cluster.client.submit(import_everything, pure=False)])
        start_up = time.perf_counter() - begun
        training = _calibrated(cluster, study, time_training, _ends(study))
        searches = _calibrated(cluster, study, time_dynamics, _ends(study))
        given = study.to_toml(), study.foreign_code()
        [pair_seconds] = _results(cluster, [cluster.client.submit(time_geometry, *given, pure=False)])
    return plan_from(study, workers, Calibration(start_up, training, searches, pair_seconds))


def plan_from(study: Study, workers: int, measured: Calibration) -> Plan:
    """Return the plan for measured costs."""
    jobs = jobs_of(study)
    steps = {shape: float(study.trained_task(shape).steps) for shape in (*study.shapes, *measured.training)}
    per_step = {shape: cost.over(steps[shape]) for shape, cost in measured.training.items()}
    training = {shape: interpolated(shape, per_step).over(1 / steps[shape]) for shape in study.shapes}
    searches = {shape: interpolated(shape, measured.searches) for shape in study.shapes}
    costs = {job.name: _job_cost(study, job, training, searches, measured.geometry) for job in jobs}
    spans = simulate(jobs, costs, workers, measured.start_up)
    per_task = {
        task.name: sum(len(members) for block, members in study.blocks.items() if block.task == task.name)
        for task in study.tasks
    }
    return Plan(
        networks=len(study.members),
        blocks=len(study.blocks),
        searches=sum(per_task[task.name] * task.n_conditions for task in study.tasks),
        pairs=sum(count * (count - 1) // 2 for count in per_task.values()),
        workers=workers,
        stages=tuple(_stages(study, jobs, costs, spans)),
        worker_bytes=_memory(study, [*measured.training.values(), *measured.searches.values()]),
        disk_bytes=_disk(study),
    )


def simulate(
    jobs: Iterable[Job], costs: Mapping[str, tuple[str, float, float]], workers: int, start_up: float
) -> dict[str, tuple[float, float]]:
    """Return (start, end) of every job when each runs on the first free worker, in order, after its dependencies.

    A job's cost is (the program it compiles, seconds to compile, seconds to run); a worker compiles a program once.
    """
    pending = Pending({job.name: job.needs for job in jobs})
    free = [(start_up, worker) for worker in range(workers)]
    compiled: list[set[str]] = [set() for _ in range(workers)]
    running: list[tuple[float, int, str]] = []
    spans: dict[str, tuple[float, float]] = {}
    now = start_up
    while pending or running:
        while free and (started := pending.start()):
            _, worker = heapq.heappop(free)
            program, compiling, seconds = costs[started]
            end = now + seconds + (0.0 if program in compiled[worker] else compiling)
            compiled[worker].add(program)
            spans[started] = (now, end)
            heapq.heappush(running, (end, worker, started))
        now, worker, ended = heapq.heappop(running)
        pending.end(ended)
        heapq.heappush(free, (now, worker))
    return spans


def _ends(study: Study) -> list[Shape]:
    """Return a shape of the smallest and one of the largest size for every task and architecture."""
    chosen: dict[tuple[str, str, int], Shape] = {}
    sizes = (min(study.population.units), max(study.population.units))
    for shape in study.shapes:
        if shape.units in sizes:
            chosen.setdefault((shape.task, shape.architecture, shape.units), shape)
    return list(chosen.values())


def _results(cluster: Cluster, futures: list["Future"]) -> list[Any]:
    """Return the results of futures, or raise why there can be none."""
    while not all(future.done() for future in futures):
        cluster.check()
        time.sleep(0.02)
    return [future.result() for future in futures]


def _calibrated(cluster: Cluster, study: Study, measure: Callable[..., Cost], shapes: list[Shape]) -> dict[Shape, Cost]:
    given = ([value] * len(shapes) for value in (study.to_toml(), study.foreign_code()))
    futures = cluster.client.map(measure, *given, shapes, pure=False)
    return dict(zip(shapes, _results(cluster, futures), strict=True))


def interpolated(shape: Shape, costs: Mapping[Shape, Cost]) -> Cost:
    """Interpolate the cost of a shape from the measured ones of its architecture, linearly in the logarithms."""
    alike = {at: cost for at, cost in costs.items() if at.architecture == shape.architecture}
    alike = {at: cost for at, cost in alike.items() if at.task == shape.task} or alike
    measured = sorted((at.units, cost) for at, cost in alike.items())
    sizes = np.log([units for units, _ in measured])
    compiling, seconds = (np.log([max(cost[i], 1e-12) for _, cost in measured]) for i in (0, 1))
    at = np.log(shape.units)
    return Cost(float(np.exp(np.interp(at, sizes, compiling))), float(np.exp(np.interp(at, sizes, seconds))))


def _job_cost(
    study: Study,
    job: Job,
    training: Mapping[Shape, Cost],
    searches: Mapping[Shape, Cost],
    geometry: Mapping[str, tuple[float, float]],
) -> tuple[str, float, float]:
    """Return (the program it compiles, seconds to compile, seconds to run) from the costs of every shape."""
    subject: Any = job.arguments[0] if job.arguments else None
    if job.stage in ("tuning", "search", "training"):
        shape = subject if isinstance(subject, Shape) else subject.shape
        cost = training[shape]
        return f"train {shape.name}", cost.compile_seconds, cost.seconds * iterations(study, job)
    if job.stage == "behavior":
        return f"behavior {subject.shape.name}", BEHAVIOR_COMPILE_SECONDS, _behavior_seconds(study, subject, training)
    if job.stage == "robustness":
        cost, has_several = searches[subject.shape], "memory" in study.task(subject.task).computations
        seconds = ROBUSTNESS_SEARCHES * cost.seconds * len(study.blocks[subject]) if has_several else 0.0
        return f"robustness {subject.shape.name}", cost.compile_seconds, OVERHEAD_SECONDS + seconds
    is_comparison = job.stage in ("geometry", "topology", "maps", "controls") or job.compute is place_snapshots
    if is_comparison and subject is not None:
        return job.stage, 0.0, _comparison_seconds(study, job, geometry)
    if isinstance(subject, Block):
        cost = searches[subject.shape]
        return f"dynamics {subject.shape.name}", cost.compile_seconds, cost.seconds * _analysed(study, job)
    fixed = {
        "join tables": JOIN_SECONDS,
        "sum up": JOIN_SECONDS,
        "test the claims": CLAIMS_SECONDS,
        "write the page": PAGE_SECONDS,
    }
    return job.name, 0.0, fixed.get(job.name, FIGURES_SECONDS)


def _analysed(study: Study, job: Job) -> int:
    """Return the networks, or the snapshots of networks, that a job of a block analyses."""
    members = study.blocks[job.arguments[0]]
    return sum(len(study.snapshots_of(member)) for member in members) if job.stage == "snapshots" else len(members)


def _behavior_seconds(study: Study, block: Block, training: Mapping[Shape, Cost]) -> float:
    """Return the seconds to test a block under the variations of its task: a third of training on as many steps."""
    members = study.blocks[block]
    longest = max(variation.task.steps for variation in study.variations(block.task).values())
    tested = len(study.variations(block.task)) * study.training.validation_trials * longest
    trained = members[0].training.batch_size * study.trained_task(block).steps
    return OVERHEAD_SECONDS + training[block.shape].seconds * tested / trained / 3 * len(members)


def _comparison_seconds(study: Study, job: Job, geometry: Mapping[str, tuple[float, float]]) -> float:
    """Return the seconds of a job that reduces, compares, joins, embeds, or computes controls."""
    subject: Any = job.arguments[0]
    if isinstance(subject, Block):
        reductions = sum(one for one, _ in geometry.values()) if job.stage in ("geometry", "snapshots") else 0.0
        return OVERHEAD_SECONDS + reductions * _analysed(study, job)
    if isinstance(subject, Tile):
        rows, columns = map(len, subject.sides(study))
        pairs = rows * columns if subject.row != subject.column else rows * (rows - 1) / 2
        measure = subject.matrix.measure
        return OVERHEAD_SECONDS + pairs * (
            geometry[measure][1] if measure in geometry else FINDING_MEASURES[measure].pair_seconds
        )
    if isinstance(subject, Matrix):
        networks = len(study.members_of(subject.task))
        # Permutations and resamples go through every pair.
        return OVERHEAD_SECONDS + (MATRIX_SECONDS + PAIR_SECONDS * networks**2 if job.stage == "maps" else 0.0)
    networks = min(len(study.members_of(subject)), study.analysis.control_networks)
    versions = 5 if study.population.untrained_controls else 4
    return sum(versions * (networks * one + networks**2 / 2 * pair) for one, pair in geometry.values())


def iterations(study: Study, job: Job) -> float:
    """Return the training iterations of a job, summed over networks."""
    subject = job.arguments[0]
    if isinstance(subject, Block):
        return float(job.iterations * len(study.blocks[subject]))
    if isinstance(subject, Configuration) and study.search:
        total, before = 0, 0
        for count, until in study.search.rungs(job.iterations):
            total, before = total + count * (until - before), until
        return float(total)
    return 0.0


def _stages(
    study: Study,
    jobs: tuple[Job, ...],
    costs: Mapping[str, tuple[str, float, float]],
    spans: Mapping[str, tuple[float, float]],
) -> Iterable[StagePlan]:
    for name in dict.fromkeys(job.stage for job in jobs):
        group = [job for job in jobs if job.stage == name]
        flops = 0.0
        if name == "training":
            flops = sum(training_flops(study, job.arguments[0]) for job in group)
        if name == "search":
            flops = sum(
                study.size(study.configurations[job.arguments[0]][0]).flops * iterations(study, job) for job in group
            )
        starts, ends = zip(*(spans[job.name] for job in group), strict=True)
        seconds = sum(end - start for start, end in zip(starts, ends, strict=True))
        yield StagePlan(name, len(group), flops, seconds, min(starts), max(ends))


def _memory(study: Study, costs: Iterable[Cost]) -> float:
    """Return a worker's peak memory: the measured one plus the networks of the largest block or tile."""
    block = max(study.size(members[0]).network_bytes * len(members) for members in study.blocks.values())
    # The largest tile: two groups of reduced networks, hardly larger than their activity.
    networks = 2 * min(TILE, max(len(study.members_of(task.name)) for task in study.tasks))
    tile = networks * max(map(float, _reduced_bytes(study)))
    return max(cost.memory_bytes for cost in costs) + max(block, tile)


def _disk(study: Study) -> float:
    """Return the bytes of the atlas: weights, curves, fixed points, distances; without the report's few megabytes."""

    def of(member: Member) -> tuple[float, float]:
        """Return the bytes of a network, and of a snapshot of it."""
        task, size = study.task(member.task), study.size(member)
        weights = 4.0 * size.weights
        # A search finds no more points than it has starts.
        points = min(_points_per_condition(task), study.analysis.fixed_point_max_starts) * task.n_conditions
        found = points * size.states * (8 + 16)
        curves = 30.0 * member.training.iterations / member.training.validation_interval
        return weights * (2 if study.population.untrained_controls else 1) + found + curves, weights + found

    # A matrix, and its tiles.
    distances = sum(12.0 * len(study.members_of(task)) ** 2 for task, _ in study.matrices)
    reduced = sum(_reduced_bytes(study)) * len(study.members) / len(study.tasks)
    sizes = {configuration: of(members[0]) for configuration, members in study.configurations.items()}
    networks = sum(sizes[member.configuration][0] for member in study.members)
    snapshots = sum(sizes[member.configuration][1] * len(study.snapshots_of(member)) for member in study.members)
    return networks + snapshots + distances + reduced


def _points_per_condition(task: Task) -> int:
    """Return the expected number of fixed points: of combinations of outputs, of a line, or one."""
    if "integration" in task.computations:
        return POINTS_ON_A_LINE
    return max(1, len(task.ideal_outputs)) ** task.n_outputs


def _reduced_bytes(study: Study) -> Iterator[float]:
    """Yield the bytes of a reduced network for each task and measure of geometry: its leading components."""
    for task in study.tasks:
        samples = len(task.probe_conditions()) * task.steps  # as many as probe trials, without drawing them
        for measure in study.analysis.activity_measures:
            yield 8.0 * samples * min(study.measure(measure).kept_components, max(study.population.units))
