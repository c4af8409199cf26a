"""Where jobs run: processes on this machine, the workers of a running scheduler, or jobs of SLURM.

Each is a context manager that gives a ``distributed.Client``. What they promise alike: one thread per worker, a worker
that dies is replaced and its job done again, and a job that keeps killing its worker is given up.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dynatlas.errors import DynatlasError
from dynatlas.pipeline.workers import interruption
from dynatlas.pipeline.workers.slurm import Slurm
from dynatlas.study.plugins import Code

if TYPE_CHECKING:
    from dynatlas.pipeline.workers.worker import Terms


# One thread per worker, fixed before NumPy or XLA start: results then do not depend on the machine's core count
# (XLA splits its reductions by NPROC), and networks this small only lose by being shared between cores.
WORKER_ENVIRONMENT = {
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


# A job whose workers died this often is taken to be the cause.
DEATHS_ALLOWED = 5


# Seconds between looks for SLURM jobs that have ended; a worker that restarts is away for less.
REPLACEMENT_INTERVAL = 30.0


ANSWER_TIMEOUT = 10.0  # seconds that a scheduler has to answer


_SETTINGS = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.worker.daemon": True,
    "distributed.admin.large-graph-warning-threshold": "1GB",
    # A worker that computes does not answer; compiling can take long.
    "distributed.comm.timeouts.tcp": "10 minutes",
    "distributed.scheduler.allowed-failures": DEATHS_ALLOWED - 1,
    # Jobs take long: an adaptive cluster should have a worker for each that waits.
    "distributed.scheduler.unknown-task-duration": "1 hour",
}


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """Worker processes on this machine, one thread each."""
    import dask
    from distributed import Client, LocalCluster

    with (
        TemporaryDirectory(prefix="dynatlas-compiled-") as compiled,
        dask.config.set(_SETTINGS),
        dask.config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT | _sharing(compiled)}),
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


def _sharing(folder: str) -> dict[str, str]:
    """What makes workers share their compiled programs, which are most of the work on small networks.

    Not kept beyond a run, nor shared between machines: they fit one processor and one version of everything.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # the user has a place for them
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }


@contextmanager
def running_scheduler(address: str) -> Iterator[Any]:
    """The workers of a scheduler that runs already; it and they outlive the run.

    Raises:
        DynatlasError: none answers there.
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
            yield client


@contextmanager
def slurm_cluster(slurm: Slurm) -> Iterator[Any]:
    """Workers in SLURM jobs, submitted now, and again when their time is over and the run's is not."""
    import dask
    from distributed import Client

    SLURMCluster = _dask_jobqueue().SLURMCluster  # the name of a class
    options = {"dashboard_address": ":0"} | ({"interface": slurm.interface} if slurm.interface else {})
    with (
        dask.config.set(_SETTINGS),
        SLURMCluster(scheduler_options=options, **slurm.job_arguments(WORKER_ENVIRONMENT)) as cluster,
        Client(cluster) as client,
    ):
        if slurm.gpus > 1:
            from dynatlas.pipeline.workers.worker import OneGPU

            client.register_plugin(OneGPU())  # before there is a worker
        if slurm.adaptive:
            cluster.adapt(minimum_jobs=slurm.adaptive.minimum, maximum_jobs=slurm.adaptive.maximum)
        else:
            cluster.scale(jobs=slurm.jobs)
        with _every(REPLACEMENT_INTERVAL, partial(_replace_ended_jobs, cluster, slurm, set())):
            yield client


def count_workers(client: Any) -> int:
    """How many workers are there now.

    Raises:
        DynatlasError: none.
    """
    count = len(_addresses(client))
    if not count:
        raise DynatlasError(f"the scheduler at {client.scheduler.address} has no worker; start one, and try again")
    return count


def job_script(slurm: Slurm) -> str:
    """What would be given to sbatch for each job; the scheduler's address is not known before a run."""
    job = _dask_jobqueue().slurm.SLURMJob(
        "tcp://SCHEDULER:PORT", name="NAME", **slurm.job_arguments(WORKER_ENVIRONMENT)
    )
    return job.job_script()


def terms_for(folder: str, token: str, content: str, code: Sequence[Code] = ()) -> "Terms":
    """What the workers of a run must find, and the foreign code that they need for it."""
    from dynatlas.pipeline.workers import worker

    return worker.Terms(folder, token, content, worker.versions(), WORKER_ENVIRONMENT, tuple(code))


def prepare_workers(
    client: Any, terms: "Terms", note: Callable[[str], None], stopping: Callable[[], bool] = lambda: False
) -> None:
    """Wait for the first worker, and for jobs of an earlier run to leave; refuse workers that are not fit.

    Raises:
        DynatlasError: a worker has other versions, or cannot see the atlas.
    """
    from dynatlas.pipeline.workers import worker

    if not _addresses(client):
        note(f"no worker is there yet; waiting for one at {client.scheduler.address}")
        while not _addresses(client):
            if stopping():
                return
            time.sleep(0.5)
    for address, oddities in client.run(worker.examine, terms, on_error="return").items():
        if isinstance(oddities, DynatlasError):
            raise oddities
        if isinstance(oddities, OSError):  # it left meanwhile; jobs look again before they begin
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
        client.run(interruption.request_stop, workers=list(busy), on_error="ignore")
        while _busy(client, terms.folder) and not stopping():
            time.sleep(0.5)
    take_back_requests(client)


def has_workers(client: Any) -> bool:
    """Whether there is a worker now."""
    return bool(_addresses(client))


def submit(
    client: Any, name: str, compute: Callable[..., Any], arguments: tuple[Any, ...], terms: "Terms", topic: str
) -> Any:
    """Have a job done; the future's result is (what it gave, seconds). Its reports come under ``topic``."""
    from dynatlas.pipeline.workers import worker

    return client.submit(worker.run_job, name, compute, arguments, terms, topic, pure=False)


def request_stop(client: Any, keys: Set[str], timeout: float = 5.0) -> Set[str]:
    """Ask the jobs with these keys to stop: those not begun never will. Give those that may be running."""
    running = set(keys)

    def ask() -> None:
        processing = {address: keys & set(theirs) for address, theirs in client.processing().items()}
        running.intersection_update(set().union(*processing.values()))
        workers = [address for address, ours in processing.items() if ours]
        client.run(interruption.request_stop, workers=workers, on_error="ignore")

    # In a thread, as there is little time, and a worker or a scheduler in trouble may take minutes to answer.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout)
    return frozenset(running)


def take_back_requests(client: Any) -> None:
    """Let jobs run again in workers that were asked to stop and live on."""
    client.run(interruption.clear, on_error="ignore")


def is_worker_killed(error: BaseException) -> bool:
    """Whether a job failed because its worker died under it, again and again."""
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker)


def _busy(client: Any, folder: str) -> dict[str, list[str]]:
    from dynatlas.pipeline.workers import worker

    answers = client.run(worker.jobs_at_work, folder, on_error="ignore")
    return {address: names for address, names in answers.items() if names}


def _addresses(client: Any) -> list[str]:
    return list(client.scheduler_info(n_workers=-1)["workers"])


def _dask_jobqueue() -> Any:
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
    """Forget SLURM jobs that had workers and have none now, as their time was over, and ask for new ones."""

    async def replace() -> None:
        names = {str(worker.name) for worker in cluster.scheduler.workers.values()}
        for job in list(cluster.workers):
            group = {job, *(f"{job}-{number}" for number in range(slurm.worker_processes))}
            if group & names:
                seen.add(job)
            elif job in seen:
                seen.remove(job)  # a new one may have the name again
                with suppress(Exception):  # it has ended: there is nothing to cancel
                    await cluster.workers[job].close()
                cluster.workers.pop(job, None)
                cluster.worker_spec.pop(job, None)
        if not slurm.adaptive:
            cluster.scale(jobs=slurm.jobs)

    cluster.sync(replace)


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again in a thread of its own."""
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
