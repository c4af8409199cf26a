"""Runs on workers elsewhere that die, are told to go, or lose their scheduler: not a bit of the result differs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import dynatlas
from dask_processes import DaskProcesses, wait_until, worker_pid
from dynatlas import Atlas, _worker, interruption, pipeline
from dynatlas.errors import DynatlasError, Interrupted, Stopped
from dynatlas.progress import Quiet
from test_cli import call
from test_pipeline import assert_same_results

# One shape, so that each worker compiles once, in four blocks of one network, each long enough to be caught at work.
STUDY = """
name = "tiny"
[[tasks]]
kind = "flip_flop"
steps = 12
channels = 1
probe_trials = 8
[population]
architectures = ["vanilla"]
activations = ["tanh"]
units = [4]
l2 = [1e-6]
seeds = 4
[training]
optimizer = "adam"
iterations = 15000
batch_size = 16
validation_interval = 500
validation_trials = 64
[analysis]
measures = ["cka"]
fixed_point_starts = 64
fixed_point_max_starts = 128
[execution]
block_hours = 1e-9
checkpoint_minutes = 0.01
"""


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module", autouse=True)
def _without_report():
    """Figures take most of the time, and are not what is compared."""
    every = pipeline.jobs_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "jobs_of", lambda study: tuple(job for job in every(study) if job.stage != "report"))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # for local workers, as for the others
        yield


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"))
    processes.start(workers=2)
    yield processes
    processes.stop()


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


@pytest.mark.parametrize(("number", "error", "code"), [(signal.SIGTERM, Stopped, 7), (signal.SIGINT, Interrupted, 130)])
def test_a_signal_stops_the_run_and_the_next_one_ends_it(number, error, code, atlas, dask, study_file, tmp_path):
    sent = []

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    folder = tmp_path / "atlas"
    progress = During(send)
    with pytest.raises(error, match=r"\d of \d+ jobs are done and kept.*run the same command again to go on") as raised:
        dynatlas.run(study_file, folder, scheduler=dask.address, progress=progress)
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
    with pytest.raises(DynatlasError, match="connection to the scheduler is lost.*run again to go on") as raised:
        dynatlas.run(study_file, folder, scheduler=dask.address, progress=progress)
    progress.check()
    assert raised.value.exit_code == 1
    assert Atlas.open(folder).verify() == []
    dask.stop()
    dask.start(workers=2)
    assert_same_results(atlas, dynatlas.run(study_file, folder, scheduler=dask.address))


def test_workers_of_another_version_or_without_the_folder_are_refused(dask, study_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_worker, "versions", lambda: {"jax": "0.0.1"})
        with pytest.raises(DynatlasError, match=r"has jax .*, and the main process has 0\.0\.1; install the same"):
            dynatlas.run(study_file, tmp_path / "a", scheduler=dask.address)
    monkeypatch.setattr(pipeline, "terms_for", lambda folder, *token: _worker.Terms("/nowhere", *token, {}, {}))
    with pytest.raises(DynatlasError, match="cannot see the atlas folder /nowhere: No such file or directory. Put the"):
        dynatlas.run(study_file, tmp_path / "b", scheduler=dask.address)


def test_a_run_waits_for_its_first_worker(tmp_path, study_file):
    alone = DaskProcesses(tmp_path)
    alone.start(workers=0)
    progress = During(lambda: None)
    threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(Stopped):
        dynatlas.run(study_file, tmp_path / "atlas", scheduler=alone.address, progress=progress)
    alone.stop()
    assert progress.notes[0] == f"no worker is there yet; waiting for one at {alone.address}"


def test_a_scheduler_that_does_not_answer_is_named(study_file, tmp_path, capsys):
    for address in ("tcp://127.0.0.1:1", "nonsense"):
        assert call("run", study_file, tmp_path / "atlas", "--scheduler", address, "--quiet") == 1
        assert f"no scheduler answers at '{address}'" in capsys.readouterr().err


def test_a_request_to_stop_can_be_taken_back():
    interruption.request_stop()
    assert interruption.stop_requested()
    interruption.clear()
    assert not interruption.stop_requested()
