"""The worker's side: check that it suits the run, run jobs, and leave with a checkpoint."""

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Worker, WorkerPlugin, get_worker
from distributed.core import Status

from dynatlas.errors import DynatlasError, PluginError, Stopped
from dynatlas.pipeline.workers import interruption
from dynatlas.study.plugins import Code, provide

# Packages whose versions must agree: numbers depend on them.
PACKAGES = ("dynatlas", "jax", "jaxlib")
_running: set[tuple[str, str]] = set()  # (atlas folder, job) in this process, possibly of a run that has died


class Terms(NamedTuple):
    """Conditions that a worker must meet before it runs jobs."""

    folder: str  # the atlas
    token: str  # a file in it …
    content: str  # … and what the main process wrote there
    versions: Mapping[str, str]
    environment: Mapping[str, str]
    code: tuple[Code, ...] = ()  # plug-ins of the study, imported before its jobs


@cache
def versions() -> dict[str, str]:
    """Return this process's versions of ``PACKAGES``."""
    return {name: metadata.version(name) for name in PACKAGES}


def check(terms: Terms) -> None:
    """Check that versions and atlas folder are those of the main process, and import the study's plug-ins.

    The plug-ins' bytes come from the main process, never from the copies in the atlas.

    Raises:
        DynatlasError: something differs; the message says what to do.
    """
    here = f"the worker on {platform.node()}"
    for name, wanted in terms.versions.items():
        if versions()[name] != wanted:
            raise DynatlasError(
                f"{here} has {name} {versions()[name]}, and the main process has {wanted}; install the same in both"
            )
    try:
        content = (Path(terms.folder) / terms.token).read_text()
    except OSError as error:
        content, reason = "", f": {error.strerror}"
    else:
        reason = ": another folder has that path there"
    if content != terms.content:
        raise DynatlasError(
            f"{here} cannot see the atlas folder {terms.folder}{reason}. Put the atlas on a filesystem that the main "
            "process and all workers share under the same path"
        )
    try:
        provide(terms.code)
    except PluginError as error:
        raise PluginError(f"{here}: {error}") from None


def examine(terms: Terms, dask_worker: Any) -> list[str]:
    """Check this worker, which Dask passes; return what may change last bits."""
    check(terms)
    oddities = []
    threads = dask_worker.state.nthreads
    if threads > 1:
        oddities.append(f"{threads} threads (expected --nthreads 1)")
    lacking = [
        f"{name}={value}"
        for name, value in terms.environment.items()
        if value not in os.environ.get(name, "").split()  # XLA_FLAGS may hold more
    ]
    if lacking:
        oddities.append(f"not {' '.join(lacking)} in its environment")
    return oddities


def jobs_at_work(folder: str) -> list[str]:
    """Return the jobs of an atlas that run in this process now."""
    return [name for atlas, name in _running if atlas == folder]


def run_job(
    name: str, compute: Callable[..., Any], arguments: tuple[Any, ...], terms: Terms, topic: str
) -> tuple[Any, float]:
    """Run one job and report its progress to the main process; return its entries and the seconds taken."""
    if interruption.stop_requested():  # queued at a worker that was told to stop
        raise Stopped(f"{name} was not begun")
    check(terms)
    worker = get_worker()
    begun = time.monotonic()

    def report(done: int, loss: float) -> None:
        worker.log_event(topic, {"job": name, "done": done, "loss": loss})

    worker.log_event(topic, {"job": name, "begun_by": f"{worker.name} on {platform.node()}"})
    with _noted(terms.folder, name):
        return compute(Path(terms.folder), *arguments, report), time.monotonic() - begun


@contextmanager
def _noted(folder: str, name: str) -> Iterator[None]:
    _running.add((folder, name))
    try:
        yield
    finally:
        _running.discard((folder, name))


class Departure(WorkerPlugin):
    """Ask the running job for a checkpoint when its worker is told to leave."""

    name = "dynatlas-departure"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Treat signals as requests: a batch system, or Ctrl-C, sends them to every process at once.

        Only under a nanny, which kills a process that does not end; without one, `dask worker` has its own handlers.
        """
        if worker.nanny and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, lambda *_: interruption.request_stop())
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides

    def teardown(self, worker: Worker) -> None:
        """Request a checkpoint if the worker closes; it waits a while for its job."""
        if worker.status in (Status.closing, Status.closing_gracefully):
            interruption.request_stop()


class OneGPU(WorkerPlugin):
    """Assign one GPU to each process of a SLURM job."""

    name = "dynatlas-one-gpu"
    idempotent = True

    def setup(self, worker: Any) -> None:
        """Hide the other GPUs before JAX initialises; the processes of a job are named JOB-0, JOB-1 and so on."""
        number = int(str(worker.name).rsplit("-", 1)[1])
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
