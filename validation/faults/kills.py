"""kill -9 of the main process, a worker, all of them, and of workers that start; every atlas must end bit-identical."""

import os
import random
import signal
import time
from pathlib import Path

from faults import runs
from faults.counts import Counts

PER_RUN = 6  # kills before the run is left to end
GONE = 5.0  # seconds in which the workers of a killed main process must be gone


def kills(work: Path, which: str, number: int, seed: int) -> Counts:
    """Kill "main", "worker", "all" or "starting" workers ``number`` times over several runs."""
    counts, rng, began = Counts(f"kill -9 of {NAMES[which]}"), random.Random(seed), time.monotonic()  # noqa: S311
    study = work / "study.toml"
    study.write_text(runs.STUDY)
    reference, wanted = work / "reference", None
    if runs.wait(runs.start(study, reference, work / "log")) == 0:
        wanted = runs.results(reference)
    if not wanted:
        raise SystemExit(f"the undisturbed run failed: {(work / 'log').read_text()[-2000:]}")
    run = 0
    while counts.tried < number:
        run += 1
        folder, log = work / f"{which}-{run}", work / f"{which}-{run}.log"
        killed, problem = 0, ""
        if which in ("worker", "starting"):
            killed, problem = _kill_workers(study, folder, log, which, rng)
        else:
            killed, problem = _kill_main(study, folder, log, which, rng)
        outcome = problem.split(":")[0] if problem else ""
        while not outcome:
            code = runs.wait(runs.start(study, folder, log))
            if code is None:
                outcome, problem = "hung", f"the run after {killed} kills"
            elif code:
                outcome, problem = "lost", log.read_text()[-300:]
            elif runs.results(folder) != wanted:
                outcome, problem = "silent", "another result"
            elif "Traceback" in log.read_text():
                outcome, problem = "lost", "a traceback in the log"
            else:
                outcome = "survived"
        counts.add(outcome, f"{folder.name}: {problem}", max(killed, 1))
        counts.seconds = time.monotonic() - began
        print(counts, flush=True)
    return counts


NAMES = {"main": "the main process", "all": "all processes", "worker": "a worker", "starting": "a starting worker"}


def _kill_main(study: Path, folder: Path, log: Path, which: str, rng: random.Random) -> tuple[int, str]:
    killed = 0
    for _ in range(PER_RUN):
        pid = runs.start(study, folder, log)
        end = time.monotonic() + rng.uniform(0.2, 9)
        while time.monotonic() < end and (code := runs.ended(pid)) is None:
            time.sleep(0.01)
        if code is not None:
            return killed, "" if code == 0 else f"lost: exit code {code}: {log.read_text()[-300:]}"
        workers = runs.workers_of(pid)
        if which == "all":
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed += 1
        end = time.monotonic() + GONE
        while any(map(_is_alive, workers)):
            if time.monotonic() > end:
                return killed, f"hung: workers {workers} outlive the main process"
            time.sleep(0.05)
        if (folder / "manifest.json").exists() and (folder / "study.toml").exists():
            bad = [problem for problem in runs.Atlas.open(folder).verify() if problem.what != "unknown"]
            if bad:
                return killed, f"lost: {bad}"
    return killed, ""


def _kill_workers(study: Path, folder: Path, log: Path, which: str, rng: random.Random) -> tuple[int, str]:
    pid, killed, begun = runs.start(study, folder, log), 0, time.monotonic()
    known: set[int] = set()
    while killed < PER_RUN:
        code = runs.ended(pid)
        if code is not None:
            # An error that names the job that lost five workers is a clear end; the run is resumed.
            told = "killed again and again" in log.read_text()
            return killed, "" if code == 0 or told else f"lost: exit code {code}: {log.read_text()[-300:]}"
        if time.monotonic() - begun > runs.LIMIT:
            runs.wait(pid, 0)
            return killed, "hung: no new worker"
        new = [worker for worker in runs.workers_of(pid) if worker not in known]
        if not new:
            time.sleep(0.02)
            continue
        end = time.monotonic() + (rng.uniform(0, 1.5) if which == "starting" else rng.uniform(2, 9))
        while time.monotonic() < end and (code := runs.ended(pid)) is None:
            time.sleep(0.01)
        if code is not None:
            return killed, "" if code == 0 else f"lost: exit code {code}: {log.read_text()[-300:]}"
        for worker in new:
            known.add(worker)
            if _is_alive(worker):
                os.kill(worker, signal.SIGKILL)
                killed += 1
    code = runs.wait(pid)
    if code is None:
        return killed, "hung: after the kills"
    told = "killed again and again" in log.read_text()
    return killed, "" if code == 0 or told else f"lost: exit code {code}: {log.read_text()[-300:]}"


def _is_alive(pid: int) -> bool:
    try:
        return runs.psutil.Process(pid).status() != runs.psutil.STATUS_ZOMBIE
    except runs.psutil.Error:
        return False
