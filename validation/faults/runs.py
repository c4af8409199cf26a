"""Runs of a tiny study that can be killed: the main process is forked from this one, which has imported everything."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

import dynatlas.cli.main
import dynatlas.pipeline.runner
from dynatlas import Atlas

STUDY = """
name = "tiny"
[[tasks]]
kind = "flip_flop"
steps = 6
channels = 1
probe_trials = 4
[population]
architectures = ["vanilla"]
activations = ["tanh"]
units = [2]
l2 = [1e-6]
seeds = 2
[training]
optimizer = "adam"
iterations = 400
batch_size = 8
learning_rate = 0.02
validation_interval = 50
validation_trials = 16
[analysis]
measures = ["cka"]
fixed_point_starts = 64
fixed_point_max_starts = 64
transition_trials = 4
sensitivity_scales = [0.04]
attractor_steps = 64
permutations = 19
bootstraps = 19
[execution]
block_hours = 1e-9
checkpoint_minutes = 0.005
"""
LIMIT = 300.0  # seconds for a whole run on a busy machine
KINDS = ("networks/", "tables/", "parts/", "arrays.zarr/", "reduced/")


def start(study: Path, folder: Path, log: Path, *more: str) -> int:
    """Start a run in a process group of its own; return its id."""
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # whichever of the two is first
            os.setpgid(pid, pid)
        return pid
    os.setpgid(0, 0)  # a group to kill; a session would have another priority
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 99
    try:
        dynatlas.cli.main.main(["run", str(study), str(folder), "--workers", "1", "--until", "maps", *more])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def ended(pid: int) -> int | None:
    """Return the exit code of a run that has ended."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def wait(pid: int, limit: float = LIMIT) -> int | None:
    """Wait for a run to end and return its exit code; None if it hangs, and then it is killed."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        code = ended(pid)
        if code is not None:
            return code
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def workers_of(pid: int) -> list[int]:
    """Return the ids of the worker processes of a run."""
    try:
        children = psutil.Process(pid).children()
    except psutil.Error:
        return []
    return [child.pid for child in children if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "dynatlas.pipeline.workers.process" in process.cmdline()
    except psutil.Error:
        return False


def results(folder: Path) -> dict[str, str]:
    """Return the hashes of all results in an atlas."""
    entries = Atlas.open(folder).entries
    return {name: entry.sha256 for name, entry in entries.items() if name.startswith(KINDS)}
