"""Clusters: processes on this machine, the workers of a running scheduler, or SLURM jobs.

Each is a context manager that yields a ``Cluster``. All have one thread per worker, replace a worker that
dies and repeat its job, and give up a job that keeps killing its worker.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from dynatlas._io.atomic import temporary_beside
from dynatlas.errors import DynatlasError
from dynatlas.pipeline.workers import interruption, local
from dynatlas.pipeline.workers.slurm import Slurm
from dynatlas.study.plugins import Code

if TYPE_CHECKING:
    from distributed import Client, Future

    from dynatlas.pipeline.workers.worker import Terms


# One thread per worker, set before NumPy or XLA start: results then do not depend on the number of cores (XLA splits
# its reductions by NPROC), and networks this small run slower when cores share them.
WORKER_ENVIRONMENT = {
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

# Deaths of a job's workers after which the job counts as their cause.
DEATHS_ALLOWED = 5
# Seconds between checks for SLURM jobs that have ended. A worker restarts in less.
REPLACEMENT_INTERVAL = 30.0
ANSWER_TIMEOUT = 10.0  # seconds to wait for a scheduler's answer
PATIENCE = 120.0  # seconds to wait for the answers of all workers, which may be importing

_SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "1GB",
    # A worker does not answer while it computes, and compiling can take minutes.
    "distributed.comm.timeouts.tcp": "10 minutes",
    "distributed.scheduler.allowed-failures": DEATHS_ALLOWED - 1,
    # Jobs are long: an adaptive cluster should have a worker for each pending one.
    "distributed.scheduler.unknown-task-duration": "1 hour",
}


class Cluster(NamedTuple):
    """Workers to run jobs on."""

    client: "Client"
    check: Callable[[], None] = lambda: None  # raises if there can be no worker any more
    starts_workers: bool = False  # within seconds, so that waiting for the first one is no news


@contextmanager
def local_cluster(workers: int) -> Iterator[Cluster]:
    """Start worker processes on this machine, one thread each.

    Raises:
        DynatlasError: the scheduler cannot be started.
    """
    with local.started_workers(workers, WORKER_ENVIRONMENT, _SETTINGS) as (client, check):
        yield Cluster(client, check, starts_workers=True)


@contextmanager
def running_scheduler(address: str) -> Iterator[Cluster]:
    """Connect to a running scheduler as its user has set it up; it and its workers outlive the run.

    Raises:
        DynatlasError: no scheduler answers at the address.
    """
    import dask
    from distributed import Client

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        try:
            client = Client(address, timeout=ANSWER_TIMEOUT)
        except (OSError, ValueError, TypeError) as error:
            raise DynatlasError(
                f"no scheduler answers at {address!r}: {error}. Expected the address that `dask scheduler` prints, "
                "such as tcp://host:8786"
            ) from None
        with client:
            yield Cluster(client)


@contextmanager
def slurm_cluster(slurm: Slurm, folder: Path) -> Iterator[Cluster]:
    """Submit SLURM jobs with workers, and replace jobs whose walltime ends before the run does.

    They talk over TLS with a key that is made for the run, in files of ``folder`` that only the user can read.

    Args:
        slurm: the jobs.
        folder: a folder that the nodes share.
    """
    import dask
    from distributed import Client

    SLURMCluster = _dask_jobqueue().SLURMCluster  # the name of a class
    # Without a dashboard distributed still opens a port, which answers nothing.
    options = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    options |= {"interface": slurm.interface} if slurm.interface else {}
    with temporary_beside(folder / "keys") as keys:
        keys.mkdir(mode=0o700)
        with (
            dask.config.set(_SETTINGS | local.NO_PAGES),
            SLURMCluster(
                scheduler_options=options,
                security=local.security_in_files(keys),
                **slurm.job_arguments(WORKER_ENVIRONMENT),
            ) as cluster,
            Client(cluster) as client,
            _slurm_workers(slurm, cluster, client),
        ):
            yield Cluster(client)


@contextmanager
def _slurm_workers(slurm: Slurm, cluster: Any, client: "Client") -> Iterator[None]:
    if slurm.gpus > 1:
        from dynatlas.pipeline.workers.worker import OneGPU

        client.register_plugin(OneGPU())  # before the first worker starts
    if slurm.adaptive:
        cluster.adapt(minimum_jobs=slurm.adaptive.minimum, maximum_jobs=slurm.adaptive.maximum)
    else:
        cluster.scale(jobs=slurm.jobs)
    with _every(REPLACEMENT_INTERVAL, partial(_replace_ended_jobs, cluster, slurm, set())):
        yield


def count_workers(client: "Client") -> int:
    """Return the number of connected workers.

    Raises:
        DynatlasError: there is none.
    """
    count = len(_addresses(client))
    if not count:
        raise DynatlasError(f"the scheduler at {client.scheduler.address} has no worker; start one, and try again")
    return count


def job_script(slurm: Slurm) -> str:
    """Return the script submitted for each job, with placeholders for the scheduler's address and the job's name."""
    job = _dask_jobqueue().slurm.SLURMJob(
        "tcp://SCHEDULER:PORT", name="NAME", **slurm.job_arguments(WORKER_ENVIRONMENT)
    )
    return job.job_script()


def terms_for(folder: str, token: str, content: str, code: Sequence[Code] = ()) -> "Terms":
    """Return the conditions that workers must meet, and the plug-in code that they need."""
    from dynatlas.pipeline.workers import worker

    return worker.Terms(folder, token, content, worker.versions(), WORKER_ENVIRONMENT, tuple(code))


def prepare_workers(
    cluster: Cluster, terms: "Terms", note: Callable[[str], None], stopping: Callable[[], bool] = lambda: False
) -> None:
    """Wait for the first worker and for jobs of an earlier run to end; refuse unsuitable workers.

    Raises:
        DynatlasError: a worker has other versions, or cannot see the atlas.
    """
    from dynatlas.pipeline.workers import worker

    client = cluster.client
    if not _addresses(client):
        if not cluster.starts_workers:
            note(f"no worker is there yet; waiting for one at {client.scheduler.address}")
        while not _addresses(client):
            cluster.check()
            if stopping():
                return
            time.sleep(0.1 if cluster.starts_workers else 0.5)
    answers = _ask(client, worker.examine, terms, on_error="return", stopping=stopping)
    for address, oddities in answers.items():  # who does not answer is checked before each job
        if isinstance(oddities, DynatlasError):
            raise oddities
        if isinstance(oddities, OSError):  # the worker left; each job checks again before it begins
            continue
        if isinstance(oddities, Exception):
            raise DynatlasError(
                f"the worker {address} cannot run dynatlas: {oddities!r}. Install the same versions there as here"
            )
        for oddity in oddities:
            note(f"results may differ in the last bits: the worker {address} has {oddity}")
    client.register_plugin(worker.Departure())
    busy = _busy(client, terms.folder)
    if busy:
        names = sorted(name for names in busy.values() for name in names)
        note(f"waiting for {', '.join(names)}, still at work for an earlier run")
        _ask(client, interruption.request_stop, workers=list(busy), on_error="ignore", stopping=stopping)
        while _busy(client, terms.folder) and not stopping():
            time.sleep(0.5)
    take_back_requests(client)


def has_workers(client: "Client") -> bool:
    """Whether a worker is connected."""
    return bool(_addresses(client))


def submit(
    client: "Client", name: str, compute: Callable[..., Any], arguments: tuple[Any, ...], terms: "Terms", topic: str
) -> "Future":
    """Submit a job; the future's result is (entries, seconds). The job reports its progress under ``topic``."""
    from dynatlas.pipeline.workers import worker

    return client.submit(worker.run_job, name, compute, arguments, terms, topic, pure=False)


def request_stop(client: "Client", keys: Set[object], timeout: float = 5.0) -> Set[object]:
    """Ask the jobs with these keys to stop; pending ones never begin. Return those that may be running."""
    running = set(keys)

    def ask() -> None:
        processing = {address: keys & set(theirs) for address, theirs in client.processing().items()}
        running.intersection_update(set().union(*processing.values()))
        workers = [address for address, ours in processing.items() if ours]
        client.run(interruption.request_stop, workers=workers, on_error="ignore")

    _within(timeout, ask)
    return frozenset(running)


def take_back_requests(client: "Client") -> None:
    """Clear the stop flag in workers that are reused."""
    _ask(client, interruption.clear, on_error="ignore", seconds=ANSWER_TIMEOUT)


def is_worker_killed(error: BaseException) -> bool:
    """Whether a job failed because its worker died repeatedly."""
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker)


def _busy(client: "Client", folder: str) -> dict[str, list[str]]:
    from dynatlas.pipeline.workers import worker

    answers = _ask(client, worker.jobs_at_work, folder, on_error="ignore")
    return {address: names for address, names in answers.items() if names}


def _ask(
    client: "Client",
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float = PATIENCE,
    stopping: Callable[[], bool] = lambda: False,
    **options: Any,
) -> dict[str, Any]:
    """Call a function in the workers and return its answers by address; none if one of them does not answer in time."""
    answers: dict[str, Any] = {}
    _within(seconds, lambda: answers.update(client.run(function, *arguments, **options)), stopping)
    return dict(answers)


def _within(seconds: float, act: Callable[[], None], stopping: Callable[[], bool] = lambda: False) -> None:
    """Wait at most so long for ``act``: a worker or scheduler in trouble may take minutes to answer."""
    failures: list[Exception] = []

    def guarded() -> None:
        try:
            act()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    end = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < end and not stopping():
        thread.join(min(0.5, seconds))
    if failures and not isinstance(failures[0], OSError | TimeoutError):
        raise failures[0]


def _addresses(client: "Client") -> list[str]:
    return list(client.scheduler_info(n_workers=-1)["workers"])


def _dask_jobqueue() -> ModuleType:
    try:
        import dask_jobqueue
    except ImportError:
        raise DynatlasError(
            "SLURM needs dask-jobqueue, which is not installed; install dynatlas with its extra: "
            "pip install 'dynatlas[slurm]'"
        ) from None
    import dask_jobqueue.slurm

    return dask_jobqueue


def _replace_ended_jobs(cluster: Any, slurm: Slurm, seen: set[str]) -> None:
    """Replace SLURM jobs that had workers and have none now because their walltime is over."""

    async def replace() -> None:
        names = {str(worker.name) for worker in cluster.scheduler.workers.values()}
        for job in list(cluster.workers):
            group = {job, *(f"{job}-{number}" for number in range(slurm.worker_processes))}
            if group & names:
                seen.add(job)
            elif job in seen:
                seen.remove(job)  # a new job may reuse the name
                with suppress(Exception):  # it has ended: there is nothing to cancel
                    await cluster.workers[job].close()
                cluster.workers.pop(job, None)
                cluster.worker_spec.pop(job, None)
        if not slurm.adaptive:
            cluster.scale(jobs=slurm.jobs)

    cluster.sync(replace)


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` at an interval, in a thread."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
