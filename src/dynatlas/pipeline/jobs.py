"""The jobs of a study, in order: their dependencies, their computation, the entries that they promise.

A job reads the atlas, computes, writes its files, and returns their entries. It may start when the jobs it needs are
done, and it is done when the manifest has the entries that it promises.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import filter as matching
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from dynatlas.atlas.atlas import Entry, part_name, reduced_name, snapshots_name
from dynatlas.atlas.schema import OF_CONTROLS, OF_MATRICES
from dynatlas.measures.findings import FINDING_MEASURES
from dynatlas.pipeline.stages.behavior import measure_behavior
from dynatlas.pipeline.stages.comparison import compare_tile, join_tiles, tiles_of
from dynatlas.pipeline.stages.controls import make_controls
from dynatlas.pipeline.stages.dynamics.findings import TABLES as DYNAMICS_TABLES
from dynatlas.pipeline.stages.dynamics.findings import find_dynamics
from dynatlas.pipeline.stages.dynamics.robustness import measure_robustness
from dynatlas.pipeline.stages.dynamics.snapshots import TABLES as SNAPSHOT_TABLES
from dynatlas.pipeline.stages.dynamics.snapshots import place_snapshots, search_snapshots
from dynatlas.pipeline.stages.reduction import controls_of, count_components, reduce_activity, reduce_findings
from dynatlas.pipeline.stages.report import FIGURE_JOBS, draw_figures, write_page
from dynatlas.pipeline.stages.summaries import AVERAGES, check_claims, embed, join_tables, joined_tables, sum_up
from dynatlas.pipeline.stages.training import search, train, tune
from dynatlas.study.members import Block, Matrix, Shape
from dynatlas.study.study import Study

# Tuning compiles several programs, which takes a minute. Training of this size takes about ten minutes untuned.
FLOPS_WORTH_TUNING = 2e13


class Job(NamedTuple):
    """One unit of work."""

    name: str
    stage: str
    compute: Callable[..., list[Entry]]  # (atlas path, *arguments, report) → entries
    arguments: tuple[Any, ...]
    needs: frozenset[str]  # names of jobs
    promises: frozenset[str]  # names of entries
    networks: int = 1  # units of work, for the progress display
    iterations: int = 1
    beyond: tuple[str, ...] = ()  # patterns of the names of optional entries

    def is_done(self, entries: Mapping[str, Entry]) -> bool:
        """Whether an atlas with these entries has everything that the job promises."""
        return self.promises <= entries.keys()

    def writes(self, name: str) -> bool:
        """Whether the job writes this entry."""
        return name in self.promises or any(fnmatchcase(name, pattern) for pattern in self.beyond)


def to_redo(study: Study, damaged: Collection[str]) -> frozenset[str]:
    """Return the entries to discard so that the next run repairs damage: the damaged ones, and all of their jobs."""
    promised = (job.promises for job in jobs_of(study) if any(job.writes(name) for name in damaged))
    return frozenset(damaged).union(*promised)


def leftovers(jobs: Collection[Job], entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the entries to discard before pending jobs begin: those that they will write again.

    Entries that match a pattern of a finished job stay: any of several jobs that draw figures may have drawn them.
    """
    done = {job.name for job in jobs if job.is_done(entries)}
    kept = {pattern for job in jobs if job.name in done for pattern in job.beyond}
    again = [job for job in jobs if job.name not in done]
    names = {name for job in again for name in (*job.promises, *job.beyond) if name in entries}
    patterns = {pattern for job in again for pattern in job.beyond if "*" in pattern} - kept
    return frozenset(names).union(*(matching(entries, pattern) for pattern in patterns))


def jobs_of(study: Study) -> tuple[Job, ...]:
    """Return all jobs of a study in topological order."""
    flops = {block: training_flops(study, block) for block in study.blocks}
    tuning = {shape: _tuning(shape) for shape in _worth_tuning(flops)}
    tunes = {shape: frozenset([job.name]) for shape, job in tuning.items()}
    searching = list(_searching(study, tunes))
    training = list(_training(study, flops, tunes, searching))
    dynamics = [_dynamics(study, job.arguments[0], job) for job in training]
    behavior = [_behavior(job.arguments[0], job) for job in training]
    robustness = [_robustness(job.arguments[0], job) for job in dynamics if study.analysis.compares_robustness]
    comparing = list(_comparing(study, training, dynamics, [*behavior, *robustness]))
    controls = [_controls(study, task.name) for task in study.tasks]
    mapping = [_mapping(matrix) for matrix in study.matrices]
    followed = [_followed(job.arguments[0], job) for job in training if study.follows(job.arguments[0])]
    placed = [_placed(study, block, mapping) for block in study.blocks if study.follows(block)]
    # Reductions write descriptions of activity.
    described = [job for job in comparing if job.compute is reduce_activity]
    tables = Job(
        "join tables",
        "maps",
        join_tables,
        (),
        _names(training, dynamics, behavior, robustness, followed, placed, described),
        frozenset(f"tables/{name}.parquet" for name in joined_tables(study)),
    )
    sums = Job(
        "sum up",
        "maps",
        sum_up,
        (),
        _names([tables], mapping, controls),
        frozenset(f"tables/{name}.parquet" for name in (*OF_MATRICES, *AVERAGES)),
    )
    claims = Job("test the claims", "maps", check_claims, (), _names([sums]), frozenset(["tables/claims.parquet"]))
    analysed = (*dynamics, *followed, *behavior, *robustness)
    compared = (*comparing, *controls, *mapping, *placed, tables, sums, claims)
    return (*tuning.values(), *searching, *training, *analysed, *compared, *_report(claims))


def _searching(study: Study, tunes: Mapping[Shape, frozenset[str]]) -> Iterator[Job]:
    for configuration, members in study.configurations.items():
        if study.search:
            yield Job(
                f"search {configuration.name}",
                "search",
                search,
                (configuration,),
                tunes.get(members[0].shape, frozenset()),
                frozenset(part_name(table, configuration) for table in ("samples", "sample_losses")),
                study.search.samples,
                members[0].training.iterations,
            )


def _training(
    study: Study, flops: Mapping[Block, float], tunes: Mapping[Shape, frozenset[str]], searching: list[Job]
) -> Iterator[Job]:
    chosen = {job.arguments[0]: job.name for job in searching}
    # Longest first, so that no long block is left for the end.
    for block in sorted(study.blocks, key=lambda block: -flops[block]):
        members = study.blocks[block]
        searches = frozenset(chosen[member.configuration] for member in members if chosen)
        parts = [part_name(table, block) for table in ("networks", "losses")]
        parts += [snapshots_name(block)] if study.follows(block) else []
        yield Job(
            f"train {block.name}",
            "training",
            train,
            (block,),
            searches | tunes.get(block.shape, frozenset()),
            frozenset([f"networks/{block.name}.safetensors", *parts]),
            len(members),
            members[0].training.iterations,
        )


def _dynamics(study: Study, block: Block, train: Job) -> Job:
    groups = [f"{group}/{block.name}" for group in ("fixed_points", "state_spaces", "line_attractors")]
    groups += [f"trajectories/{member.id}" for member in study.blocks[block]]
    return Job(
        f"find fixed points {block.name}",
        "fixed points",
        find_dynamics,
        (block,),
        _names([train]),
        frozenset(part_name(table, block) for table in DYNAMICS_TABLES),
        beyond=tuple(f"arrays.zarr/{group}" for group in groups),
    )


def _behavior(block: Block, train: Job) -> Job:
    promises = frozenset([part_name("behavior", block)])
    return Job(f"vary the task {block.name}", "behavior", measure_behavior, (block,), _names([train]), promises)


def _followed(block: Block, train: Job) -> Job:
    promises = frozenset(part_name(table, block) for table in SNAPSHOT_TABLES)
    beyond = (f"arrays.zarr/snapshot_points/{block.name}",)
    name = f"search snapshots {block.name}"
    return Job(name, "snapshots", search_snapshots, (block,), _names([train]), promises, beyond=beyond)


def _placed(study: Study, block: Block, mapping: list[Job]) -> Job:
    matrices = {Matrix(block.task, measure) for measure in study.analysis.activity_measures}
    needs = _names([job for job in mapping if job.arguments[0] in matrices])
    promises = frozenset([part_name("snapshot_distances", block)])
    return Job(f"place snapshots {block.name}", "snapshots", place_snapshots, (block,), needs, promises)


def _robustness(block: Block, dynamics: Job) -> Job:
    promises = frozenset([part_name("robustness", block)])
    return Job(f"push {block.name}", "robustness", measure_robustness, (block,), _names([dynamics]), promises)


def _comparing(study: Study, training: list[Job], dynamics: list[Job], tests: list[Job]) -> Iterator[Job]:
    """Reduce every network, compare the tiles of every matrix, join them; ``tests`` are of trained networks."""
    counting = list(_counting(study, training))
    yield from counting
    counted: dict[str, frozenset[str]] = {}
    for job in counting:
        task = job.arguments[0].task
        counted[task] = counted.get(task, frozenset()) | {job.name}
    tested = {block: frozenset(job.name for job in tests if job.arguments[0] == block) for block in study.blocks}
    for stage, compute, jobs in (
        ("geometry", reduce_activity, training),
        ("topology", reduce_findings, dynamics),
    ):
        for job in jobs:
            [block] = job.arguments
            if stage == "geometry":
                measures = [
                    name for measure in study.analysis.activity_measures for name in (measure, controls_of(measure))
                ]
                promises = frozenset([*(reduced_name(name, block) for name in measures), part_name("activity", block)])
                needs = _names([job]) | counted.get(block.task, frozenset())
            else:
                promises = frozenset(reduced_name(name, block) for name in study.finding_measures(block.task))
                needs = _names([job]) | tested[block]
            yield Job(_reduces(stage, block), stage, compute, (block,), needs, promises)
    reduces = {stage: {block: _reduces(stage, block) for block in study.blocks} for stage in ("geometry", "topology")}
    for matrix in study.matrices:
        stage = "geometry" if matrix.measure in study.analysis.activity_measures else "topology"
        only_modal = stage == "topology" and FINDING_MEASURES[matrix.measure].only_modal
        tiles = tiles_of(study, matrix)
        # A diagonal tile has the same networks on both sides.
        diagonal = [tile for tile in tiles if tile.row == tile.column]
        side = {tile.row: frozenset(reduces[stage][block] for block in tile.blocks(study)) for tile in diagonal}
        for tile in tiles:
            needs = side[tile.row] | side[tile.column]
            if only_modal:
                # The modal number of roots is known only after all searches.
                needs = frozenset().union(*side.values())
            promises = frozenset([f"arrays.zarr/{tile.group}"])
            yield Job(f"compare {tile.name}", stage, compare_tile, (tile,), needs, promises)
        promises = frozenset([f"arrays.zarr/distances/{matrix.task}/{matrix.measure}"])
        needs = frozenset(f"compare {tile.name}" for tile in tiles)
        yield Job(f"join {matrix.name}", stage, join_tiles, (matrix,), needs, promises)


def _counting(study: Study, training: list[Job]) -> Iterator[Job]:
    """Count components, if a measure reduces all networks of a task to the same number."""
    for job in training if study.analysis.agreeing else ():
        [block] = job.arguments
        promises = frozenset([part_name("components", block)])
        yield Job(f"count components {block.name}", "geometry", count_components, (block,), _names([job]), promises)


def _reduces(stage: str, block: Block) -> str:
    """Return the name of the job that reduces a block."""
    return f"reduce for {stage} {block.name}"


def _mapping(matrix: Matrix) -> Job:
    promises = frozenset(part_name(table, matrix) for table in OF_MATRICES if table not in OF_CONTROLS)
    return Job(f"map {matrix.name}", "maps", embed, (matrix,), frozenset([f"join {matrix.name}"]), promises)


def _controls(study: Study, task: str) -> Job:
    needs = frozenset(_reduces("geometry", block) for block in study.blocks if block.task == task)
    matrices = [Matrix(task, measure) for measure in study.analysis.activity_measures]
    promises = frozenset(part_name(table, matrix) for table in OF_CONTROLS for matrix in matrices)
    beyond = (f"arrays.zarr/controls/{task}/*",)
    return Job(f"control {task}", "controls", make_controls, (task,), needs, promises, beyond=beyond)


def _report(after: Job) -> Iterator[Job]:
    page = frozenset(["report/index.html"])
    yield Job("write the page", "report", write_page, (), _names([after]), page, beyond=("report/detail/*",))
    for number in range(FIGURE_JOBS):
        yield Job(
            f"draw figures ({number + 1} of {FIGURE_JOBS})",
            "report",
            draw_figures,
            (number,),
            _names([after]),
            # The first of its figures; all are entered in one call.
            frozenset([f"report/figures/fig{number + 1}.svg"]),
            beyond=("report/figures/*",),
        )


def training_flops(study: Study, block: Block) -> float:
    """Return the floating-point operations of a block's training."""
    members = study.blocks[block]
    return study.size(members[0]).flops * members[0].training.iterations * len(members)


def _tuning(shape: Shape) -> Job:
    return Job(f"tune {shape.name}", "tuning", tune, (shape,), frozenset(), frozenset([part_name("mappings", shape)]))


def _worth_tuning(flops: Mapping[Block, float]) -> list[Shape]:
    """Return the shapes with enough training to be worth tuning, from the operations of each block."""
    by_shape: dict[Shape, list[float]] = {}
    for block, of_block in flops.items():
        by_shape.setdefault(block.shape, []).append(of_block)
    return [shape for shape, of_blocks in by_shape.items() if sum(of_blocks) >= FLOPS_WORTH_TUNING]


def _names(*groups: list[Job]) -> frozenset[str]:
    return frozenset(job.name for jobs in groups for job in jobs)
