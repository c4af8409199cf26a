"""Worker processes on this machine: whatever dies is replaced, and nobody without the key is answered."""

import asyncio
import os
import signal
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

import dynatlas
from dynatlas.errors import DynatlasError
from dynatlas.pipeline import runner
from dynatlas.pipeline.workers import local
from dynatlas.pipeline.workers.cluster import WORKER_ENVIRONMENT, local_cluster, running_scheduler
from support.dask_processes import wait_until
from support.processes import stop_this_process
from support.studies import tiny_toml


def workers_of(pid):
    """The worker processes below a process, also those that have not registered yet."""
    found = []
    for child in psutil.Process(pid).children():
        try:
            if "dynatlas.pipeline.workers.process" in child.cmdline():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(scope="module")
def cluster(processes):
    with local_cluster(2) as started:
        yield started


@pytest.mark.usefixtures("processes")
class TestProcesses:
    def test_workers_have_one_thread_and_an_environment_in_which_sums_have_one_order(self, cluster):
        wait_until(lambda: len(cluster.client.scheduler_info()["workers"]) == 2)
        seen = cluster.client.run(lambda: {name: os.environ.get(name) for name in WORKER_ENVIRONMENT})
        assert all(environment == WORKER_ENVIRONMENT for environment in seen.values())
        assert {each["nthreads"] for each in cluster.client.scheduler_info()["workers"].values()} == {1}

    def test_a_client_without_the_key_of_the_run_is_refused(self, cluster):
        from distributed import Client
        from distributed.security import Security

        address = cluster.client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        port = address.rsplit(":", 1)[1]
        others = Security.temporary()  # a key, but not that of the run
        for where, security in ((f"tcp://127.0.0.1:{port}", None), (address, others)):
            with pytest.raises((OSError, TimeoutError)):
                Client(where, security=security, timeout=2, set_as_default=False)
        with pytest.raises(DynatlasError, match="no scheduler answers"), running_scheduler(address):
            pytest.fail("answered")

    def test_a_worker_does_not_answer_without_the_key_either(self, cluster):
        from distributed.core import connect
        from distributed.security import Security

        address = next(iter(cluster.client.scheduler_info()["workers"]))
        arguments = Security.temporary().get_connection_args("client")

        async def ask():
            comm = await connect(address, timeout=2, **arguments)
            await comm.write({"op": "identity"})
            return await comm.read()

        with pytest.raises(OSError):  # noqa: PT011 - which one depends on the library
            asyncio.run(ask())

    def test_the_key_is_in_no_argument_or_environment(self, cluster):
        [first, *_] = workers_of(os.getpid())
        assert "PRIVATE KEY" not in " ".join(first.cmdline())
        assert not any("PRIVATE KEY" in value for value in first.environ().values())

    def test_there_is_no_dashboard_on_any_port(self, cluster):
        everyone = [psutil.Process(), *workers_of(os.getpid())]
        ports = {
            connection.laddr
            for process in everyone
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert {port.ip for port in ports} == {"127.0.0.1"}
        for port in ports:
            for page in ("status", "info/main/workers.html", "metrics", "json/counts.json"):
                with pytest.raises((urllib.error.URLError, OSError)):
                    urllib.request.urlopen(f"http://127.0.0.1:{port.port}/{page}", timeout=2)

    def test_workers_killed_while_others_start_are_all_replaced(self, cluster):
        """Every worker at once, then the new ones as soon as they are processes, again and again."""

        def alive():
            return {worker.pid for worker in workers_of(os.getpid())}

        gone = set()
        for _ in range(3):
            wait_until(lambda: len(alive() - gone) == 2, seconds=10)
            for pid in alive() - gone:
                os.kill(pid, signal.SIGKILL)
                gone.add(pid)
        wait_until(lambda: len(set(cluster.client.run(os.getpid, on_error="ignore").values()) - gone) == 2)
        cluster.check()

    def test_a_worker_that_hangs_is_replaced(self, cluster, monkeypatch):
        monkeypatch.setattr(local, "READY", 3.0)
        wait_until(lambda: len(workers_of(os.getpid())) == 2)
        stopped = workers_of(os.getpid())[0]
        [address] = [address for address, pid in cluster.client.run(os.getpid).items() if pid == stopped.pid]
        stopped.suspend()
        cluster.client.cluster.sync(cluster.client.cluster.scheduler.remove_worker, address, stimulus_id="silent")
        wait_until(lambda: not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE, seconds=20)
        monkeypatch.setattr(local, "READY", 180.0)
        wait_until(lambda: len(cluster.client.scheduler_info()["workers"]) == 2)

    def test_a_job_whose_workers_die_twice_is_done_by_the_third(self, tmp_path, monkeypatch):
        def die_twice(path, report):
            for name in ("first", "second"):
                if not (path / name).exists():
                    (path / name).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            (path / "done").write_text(f"{os.getppid()}")
            return []

        job = runner.Job("work", "training", die_twice, (), frozenset(), frozenset(["tables/x"]))
        monkeypatch.setattr(runner, "jobs_of", lambda study: (job,))
        (tmp_path / "study.toml").write_text(tiny_toml())
        dynatlas.run(tmp_path / "study.toml", tmp_path / "atlas", workers=1)
        assert (tmp_path / "atlas" / "done").read_text() == f"{os.getpid()}"

    def test_workers_that_cannot_start_end_the_run_with_the_reason(self, tmp_path, monkeypatch):
        (tmp_path / "python").write_text("#!/bin/sh\necho no module named dynatlas\nexit 3\n")
        (tmp_path / "python").chmod(0o755)
        monkeypatch.setattr(local, "INTERVAL", 0.02)
        for executable, reason in (("python", "no module named dynatlas"), ("nothing", "No such file")):
            monkeypatch.setattr(sys, "executable", str(tmp_path / executable))
            begun = time.monotonic()
            with pytest.raises(
                DynatlasError, match=rf"the workers end before they are ready \(20 in turn\): .*{reason}"
            ):
                dynatlas.run(_study(tmp_path), tmp_path / executable[:2], workers=1)
            assert time.monotonic() - begun < 30

    def test_a_signal_while_workers_start_ends_the_run_soon(self, tmp_path, monkeypatch):
        (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 100\n")  # never ready
        (tmp_path / "python").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        start = local._Workers._start
        monkeypatch.setattr(local._Workers, "_start", lambda *each: (start(*each), stop_this_process()))
        begun = time.monotonic()
        with pytest.raises(dynatlas.errors.Stopped):
            dynatlas.run(_study(tmp_path), tmp_path / "atlas", workers=1)
        assert time.monotonic() - begun < 30


def _study(folder):
    (folder / "study.toml").write_text(tiny_toml())
    return folder / "study.toml"
