"""Worker processes on this machine: each that ends is replaced within a second, whenever and however it ended.

Scheduler, workers and main process talk over TLS with a key that is made for the run and stays in memory, so that other
users of the machine are refused. There is no dashboard; a scheduler of your own can have one.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from dynatlas.errors import DynatlasError

# Consecutive starts that may fail before any worker is ready.
STARTS_ALLOWED: Final = 20
INTERVAL: Final = 0.5  # seconds between looks at the workers
# Seconds in which a worker must register, at first or again, before it is replaced. Imports are slow on a busy disk.
READY: Final = 180.0
CLOSING: Final = 4.0  # seconds for the scheduler and the client each to close; workers are killed
TAIL: Final = 300  # characters of a worker's last output in a message

# What a worker needs of the key of a run, by distributed's names.
KEYS: Final = ("tls_ca_file", "tls_client_cert", "tls_client_key", "tls_worker_cert", "tls_worker_key")
# Without the pages that distributed serves even without a dashboard.
NO_PAGES: Final[dict[str, Any]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


@contextmanager
def started_workers(
    count: int, environment: Mapping[str, str], config: Mapping[str, Any]
) -> Iterator[tuple[Any, Callable[[], None]]]:
    """Start a scheduler and workers; yield a client, and a function that raises if no worker can be started.

    Args:
        count: number of workers.
        environment: of the workers.
        config: settings of Dask, for the scheduler and the workers.

    Raises:
        DynatlasError: the scheduler cannot be started.
    """
    import dask
    from distributed import Client, LocalCluster

    security = run_security()
    with contextlib.ExitStack() as stack:
        try:
            scratch = stack.enter_context(TemporaryDirectory(prefix="dynatlas-", ignore_cleanup_errors=True))
            stack.enter_context(dask.config.set(dict(config) | NO_PAGES))
            cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                security=security,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=50,
            )
            stack.callback(cluster.close, timeout=CLOSING)
            client = Client(cluster)
            stack.callback(client.close, timeout=CLOSING)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise DynatlasError(f"cannot start a scheduler on this machine: {error}") from error

        def registered() -> Set[str]:
            return {str(state.name) for state in list(cluster.scheduler.workers.values())}

        environment = dict(environment) | shared_programs(Path(scratch))
        settings = {
            "scheduler": cluster.scheduler_address,
            "folder": scratch,
            "config": dict(config) | NO_PAGES,
            "security": {"require_encryption": True} | {name: getattr(security, name) for name in KEYS},
        }
        workers = _Workers(count, settings, environment, registered)
        stack.callback(workers.close)
        yield client, workers.check


def run_security() -> Any:
    """Return the key of a run: without it, nobody can talk to its scheduler and workers."""
    from distributed.security import Security

    return Security.temporary()


def security_in_files(folder: Path) -> Any:
    """Return a key as ``run_security`` does, in files of a folder that only the user can read."""
    from distributed.security import Security

    made = run_security()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(made.tls_ca_file)
    key.write_text(made.tls_worker_key)
    roles = {
        f"tls_{role}_{what}": str(path)
        for role in ("client", "scheduler", "worker")
        for what, path in (("cert", certificate), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=str(certificate), **roles)


def shared_programs(folder: Path) -> dict[str, str]:
    """Return the environment that makes workers share compiled programs, most of the work on small networks.

    The programs fit one processor and one version of every library, so they are deleted after the run.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # set by the user
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }


class _Worker:
    """One place for a worker, and the process that has it now."""

    def __init__(self, place: int) -> None:
        self.place, self.starts = place, 0
        self.process: subprocess.Popen[bytes] | None = None
        self.seen = 0.0  # when it was last registered, or started
        self.was_ready = False

    @property
    def name(self) -> str:
        """Unique among all processes of the run."""
        return f"{self.place}" if self.starts == 1 else f"{self.place}.{self.starts}"


class _Workers:
    """The workers of a run, and the thread that replaces those that end."""

    def __init__(
        self,
        count: int,
        settings: Mapping[str, Any],
        environment: Mapping[str, str],
        registered: Callable[[], Set[str]],
    ) -> None:
        self._settings, self._registered = settings, registered
        # The folders that this process imports from, and not the current one, which may hold anything.
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
        self._environment = os.environ | environment | {"PYTHONPATH": path}
        self._failed = 0  # starts since a worker was ready
        self._failure: DynatlasError | None = None
        self._over = threading.Event()
        self._workers = [_Worker(place) for place in range(count)]
        self._thread = threading.Thread(target=self._watch, name="dynatlas-workers", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise why no worker can be started, if none can."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Kill the workers: what they have finished is in the atlas."""
        self._over.set()
        self._thread.join()
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()
        for worker in self._workers:
            if worker.process is not None:
                worker.process.wait()
                _close_input(worker.process)

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                registered = self._registered()
            except RuntimeError:  # it changed meanwhile
                registered = frozenset()
            for worker in self._workers:
                self._look_at(worker, registered)
            self._over.wait(INTERVAL)

    def _look_at(self, worker: _Worker, registered: Set[str]) -> None:
        now = time.monotonic()
        if worker.process is not None and worker.process.poll() is None:
            if worker.name in registered:
                worker.seen, worker.was_ready, self._failed = now, True, 0
            elif now - worker.seen > READY:
                worker.process.kill()  # it hangs, or was stopped, or has lost the scheduler; replaced at the next look
            return
        if worker.process is not None:
            _close_input(worker.process)
            self._failed += not worker.was_ready
        if self._failed < STARTS_ALLOWED:
            self._start(worker)
        elif self._failure is None:
            self._failure = DynatlasError(
                f"the workers end before they are ready ({self._failed} in turn): {self._reason(worker)}. What was "
                "finished is kept; run the same command again to resume"
            )

    def _start(self, worker: _Worker) -> None:
        worker.starts, worker.seen, worker.was_ready = worker.starts + 1, time.monotonic(), False
        settings = json.dumps(dict(self._settings) | {"name": worker.name}).encode() + b"\n"
        try:
            with self._output(worker).open("wb") as output:
                worker.process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "dynatlas.pipeline.workers.process"],
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                )
        except OSError as error:
            worker.process, self._failed = None, self._failed + 1
            self._error = str(error)
            return
        with contextlib.suppress(OSError):  # it has ended already
            _input(worker.process).write(settings)
            _input(worker.process).flush()

    _error = ""  # of the operating system, when a process was to be started

    def _output(self, worker: _Worker) -> Path:
        return Path(self._settings["folder"]) / f"worker-{worker.place}.txt"

    def _reason(self, worker: _Worker) -> str:
        """How a process ended: its last line of output, or its signal."""
        if worker.process is None:
            return self._error
        with contextlib.suppress(OSError):
            lines = self._output(worker).read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][-TAIL:]
        code = worker.process.returncode
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _input(process: "subprocess.Popen[bytes]") -> Any:
    return process.stdin


def _close_input(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError):
        _input(process).close()
