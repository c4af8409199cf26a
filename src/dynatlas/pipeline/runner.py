"""Run every job of a study whose dependencies are complete.

Running again resumes, and repeats interrupted jobs. Only ``workers`` knows Dask, and only the main process enters
results in the manifest.
"""

import queue
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynatlas._util.cores import available_cores
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.errors import DynatlasError, Interrupted, Stopped
from dynatlas.pipeline.installation import machine, versions
from dynatlas.pipeline.jobs import Job, jobs_of, leftovers
from dynatlas.pipeline.pending import Pending
from dynatlas.pipeline.progress import LOG, Quiet, RunProgress
from dynatlas.pipeline.reuse import reuse as copy_reusable
from dynatlas.pipeline.status import StatusFile
from dynatlas.pipeline.workers.cluster import (
    WORKER_ENVIRONMENT,
    Cluster,
    has_workers,
    is_worker_killed,
    local_cluster,
    prepare_workers,
    request_stop,
    running_scheduler,
    slurm_cluster,
    submit,
    take_back_requests,
    terms_for,
)
from dynatlas.pipeline.workers.interruption import GRACE, Caught, caught_signals
from dynatlas.pipeline.workers.slurm import Slurm
from dynatlas.study.plugin_records import FOLDER
from dynatlas.study.plugins import Code
from dynatlas.study.study import Study

if TYPE_CHECKING:
    from dynatlas.pipeline.workers import Future
    from dynatlas.pipeline.workers.worker import Terms

# Seconds between checks for signals and writes of the progress file.
TICK = 0.5
# Seconds without the end of a job before checking that a worker is connected.
LOOK = 60.0
# The stages whose jobs answer a request to stop; jobs of others are abandoned, and repeated by the next run.
STOPPABLE = frozenset(["search", "training"])


def run(
    study: Study | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: Slurm | None = None,
    progress: RunProgress | None = None,
    until: str | None = None,
    reuse: str | Path | None = None,
) -> Atlas:
    """Run a study, or resume an interrupted run.

    Args:
        study: a ``Study``, or the path of a study file, or the name of a built-in study.
        out: the atlas folder, created if missing. If it holds the same study, only missing results are computed.
        workers: processes on this machine, each with one thread; by default one per core.
        scheduler: the address of a Dask scheduler whose workers run the jobs instead.
        slurm: the SLURM jobs whose workers run the jobs instead.
        progress: receiver of reports; by default none.
        until: the last stage to run, such as "search"; by default all.
        reuse: another atlas, from which is copied what this study would compute the same: networks, and what was found
            in each of them.

    Returns:
        The finished atlas.

    Raises:
        StudyError, PluginError, AtlasError, DifferentStudyError: see their messages.
        Interrupted, Stopped: on Ctrl-C; on SIGTERM or SIGUSR1. Finished jobs are kept.
    """
    if workers is not None and workers < 1:
        raise DynatlasError(f"workers is {workers}; expected at least 1")
    if sum(choice is not None for choice in (workers, scheduler, slurm)) > 1:
        raise DynatlasError("give one of workers, scheduler and slurm: they say where the jobs run")
    study = study if isinstance(study, Study) else Study.load(study)
    code = study.foreign_code()
    progress = progress or Quiet()
    atlas = Atlas.create(out, study)
    with atlas.lock():
        _keep_code(atlas, code)
        if reuse is not None:
            copy_reusable(atlas, Atlas.open(reuse))
        jobs = _until(jobs_of(atlas.study), until)
        entries = atlas.entries
        todo = [job for job in jobs if not job.is_done(entries)]
        if todo:
            status = StatusFile(atlas, progress)
            if len(todo) < len(jobs):
                status.note(f"resuming: {len(jobs) - len(todo)} of {len(jobs)} jobs are done")
            if scheduler is not None:
                where = running_scheduler(scheduler)
            elif slurm is not None:
                where = slurm_cluster(slurm, atlas.path)
            else:
                where = local_cluster(min(workers or available_cores(), len(todo)))
            _carry_out(atlas, jobs, where, status, code)
    return atlas


def _until(jobs: tuple[Job, ...], stage: str | None) -> tuple[Job, ...]:
    """Return the jobs up to a stage."""
    if stage is None:
        return jobs
    last = max((place for place, job in enumerate(jobs) if job.stage == stage), default=None)
    if last is None:
        names = ", ".join(dict.fromkeys(job.stage for job in jobs))
        raise DynatlasError(f"this study has no stage {stage!r}; it has: {names}")
    return jobs[: last + 1]


def rebuild_report(atlas: Atlas) -> Atlas:
    """Rewrite the figures and the page from the stored tables."""
    with atlas.lock():
        for job in jobs_of(atlas.study):
            if job.stage == "report":
                atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
    return atlas


def _keep_code(atlas: Atlas, code: Sequence[Code]) -> None:
    """Copy the study's plug-in files into the atlas, as a record and so that a run can resume from it."""
    for one in code:
        name = f"{FOLDER}/{one.origin.name}"
        if one.origin.is_file and not atlas.has(name):
            atlas.enter(atlas.write_plugin(name, one.source))


def _carry_out(
    atlas: Atlas,
    jobs: tuple[Job, ...],
    where: AbstractContextManager[Cluster],
    status: StatusFile,
    code: Sequence[Code],
) -> None:
    """Run the pending jobs and record how the run ended."""
    try:
        with caught_signals() as caught, atlas.token() as token, where as cluster:
            run = _Run(atlas, jobs, cluster, terms_for(str(atlas.path), *token, code), status, caught)
            run.go()
    except (Interrupted, Stopped):
        status.close("stopped")
        raise
    except BaseException:
        status.close("failed")
        raise
    status.close("finished")


class _Run:
    """State of one run: pending, submitted and finished jobs."""

    def __init__(
        self, atlas: Atlas, jobs: tuple[Job, ...], cluster: Cluster, terms: "Terms", status: StatusFile, caught: Caught
    ):
        self.atlas, self.jobs, self.cluster, self.client = atlas, jobs, cluster, cluster.client
        self.terms, self.status, self.caught = terms, status, caught
        self.by_name = {job.name: job for job in jobs}
        entries = atlas.entries
        self.done = {job.name for job in jobs if job.is_done(entries)}
        needs = _open_needs(jobs, self.done)
        self.pending = Pending({job.name: needs[job.name] for job in jobs if job.name not in self.done})
        self.units = _units(jobs, self.done)
        self.submitted: dict[object, tuple[Job, Future]] = {}  # key → (job, future)
        self.ended: queue.SimpleQueue[Future] = queue.SimpleQueue()  # futures
        self.started = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self.workers: dict[str, str] = {}  # job → the worker that last began it
        self.topic = f"dynatlas-{terms.content}"  # unique: other runs may share the scheduler

    def go(self) -> None:
        """Run until all jobs are done or a signal arrives."""
        self._show()
        self.status.write()  # from now on ``dynatlas status`` says that the study is running
        self.client.subscribe_topic(self.topic, lambda event: self._hear(event[1]))
        prepare_workers(self.cluster, self.terms, self.status.note, self._stopping)
        self.atlas.discard(*leftovers(self.jobs, self.atlas.entries))  # a worker may not write to the manifest
        self._submit_ready()
        looked = time.monotonic()
        while self.submitted and not self.caught.received:
            if ended := list(self._ends()):
                self._take(ended)
                looked = time.monotonic()
            self.status.write()
            self.cluster.check()
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                if not has_workers(self.client):
                    self.status.note("no worker is left; waiting for one")
        if self.caught.received and (self.submitted or self.pending):
            self._stop(self.caught.received)
        _record_run(self.atlas, self.jobs, self.started, self.seconds)

    def _stopping(self) -> bool:
        self.status.write()
        return self.caught.received is not None

    def _submit_ready(self) -> None:
        while name := self.pending.start():
            self._submit(self.by_name[name])

    def _submit(self, job: Job) -> None:
        future = submit(self.client, job.name, job.compute, job.arguments, self.terms, self.topic)
        self.submitted[future.key] = job, future
        future.add_done_callback(self.ended.put)

    def _ends(self) -> Iterator["Future"]:
        """Wait briefly for a job to end; yield all that have ended."""
        try:
            yield self.ended.get(timeout=TICK)
            while True:
                yield self.ended.get_nowait()
        except queue.Empty:
            return

    def _take(self, ended: "list[Future]") -> None:
        """Enter the results of ended jobs and submit the jobs that waited for them."""
        taken = [(self.submitted.pop(future.key)[0], future) for future in ended]
        finished = [(job, future) for job, future in taken if future.status not in ("cancelled", "error")]
        self._keep(finished)
        self._show()
        for job, future in taken:
            if future.status in ("cancelled", "error"):
                self._do_again(job, future)
        for job, _ in finished:
            if job.name == "sum up":
                # The report shows the provenance, so it must be written first.
                _record_run(self.atlas, self.jobs, self.started, self.seconds)
            self.pending.end(job.name)
        self._submit_ready()

    def _keep(self, finished: list[tuple[Job, "Future"]]) -> None:
        """Enter the results of jobs in one call, since each call waits for the disk."""
        results: list[tuple[Job, list[Entry]]] = []
        try:
            for job, future in finished:
                entries, self.seconds[job.name] = future.result()
                results.append((job, entries))
        finally:  # also if a later result was lost in transfer
            self.atlas.enter(*(entry for _, entries in results for entry in entries))
            for job, _ in results:
                self.done.add(job.name)
                self.units[job.stage][0] += job.networks
                LOG.info("%s: done in %.1f s", job.name, self.seconds[job.name])

    def _do_again(self, job: Job, future: "Future") -> None:
        """Resubmit a job whose worker had to leave; any other failure ends the run."""
        if future.status == "cancelled":
            raise DynatlasError(
                "the connection to the scheduler is lost. What was finished is kept; run again to resume, when there "
                "is a scheduler again"
            )
        error = future.exception()
        if not isinstance(error, Stopped):
            raise _failure(job, error) from (None if isinstance(error, DynatlasError) else error)
        LOG.warning("%s: its worker has to go; another one will do it", job.name)
        take_back_requests(self.client)
        self._submit(job)

    def _stop(self, received: signal.Signals) -> None:
        """Have checkpoints saved, enter jobs that end meanwhile, and raise the reason."""
        self.status.note(f"{received.name}: saving what is running")
        begun = request_stop(self.client, set(self.submitted))
        deadline = time.monotonic() + GRACE
        answering = {key for key in begun if self.submitted[key][0].stage in STOPPABLE}
        while answering & self.submitted.keys() and time.monotonic() < deadline:
            ended = [(self.submitted.pop(each.key)[0], each) for each in self._ends() if each.key in self.submitted]
            self._keep([(job, future) for job, future in ended if future.status == "finished"])
        kept = (
            f"{len(self.done)} of {len(self.jobs)} jobs are done and kept, and checkpoints of those that were "
            "training; run the same command again to resume"
        )
        if received == signal.SIGINT:
            raise Interrupted(f"interrupted: {kept}")
        raise Stopped(f"stopped by {received.name}: {kept}")

    def _show(self) -> None:
        for stage, (finished, total) in self.units.items():
            self.status.stage(stage, finished, total)

    def _hear(self, event: Mapping[str, Any]) -> None:
        """Handle a job's event: its begin or its progress."""
        job = self.by_name[event["job"]]
        if "begun_by" in event:
            again = f" again (before by worker {self.workers[job.name]})" if job.name in self.workers else ""
            self.workers[job.name] = event["begun_by"]
            LOG.info("%s: begun%s by worker %s", job.name, again, event["begun_by"])
        elif job.stage == "training":
            block = job.arguments[0].name
            self.status.training(block, job.networks, event["done"], job.iterations, event["loss"])


def _units(jobs: tuple[Job, ...], done: Set[str]) -> dict[str, list[int]]:
    """Count the units of work of every stage: stage → [done, total]."""
    units: dict[str, list[int]] = {}
    for job in jobs:
        counts = units.setdefault(job.stage, [0, 0])
        counts[0] += job.networks if job.name in done else 0
        counts[1] += job.networks
    return units


def _open_needs(jobs: tuple[Job, ...], done: Set[str]) -> dict[str, frozenset[str]]:
    """Return the pending transitive dependencies of each job.

    After damage a finished job may depend on a pending one. ``jobs`` are in topological order.
    """
    needs: dict[str, frozenset[str]] = {}
    for job in jobs:
        needs[job.name] = frozenset().union(*(needs[need] if need in done else {need} for need in job.needs))
    return needs


def _failure(job: Job, error: BaseException) -> DynatlasError:
    """Return the error to raise for a failed job."""
    if isinstance(error, DynatlasError):
        return error
    how_to_resume = "What was finished is kept; run the same command again to resume"
    if is_worker_killed(error):
        return DynatlasError(
            f"the job {job.name!r} has had its worker killed again and again; most often there was too little memory, "
            f"or the time of a batch job was over. {how_to_resume}"
        )
    what = f"{error}" if isinstance(error, OSError) and error.strerror else f"{error!r}"
    return DynatlasError(f"the job {job.name!r} failed: {what}. {how_to_resume}")


def _record_run(atlas: Atlas, jobs: tuple[Job, ...], started: datetime, seconds: Mapping[str, float]) -> None:
    """Record versions, machine, command and times in the provenance."""
    by_stage: dict[str, float] = defaultdict(float)
    for job in jobs:
        by_stage[job.stage] += seconds.get(job.name, 0.0)
    before = atlas.provenance.get("runs", [])
    runs = [
        item
        for item in (before if isinstance(before, list) else [])
        if isinstance(item, dict) and item.get("started") != started.isoformat()
    ]
    atlas.write_provenance(
        {
            "versions": versions(),
            "machine": machine(),
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
