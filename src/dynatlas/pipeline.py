"""The main page: the jobs of a study in order, what is done, what is left, and who does it.

A job reads the atlas, computes, writes its files, and returns their entries. It may start when the jobs it needs are
done, and it is done when the entries that it promises stand in the manifest. So running again resumes, and a job that
was cut short is simply done again. Only this module knows Dask, and only the main process enters into the manifest.
"""

import multiprocessing
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from dynatlas import stages
from dynatlas.errors import DynatlasError, Interrupted
from dynatlas.progress import Quiet, RunProgress
from dynatlas.store import Atlas, Entry, part_name
from dynatlas.study import Block, Shape, Study

# One thread per worker, fixed before NumPy or XLA start: results then do not depend on the machine's core count
# (XLA splits its reductions by NPROC), and networks this small only lose by being shared between cores.
WORKER_ENVIRONMENT = {
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
TOPIC = "dynatlas-progress"
# Tuning compiles several programs, which takes a minute: less than this takes some ten minutes without it.
FLOPS_WORTH_TUNING = 2e13


class Job(NamedTuple):
    """One unit of work."""

    name: str
    stage: str
    compute: Callable[..., list[Entry]]  # (atlas path, *arguments, report) → entries
    arguments: tuple[Any, ...]
    needs: frozenset[str]  # names of jobs
    promises: frozenset[str]  # names of entries; the job may write more
    networks: int = 1  # units of work, for the progress display
    iterations: int = 1

    def is_done(self, atlas: Atlas) -> bool:
        """Whether everything it promises is in the manifest."""
        return self.promises <= atlas.entries.keys()


def jobs_of(study: Study) -> tuple[Job, ...]:
    """All jobs of a study, in an order in which they could be done."""
    tuning = {shape: _tuning(shape) for shape in study.shapes if _is_worth_tuning(study, shape)}
    tunes = {shape: frozenset([job.name]) for shape, job in tuning.items()}
    searching = [
        Job(
            f"search {configuration.name}",
            "search",
            stages.search,
            (configuration,),
            tunes.get(members[0].shape, frozenset()),
            frozenset(part_name(table, configuration) for table in ("samples", "sample_losses")),
            study.search.samples,
            members[0].training.iterations,
        )
        for configuration, members in study.configurations.items()
        if study.search
    ]
    chosen = {job.arguments[0]: job.name for job in searching}
    training: list[Job] = []
    dynamics: list[Job] = []
    # Longest first, so that no worker is left with a long block at the end.
    for block in sorted(study.blocks, key=lambda block: -training_flops(study, block)):
        members = study.blocks[block]
        searches = frozenset(chosen[member.configuration] for member in members if chosen)
        parts = [part_name(table, block) for table in ("networks", "losses")]
        training.append(
            Job(
                f"train {block.name}",
                "training",
                stages.train,
                (block,),
                searches | tunes.get(block.shape, frozenset()),
                frozenset([f"networks/{block.name}.safetensors", *parts]),
                len(members),
                members[0].training.iterations,
            )
        )
        dynamics.append(
            Job(
                f"find fixed points {block.name}",
                "fixed points",
                stages.dynamics,
                (block,),
                frozenset([training[-1].name]),
                frozenset(part_name(table, block) for table in ("searches", "fixed_points", "transitions")),
            )
        )
    geometry = [
        Job(
            f"compare geometry {task.kind}",
            "geometry",
            stages.geometry,
            (task.kind,),
            frozenset(job.name for job in training if job.arguments[0].task == task.kind),
            frozenset(f"arrays.zarr/distances/{task.kind}/{name}" for name in study.analysis.measures),
        )
        for task in study.tasks
    ]
    tables = Job(
        "join tables",
        "maps",
        stages.tables,
        (),
        frozenset(job.name for job in (*training, *dynamics)),
        frozenset(f"tables/{name}.parquet" for name in stages.joined_tables(study)),
    )
    maps = Job(
        "embed and test",
        "maps",
        stages.maps,
        (),
        frozenset([tables.name, *(job.name for job in geometry)]),
        frozenset(f"tables/{name}.parquet" for name in ("embeddings", "maps", "effects")),
    )
    report = [
        Job("write the page", "report", stages.page, (), frozenset([maps.name]), frozenset(["report/index.html"])),
        *(
            Job(
                f"draw the figures as {file_format}",
                "report",
                stages.figures,
                (file_format,),
                frozenset([maps.name]),
                # The first of them; all are entered at once.
                frozenset([f"report/figures/fig-effects.{file_format}"]),
            )
            for file_format in ("pdf", "png", "svg")
        ),
    ]
    return (*tuning.values(), *searching, *training, *dynamics, *geometry, tables, maps, *report)


def training_flops(study: Study, block: Block) -> float:
    """Floating-point operations of a block's training."""
    members = study.blocks[block]
    return study.size(members[0]).flops * members[0].training.iterations * len(members)


def _tuning(shape: Shape) -> Job:
    return Job(
        f"tune {shape.name}", "tuning", stages.tune, (shape,), frozenset(), frozenset([part_name("mappings", shape)])
    )


def _is_worth_tuning(study: Study, shape: Shape) -> bool:
    flops = sum(training_flops(study, block) for block in study.blocks if block.shape == shape)
    return flops >= FLOPS_WORTH_TUNING


def run(
    study: Study | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    progress: RunProgress | None = None,
    until: str | None = None,
) -> Atlas:
    """Carry out a study, or go on with one that was interrupted.

    Args:
        study: a ``Study``, or the path of a study file, or the name of a built-in study.
        out: the atlas folder; created if missing. If it holds the same study, only what is missing is done.
        workers: processes, each with one thread; by default one per core.
        progress: where to report; by default nowhere.
        until: the last stage to carry out, such as "search"; by default all.

    Returns:
        The finished atlas.

    Raises:
        StudyError, AtlasError, DifferentStudyError: see their messages.
        Interrupted: on Ctrl-C; what was finished is kept.

    A script that calls this must guard its entry point with ``if __name__ == "__main__":``, as the workers import it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise DynatlasError(
            "run() was called again while a worker imported your script; put the call under if __name__ == '__main__':"
        )
    if workers is not None and workers < 1:
        raise DynatlasError(f"workers is {workers}; expected at least 1")
    study = study if isinstance(study, Study) else Study.load(study)
    progress = progress or Quiet()
    atlas = Atlas.create(out, study)
    with atlas.lock():
        jobs = _until(jobs_of(atlas.study), until)
        todo = [job for job in jobs if not job.is_done(atlas)]
        if todo:
            if len(todo) < len(jobs):
                progress.note(f"resuming: {len(jobs) - len(todo)} of {len(jobs)} jobs are done")
            _carry_out(atlas, jobs, workers or available_cores(), progress)
    return atlas


def _until(jobs: tuple[Job, ...], stage: str | None) -> tuple[Job, ...]:
    """The jobs up to a stage."""
    if stage is None:
        return jobs
    last = max((place for place, job in enumerate(jobs) if job.stage == stage), default=None)
    if last is None:
        names = ", ".join(dict.fromkeys(job.stage for job in jobs))
        raise DynatlasError(f"this study has no stage {stage!r}; it has: {names}")
    return jobs[: last + 1]


def rebuild_report(atlas: Atlas) -> Atlas:
    """Write the figures and the page again from the stored tables."""
    with atlas.lock():
        for job in jobs_of(atlas.study):
            if job.stage == "report":
                atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
    return atlas


def available_cores() -> int:
    """The cores that this process may use; on a cluster fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _carry_out(atlas: Atlas, jobs: tuple[Job, ...], workers: int, progress: RunProgress) -> None:
    """Do every job that is not done, each as soon as what it needs is."""
    from distributed import as_completed

    by_name = {job.name: job for job in jobs}
    done = {job.name for job in jobs if job.is_done(atlas)}
    waiting = [job for job in jobs if job.name not in done]
    started = datetime.now(UTC)
    seconds: dict[str, float] = {}
    _show_stages(jobs, done, progress)
    with local_cluster(min(workers, len(waiting))) as client:
        client.subscribe_topic(TOPIC, lambda event: _show_training(event[1], by_name, progress))
        running = as_completed(loop=client.loop)
        try:
            submitted: dict[str, str] = {}

            def submit_ready() -> None:
                for job in [job for job in waiting if job.needs <= done]:
                    waiting.remove(job)
                    leftovers = job.promises & atlas.entries.keys()
                    if leftovers:  # after damage to its other files: made anew with them
                        atlas.discard(*leftovers)
                    future = client.submit(
                        _in_worker, job.name, job.compute, str(atlas.path), job.arguments, pure=False
                    )
                    submitted[future.key] = job.name
                    running.add(future)

            submit_ready()
            for future in running:
                job = by_name[submitted[future.key]]
                if future.status == "error":
                    error = future.exception()
                    if isinstance(error, DynatlasError):
                        raise error
                    raise DynatlasError(
                        f"the job {job.name!r} failed: {error!r}. What was finished is kept; run the same command "
                        "again to go on"
                    ) from error
                entries, elapsed = future.result()
                atlas.enter(*entries)
                done.add(job.name)
                seconds[job.name] = elapsed
                _show_stages(jobs, done, progress)
                if job.name == "embed and test":
                    # The report shows how the study was run, so this has to be there before it.
                    _record_run(atlas, jobs, started, seconds)
                submit_ready()
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: {len(done)} of {len(jobs)} jobs are done and kept; run the same command again to go on"
            ) from None
    _record_run(atlas, jobs, started, seconds)


def _in_worker(
    name: str, compute: Callable[..., list[Entry]], path: str, arguments: tuple[Any, ...]
) -> tuple[list[Entry], float]:
    """Run one job in a worker, telling the main process how it goes."""
    from distributed import get_worker

    worker = get_worker()
    begun = time.monotonic()

    def report(done: int, loss: float) -> None:
        worker.log_event(TOPIC, {"job": name, "done": done, "loss": loss})

    return compute(Path(path), *arguments, report), time.monotonic() - begun


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """Worker processes on this machine, one thread each."""
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
        "distributed.worker.daemon": True,
        "distributed.admin.large-graph-warning-threshold": "1GB",
        # A worker that computes does not answer; compiling can take long.
        "distributed.comm.timeouts.tcp": "10 minutes",
        "distributed.scheduler.allowed-failures": 3,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # any free port: several runs may share a machine
            memory_limit=0,
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _show_stages(jobs: tuple[Job, ...], done: set[str], progress: RunProgress) -> None:
    totals: dict[str, list[int]] = {}
    for job in jobs:
        counts = totals.setdefault(job.stage, [0, 0])
        counts[0] += job.networks if job.name in done else 0
        counts[1] += job.networks
    for stage, (finished, total) in totals.items():
        progress.stage(stage, finished, total)


def _show_training(event: Mapping[str, Any], jobs: Mapping[str, Job], progress: RunProgress) -> None:
    job = jobs[event["job"]]
    if job.stage == "training":
        progress.training(job.arguments[0].name, job.networks, event["done"], job.iterations, event["loss"])


def _record_run(atlas: Atlas, jobs: tuple[Job, ...], started: datetime, seconds: Mapping[str, float]) -> None:
    """Note in the provenance who ran this, when, where and with what."""
    by_stage: dict[str, float] = defaultdict(float)
    for job in jobs:
        by_stage[job.stage] += seconds.get(job.name, 0.0)
    packages = ("dynatlas", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "scikit-learn", "distributed")
    runs = [item for item in atlas.provenance.get("runs", []) if item["started"] != started.isoformat()]
    atlas.write_provenance(
        {
            "versions": {name: metadata.version(name) for name in packages} | {"python": platform.python_version()},
            "machine": {
                "system": platform.platform(),
                "processor": platform.machine(),
                "cores": os.cpu_count(),
            },
            "worker_environment": WORKER_ENVIRONMENT,
            "command": " ".join(["dynatlas", *sys.argv[1:]]) if sys.argv[0].endswith("dynatlas") else "dynatlas.run(…)",
            "runs": [
                *runs,
                {
                    "started": started.isoformat(),
                    "finished": datetime.now(UTC).isoformat(),
                    "worker_seconds": {stage: round(value, 1) for stage, value in by_stage.items()},
                    "job_seconds": {name: round(value, 1) for name, value in seconds.items()},
                },
            ],
        }
    )
