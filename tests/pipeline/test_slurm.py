"""What SLURM is asked for, and a whole run through a stand-in for its commands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dynatlas
from dynatlas.errors import DynatlasError
from dynatlas.pipeline import runner
from dynatlas.pipeline.workers import cluster
from dynatlas.pipeline.workers.slurm import Slurm
from support.command_line import call
from support.dask_processes import wait_until
from support.studies import tiny_toml

COMPLETE = """
jobs = 8
cores = 16
processes = 8
memory = "64GiB"
walltime = "1-12:00:00"
queue = "short"
account = "lab"
interface = "lo"
directives = ["--constraint=avx512"]
prologue = ["module load python"]
"""
SMALL = 'jobs = 1\ncores = 2\nmemory = "2GiB"\nwalltime = "10:00"\n'


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        (tmp_path / "slurm.toml").write_text(text)
        return Slurm.load(tmp_path / "slurm.toml")

    return write_and_load


def test_the_job_script_asks_for_what_the_file_says(tmp_path, capsys):
    (tmp_path / "slurm.toml").write_text(COMPLETE)
    assert call("run", "demo", "--cluster", tmp_path / "slurm.toml", "--show-job-script") == 0
    lines = capsys.readouterr().out.splitlines()
    for directive in ("-J dynatlas", "-p short", "-A lab", "--cpus-per-task=16", "--mem=64G", "-t 1-12:00:00"):
        assert f"#SBATCH {directive}" in lines
    assert "#SBATCH --constraint=avx512" in lines
    environment = [f"export {name}={value}" for name, value in cluster.WORKER_ENVIRONMENT.items()]
    first = lines.index(environment[0])
    assert lines[first : first + len(environment) + 1] == [*environment, "module load python"]
    worker = lines[-1]
    assert worker.startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://SCHEDULER:PORT ")
    for option in ("--nthreads 1", "--nworkers 8", "--memory-limit 8.00GiB", "--nanny", "--interface lo"):
        assert option in worker
    assert f"--lifetime {36 * 3600 - 120}s" in worker


def test_a_gpu_job_has_one_process_per_gpu(load):
    script = cluster.job_script(load(SMALL.replace("cores = 2", "cores = 16\ngpus = 4")))
    assert "#SBATCH --gres=gpu:4" in script
    assert "#SBATCH --cpus-per-task=16" in script
    assert "--nthreads 1" in script
    assert "--nworkers 4" in script
    assert "--lifetime 480s" in script


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("jobs = 1", "jbos = 1"), "jbos: unknown key 'jbos'; did you mean 'jobs'?"),
        (("jobs = 1", "[adaptive]\nmaxmum = 3"), "adaptive.maxmum: unknown key 'maxmum'; did you mean 'maximum'?"),
        (("jobs = 1", "xyzzy = 1"), "xyzzy: unknown key 'xyzzy'; valid keys: account, adaptive, cores"),
        (("jobs = 1", "jobs = 0"), "jobs: input should be greater than or equal to 1, but it is 0"),
        (("jobs = 1", ""), "cluster: expected one of jobs (a fixed number) and [adaptive] (minimum, maximum)"),
        (("2GiB", "much"), "memory: could not parse value and unit from byte string, but it is 'much'"),
        (("10:00", "a day"), 'walltime: expected a time as SLURM reads it, such as "12:00:00"'),
        (('walltime = "10:00"', ""), "walltime: is missing"),
        (("cores = 2", "cores = 2\nprocesses = 4"), "cluster: cores is 2; expected at least 4, one for each process"),
        (
            ("cores = 2", "cores = 8\nprocesses = 8\ngpus = 2"),
            "cluster: processes is 8 and gpus 2; expected one process",
        ),
        (("jobs = 1", "jobs = = 1"), "is not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(change, message, load):
    # A table has to come last.
    text = SMALL.replace(*change) if "[" not in change[1] else SMALL.replace(change[0], "") + change[1]
    with pytest.raises(DynatlasError, match=r"slurm\.toml is not") as raised:
        load(text)
    assert message in str(raised.value)


def test_a_file_that_is_not_there_is_named(capsys):
    assert call("run", "demo", "--cluster", "nowhere.toml") == 1
    assert "cannot read the cluster file 'nowhere.toml': No such file" in capsys.readouterr().err


def test_walltimes_are_read_as_slurm_reads_them(load):
    for text, seconds in (("90", 5400), ("90:30", 5430), ("2:00:00", 7200), ("1-0", 86_400), ("1-2:30", 95_400)):
        script = cluster.job_script(load(SMALL.replace("10:00", text)))
        assert f"--lifetime {seconds - 120}s" in script


def test_places_exclude_each_other(load, tmp_path, capsys):
    assert call("run", "demo", tmp_path / "a", "--workers", 1, "--scheduler", "tcp://x:1") == 2
    assert call("run", "demo", tmp_path / "a", "--show-job-script") == 1
    assert "--show-job-script needs --cluster" in capsys.readouterr().err
    with pytest.raises(DynatlasError, match="give one of workers, scheduler and slurm"):
        dynatlas.run("demo", tmp_path / "a", workers=1, slurm=load(SMALL))


def test_without_dask_jobqueue_the_extra_is_named(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(DynatlasError, match=r"pip install 'dynatlas\[slurm\]'"):
        cluster.job_script(load(SMALL))


def test_the_example_in_the_documentation_is_valid(load):
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    assert load(text.split("```toml")[1].split("```")[0]).worker_processes == 16


@pytest.mark.usefixtures("processes")
def test_the_batch_script_in_the_documentation_requeues_a_run_that_was_told_to_stop(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    (tmp_path / "main.sh").write_text(text.split("```bash\n")[1].split("```")[0])
    for name, lines in {
        "dynatlas": f"trap 'exit 7' USR1\ntouch {tmp_path}/begun\nfor i in {{1..100}}; do sleep 0.1; done",
        "scontrol": f'echo "$@" > {tmp_path}/requeued',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    process = subprocess.Popen(["bash", tmp_path / "main.sh"], env=environment)
    wait_until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGUSR1)  # as B:USR1 does, to the shell alone
    process.wait(20)
    assert (tmp_path / "requeued").read_text() == "requeue 42\n"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """`sbatch` that runs the script at once, and `scancel` that ends it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "submitted"
    commands = {
        "sbatch": f'cp "$1" "$1.kept"\nsetsid bash "$1.kept" >>{log}.out 2>&1 &\n'
        f'echo $! >>{log}\necho "Submitted batch job $!"',
        "scancel": 'kill -TERM -- "-$1"',
    }
    for name, lines in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{lines}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return log


@pytest.mark.parametrize("amount", ["jobs = 1", "[adaptive]\nmaximum = 1"])
@pytest.mark.usefixtures("processes")
def test_a_slurm_job_that_is_over_is_replaced_and_its_work_done_again(amount, load, stand_in, tmp_path, monkeypatch):
    def work(path, report):
        if (path / "begun").exists():
            (path / "done").touch()
            return []
        (path / "begun").touch()
        os.kill(os.getppid(), signal.SIGKILL)  # the job's time is over: its nanny and this worker go at once
        time.sleep(60)
        return []

    job = runner.Job("work", "training", work, (), frozenset(), frozenset(["tables/x"]))
    monkeypatch.setattr(runner, "jobs_of", lambda study: (job,))
    monkeypatch.setattr(cluster, "REPLACEMENT_INTERVAL", 1.0)
    (tmp_path / "study.toml").write_text(tiny_toml())
    slurm = load(SMALL.replace("cores = 2", 'cores = 1\ninterface = "lo"').replace("jobs = 1", "") + amount)
    dynatlas.run(tmp_path / "study.toml", tmp_path / "atlas", slurm=slurm)
    assert (tmp_path / "atlas" / "done").exists()
    assert len(stand_in.read_text().split()) == 2
