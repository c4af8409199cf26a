"""Runs on workers elsewhere that die, are told to go, or lose their scheduler: not a bit of the result differs."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

import dynatlas
from dynatlas import Atlas
from dynatlas.errors import DynatlasError, Interrupted, Stopped
from dynatlas.pipeline import runner
from dynatlas.pipeline.progress import Quiet
from dynatlas.pipeline.workers import cluster, interruption
from dynatlas.pipeline.workers import worker as worker_side
from support.command_line import call
from support.dask_processes import DaskProcesses, wait_until, worker_pid
from support.processes import stop_this_process
from support.runs import assert_same_results
from support.studies import tiny_toml

# One shape, so that each worker compiles once, in three blocks of one network, each long enough to be caught at work.
STUDY = tiny_toml(
    tasks=[{"kind": "flip_flop", "steps": 12, "channels": 1, "probe_trials": 8}],
    population={"l2": [1e-6], "seeds": 3},
    training={
        "optimizer": "adam",
        "iterations": 10_000,
        "batch_size": 16,
        "validation_interval": 500,
        "validation_trials": 64,
    },
    analysis={"measures": ["cka"], "fixed_point_starts": 64, "fixed_point_max_starts": 128},
    execution={"block_hours": 1e-9, "checkpoint_minutes": 0.005},
)


KEPT = r"\d of \d+ jobs are done and kept.*run the same command again to go on"


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module", autouse=True)
def _quickly():
    """Without the report, which is not what is compared."""
    every = runner.jobs_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "jobs_of", lambda study: tuple(job for job in every(study) if job.stage != "report"))
        yield


@pytest.fixture(scope="module")
def dask(processes, tmp_path_factory):
    started = DaskProcesses(tmp_path_factory.mktemp("dask"))
    started.start(workers=2)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def atlas(dask, study_file, tmp_path_factory):
    """The study carried out by two workers without interruption."""
    return dynatlas.run(study_file, tmp_path_factory.mktemp("whole") / "atlas", scheduler=dask.address)


class During(Quiet):
    """Does something once, in a thread of its own, when training has begun."""

    def __init__(self, act):
        self.notes, self.failure = [], None
        self._thread = threading.Thread(target=self._guarded, args=(act,))
        self._begun = threading.Event()

    def training(self, block, networks, iterations, of, loss):
        if 0 < iterations < of and not self._begun.is_set():
            self._begun.set()
            self._thread.start()

    def note(self, text):
        self.notes.append(text)

    def check(self):
        assert self._begun.is_set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.failure is None, self.failure

    def _guarded(self, act):
        try:
            act()
        except BaseException as error:
            self.failure = error


def test_a_worker_killed_twice_is_restarted_and_nothing_differs(atlas, dask, study_file, tmp_path):
    def kill_twice():
        from distributed import Client

        def registered(client):
            return {*client.run(os.getpid, on_error="ignore").values()}

        first = worker_pid(dask.workers[0])
        os.kill(first, signal.SIGKILL)
        with Client(dask.address) as client:
            # Not before the new one is at work: a nanny gives up a worker that dies while it starts.
            wait_until(lambda: worker_pid(dask.workers[0]) in registered(client) - {first})
            os.kill(worker_pid(dask.workers[0]), signal.SIGKILL)

    progress = During(kill_twice)
    result = dynatlas.run(study_file, tmp_path / "atlas", scheduler=dask.address, progress=progress)
    progress.check()
    assert_same_results(atlas, result)


def test_a_worker_that_is_told_to_go_saves_its_job_and_another_ends_it(atlas, dask, study_file, tmp_path):
    wait_until(lambda: all(worker_pid(worker) for worker in dask.workers))
    progress = During(lambda: os.kill(worker_pid(dask.workers[1]), signal.SIGTERM))
    result = dynatlas.run(study_file, tmp_path / "atlas", scheduler=dask.address, progress=progress)
    progress.check()
    assert_same_results(atlas, result)


def test_a_signal_stops_the_run_and_the_next_one_goes_on_with_it(atlas, dask, study_file, tmp_path):
    folder = tmp_path / "atlas"
    for number, error, code in ((signal.SIGTERM, Stopped, 7), (signal.SIGINT, Interrupted, 130)):
        sent = []

        def send(number=number, sent=sent):
            sent.append(time.monotonic())
            os.kill(os.getpid(), number)

        with pytest.raises(
            error, match=r"\d of \d+ jobs are done and kept.*run the same command again to resume"
        ) as raised:
            dynatlas.run(study_file, folder, scheduler=dask.address, progress=During(send))
        assert time.monotonic() - sent[0] < 30
        assert raised.value.exit_code == code
        assert list((folder / "checkpoints").glob("train-*.safetensors"))
        stopped = Atlas.open(folder)
        assert stopped.verify() == []
        assert stopped.progress["state"] == "stopped"
    assert_same_results(atlas, dynatlas.run(study_file, folder, scheduler=dask.address))
    assert not list((folder / "checkpoints").iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_command_line_stops_on_sigusr1_with_exit_code_7(atlas, dask, study_file, tmp_path, capsys):
    folder = tmp_path / "atlas"
    command = [sys.executable, "-m", "dynatlas", "run", study_file, folder, "--scheduler", dask.address]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(folder.glob("checkpoints/train-*.safetensors")))
    assert call("status", folder) == 0
    assert f"running (process {process.pid} on" in capsys.readouterr().out
    begun = time.monotonic()
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 7, errors
    assert time.monotonic() - begun < 30
    assert "dynatlas: stopped by SIGUSR1" in errors
    assert "Traceback" not in errors
    assert call("status", folder) == 0
    assert "the last run" in capsys.readouterr().out
    assert_same_results(atlas, dynatlas.run(study_file, folder, scheduler=dask.address))
    assert call("status", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["run"]["state"] == "finished"


def test_jobs_that_a_killed_run_left_behind_end_before_the_next_begins(atlas, dask, study_file, tmp_path):
    folder = tmp_path / "atlas"
    command = [sys.executable, "-m", "dynatlas", "run", study_file, folder, "--scheduler", dask.address, "--quiet"]
    process = subprocess.Popen(command)
    wait_until(lambda: list(folder.glob("checkpoints/train-*.safetensors")))
    process.kill()
    process.wait()
    progress = During(lambda: None)
    assert_same_results(atlas, dynatlas.run(study_file, folder, scheduler=dask.address, progress=progress))
    assert any("train flip_flop" in note and "still at work for an earlier run" in note for note in progress.notes)


def test_workers_on_this_machine_stop_on_sigterm_too(atlas, dask, study_file, tmp_path):
    folder = tmp_path / "atlas"
    progress = During(lambda: os.kill(os.getpid(), signal.SIGTERM))
    begun = time.monotonic()
    with pytest.raises(Stopped):
        dynatlas.run(study_file, folder, workers=1, progress=progress)
    assert time.monotonic() - begun < 60
    assert list((folder / "checkpoints").glob("train-*.safetensors"))
    assert_same_results(atlas, dynatlas.run(study_file, folder, scheduler=dask.address))


def test_a_lost_scheduler_is_an_error_and_a_new_one_ends_the_run(atlas, dask, study_file, tmp_path):
    """The last of the tests with these processes, as they end with their scheduler."""
    folder = tmp_path / "atlas"
    progress = During(dask.kill_scheduler)
    with pytest.raises(DynatlasError, match=r"connection to the scheduler is lost.*run again to resume") as raised:
        dynatlas.run(study_file, folder, scheduler=dask.address, progress=progress)
    progress.check()
    assert raised.value.exit_code == 1
    assert Atlas.open(folder).verify() == []
    dask.kill_workers()
    dask.start(workers=2)
    assert_same_results(atlas, dynatlas.run(study_file, folder, scheduler=dask.address))


def test_workers_of_another_version_or_without_the_folder_are_refused(dask, study_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker_side, "versions", lambda: {"jax": "0.0.1"})
        with pytest.raises(DynatlasError, match=r"has jax .*, and the main process has 0\.0\.1; install the same"):
            dynatlas.run(study_file, tmp_path / "a", scheduler=dask.address)
    monkeypatch.setattr(
        runner, "terms_for", lambda folder, name, content, code: worker_side.Terms("/nowhere", name, content, {}, {})
    )
    with pytest.raises(DynatlasError, match=r"cannot see the atlas folder /nowhere: No such file or directory\."):
        dynatlas.run(study_file, tmp_path / "b", scheduler=dask.address)


@pytest.mark.usefixtures("processes")
def test_a_worker_without_dynatlas_is_named(tmp_path, study_file):
    (tmp_path / "dynatlas.py").write_text("raise ImportError('none here')")
    alone = DaskProcesses(tmp_path)
    alone.start(workers=0)
    alone.start_worker(PYTHONPATH=str(tmp_path))
    with pytest.raises(DynatlasError, match=r"the worker tcp://.* cannot run dynatlas: .*none here.*Install the same"):
        dynatlas.run(study_file, tmp_path / "atlas", scheduler=alone.address)
    alone.stop()


@pytest.mark.usefixtures("processes")
def test_a_run_waits_for_its_first_worker(tmp_path, study_file, monkeypatch):
    alone = DaskProcesses(tmp_path)
    alone.start(workers=0)
    progress = During(lambda: None)
    monkeypatch.setattr(progress, "note", lambda note: (progress.notes.append(note), stop_this_process()))
    with pytest.raises(Stopped):
        dynatlas.run(study_file, tmp_path / "atlas", scheduler=alone.address, progress=progress)
    alone.stop()
    assert progress.notes[0] == f"no worker is there yet; waiting for one at {alone.address}"


def test_a_scheduler_that_does_not_answer_is_named(study_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_TIMEOUT", 1)
    for address in ("tcp://127.0.0.1:1", "nonsense"):
        assert call("run", study_file, tmp_path / "atlas", "--scheduler", address, "--quiet") == 1
        assert f"no scheduler answers at '{address}'" in capsys.readouterr().err


@pytest.mark.usefixtures("processes")
def test_a_job_that_kills_its_workers_is_named(study_file, tmp_path, monkeypatch):
    assert cluster._SETTINGS["distributed.scheduler.allowed-failures"] == 4
    monkeypatch.setitem(cluster._SETTINGS, "distributed.scheduler.allowed-failures", 0)
    deadly = runner.Job("be greedy", "training", lambda *_: os._exit(1), (), frozenset(), frozenset(["tables/x"]))
    monkeypatch.setattr(runner, "jobs_of", lambda study: (deadly,))
    with pytest.raises(DynatlasError, match="the job 'be greedy' has had its worker killed again and again"):
        dynatlas.run(study_file, tmp_path / "atlas", workers=1)
    assert Atlas.open(tmp_path / "atlas").progress["state"] == "failed"


def test_a_job_that_meets_a_full_disk_is_named_in_plain_words():
    job = runner.Job("count", "training", len, (), frozenset(), frozenset(["tables/x"]))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "atlas/x")
    assert f"{runner._failure(job, full)}".startswith(f"the job 'count' failed: {full}. What was finished is kept; run")
    assert "failed: ValueError('no'). What" in f"{runner._failure(job, ValueError('no'))}"


def test_what_may_change_last_bits_is_said(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("content")
    terms = worker_side.Terms(str(tmp_path), "token", "content", worker_side.versions(), cluster.WORKER_ENVIRONMENT)
    for name, value in cluster.WORKER_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    worker = SimpleNamespace(state=SimpleNamespace(nthreads=1))
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_gpu_deterministic_ops=true")
    assert worker_side.examine(terms, worker) == []
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    monkeypatch.delenv("NPROC")
    worker.state.nthreads = 2
    threads, environment = worker_side.examine(terms, worker)
    assert threads == "2 threads (expected --nthreads 1)"
    assert environment == "not NPROC=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false in its environment"


def test_each_process_of_a_job_sees_its_own_gpu(monkeypatch):
    for visible, name, expected in (("4,5,6,7", "dynatlas-3-2", "6"), (None, "dynatlas-0-1", "1")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        worker_side.OneGPU().setup(SimpleNamespace(name=name))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_a_request_to_stop_can_be_taken_back():
    interruption.request_stop()
    assert interruption.stop_requested()
    interruption.clear()
    assert not interruption.stop_requested()
