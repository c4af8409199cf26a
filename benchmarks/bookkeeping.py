"""What the manifest of an atlas costs, with the 100,426 entries and the 25,554 jobs of the paper's study.

    python benchmarks/bookkeeping.py [--quick] [--entries N] [--singly K] [--jobs J] [--folder DIR] [--json FILE]

The entries have the names that the study's jobs promise, and made-up hashes. ``--entries`` takes the first N of them,
of which the last K are entered one by one and the others before them in one call; by default K is N. Timed in this
process are ``enter``, ``has`` and ``entries[name]``; in another one, opening the atlas for the first time, and ``has``
just after this process has entered the entry. Then an atlas of format 1 with as many entries is opened, and brought to
the present format by its first change. Last, the pipeline runs J of the study's jobs, which return their entries at
once and end one by one: all that a run does besides the jobs and Dask.

A number is the median over calls unless it says otherwise. ``enter`` waits for the disk (``fsync``) at every call; that
alone, after an append of 180 bytes, is timed as well. While other programs keep the processor busy, it is mostly the
wait for their turn to end.
"""

import argparse
import hashlib
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.pipeline import runner
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.pipeline.progress import Quiet
from dynatlas.pipeline.status import StatusFile
from dynatlas.study.study import Study

LOOKS = 1000


def seconds(calls):
    """The seconds that each call takes."""
    taken = []
    for call in calls:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return taken


def entry(name):
    """An entry with a made-up hash and size."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Entry(name, digest, int(digest[:4], 16))


def names_of(jobs):
    """The names that jobs promise, in order."""
    return [name for job in jobs for name in sorted(job.promises)]


def disk(folder):
    """Seconds of an append that waits for the disk."""
    file = folder / "append"
    file.touch()

    def append():
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, b"x" * 180)
        os.fsync(descriptor)
        os.close(descriptor)

    return seconds([append] * LOOKS)


def own_process(atlas, entries, singly):
    """Seconds of each enter, has, and look at one entry; and the processor's for an enter."""
    bulk, rest = entries[: len(entries) - singly], entries[len(entries) - singly :]
    with atlas.lock():
        atlas.enter(*bulk)
        processor = time.process_time()
        entering = seconds([lambda one=one: atlas.enter(one) for one in rest])
        processor = (time.process_time() - processor) / len(rest)
    some = entries[:: max(len(entries) // min(LOOKS, singly), 1)]
    having = seconds([lambda one=one: atlas.has(one.name) for one in some])
    looking = seconds([lambda one=one: atlas.entries[one.name] for one in some])
    return {"enter": entering, "has": having, "entries[name]": looking}, processor


class Elsewhere:
    """A process that has opened the atlas, and says how long a look at one entry takes it."""

    CODE = """
import sys, time
from dynatlas.atlas.atlas import Atlas
started = time.perf_counter()
count = len(Atlas.open(sys.argv[1]).entries)
print(time.perf_counter() - started, count, flush=True)
atlas = Atlas.open(sys.argv[1])
for line in sys.stdin:
    started = time.perf_counter()
    found = atlas.has(line.strip())
    print(time.perf_counter() - started, found, flush=True)
"""

    def __init__(self, folder):
        command = [sys.executable, "-c", self.CODE, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opening, count = self.process.stdout.readline().split()
        self.opening, self.count = float(opening), int(count)

    def look(self, name):
        """Seconds of has, which must be true."""
        print(name, file=self.process.stdin, flush=True)
        taken, found = self.process.stdout.readline().split()
        assert found == "True", name
        return float(taken)

    def close(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def other_process(atlas, singly):
    """Seconds of the first opening; and of each look at what has just been entered here."""
    elsewhere = Elsewhere(atlas.path)
    assert elsewhere.count == len(atlas.entries)
    looks = []
    with atlas.lock():
        for number in range(min(LOOKS, singly) // 5):
            atlas.enter(entry(f"report/{number}"))
            looks.append(elsewhere.look(f"report/{number}"))
    elsewhere.close()
    return elsewhere.opening, looks


def old_format(atlas, folder, entries):
    """Seconds to open an atlas of format 1, and of the first change."""
    folder.mkdir()
    study = (atlas.path / "study.toml").read_bytes()
    (folder / "study.toml").write_bytes(study)
    content = {
        "format": 1,
        "study": {"hash": atlas.study.hash, "sha256": hashlib.sha256(study).hexdigest(), "bytes": len(study)},
        "entries": {one.name: {"sha256": one.sha256, "bytes": one.bytes} for one in entries},
    }
    (folder / "manifest.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    [opening] = seconds([lambda: Atlas.open(folder)])
    old = Atlas.open(folder)
    assert dict(old.entries) == {one.name: one for one in entries}
    [changing] = seconds([lambda: old.enter(entry("report/first"))])
    assert Atlas.open(folder).has("report/first")
    return opening, changing


class Enough(Exception):  # noqa: N818 - no error
    """As many jobs as wanted are done."""


class Future:
    """A job that has ended as soon as it is submitted."""

    status = "finished"

    def __init__(self, job, limit):
        self.key, self.names, self.limit = job.name, sorted(job.promises), limit

    def add_done_callback(self, call):
        """It is done."""
        call(self)

    def result(self):
        """Its entries, and the seconds that it took."""
        if next(self.limit, None) is None:
            raise Enough
        return [entry(name) for name in self.names], 0.0


class OneByOne:
    """The queue of jobs that have ended: at every look one, so that the pipeline cannot enter several at once."""

    def __init__(self):
        self.ended = deque()
        self.put = self.ended.append

    def get(self, timeout):
        """The next one."""
        return self.ended.popleft()

    def get_nowait(self):
        """No other one."""
        raise queue.Empty


def a_run(atlas, jobs, count):
    """(seconds, jobs): what the pipeline takes for so many jobs that themselves take no time."""
    by_name = {job.name: job for job in jobs}
    limit = iter(range(count))
    runner.submit = lambda _, name, *__: Future(by_name[name], limit)
    runner.prepare_workers = lambda *_: None
    client, terms = SimpleNamespace(subscribe_topic=lambda *_: None), SimpleNamespace(content="none")
    status, caught = StatusFile(atlas, Quiet()), SimpleNamespace(received=None)
    with atlas.lock():
        started = time.perf_counter()
        run = runner._Run(atlas, jobs, client, terms, status, caught)
        run.ended = OneByOne()
        with suppress(Enough):
            run.go()
        return time.perf_counter() - started, len(run.done)


def measure(folder, count, singly, jobs):
    """All numbers, in milliseconds."""
    study = Study.load("paper")
    all_jobs = jobs_of(study)
    entries = [entry(name) for name in names_of(all_jobs)][:count]
    singly = min(singly or len(entries), len(entries))
    writing = disk(folder)
    atlas = Atlas.create(folder / "atlas", study)
    own, processor = own_process(atlas, entries, singly)
    opening, looks = other_process(atlas, singly)
    old, upgrading = old_format(atlas, folder / "old", entries)
    running, done = a_run(Atlas.create(folder / "run", study), all_jobs, jobs or len(all_jobs))
    milliseconds = {name: statistics.median(taken) * 1e3 for name, taken in own.items()} | {
        "enter, mean": statistics.mean(own["enter"]) * 1e3,
        "enter, mean of the processor's time": processor * 1e3,
        "has, in another process just after enter": statistics.median(looks) * 1e3,
        "open in a fresh process, per entry": opening / len(entries) * 1e3,
        "open format 1, per entry": old / len(entries) * 1e3,
        "first change of format 1, per entry": upgrading / len(entries) * 1e3,
        "a run, per job": running / done * 1e3,
    }
    return {
        "entries": len(entries),
        "entered_singly": singly,
        "jobs": done,
        "run_seconds": running,
        "fsync_milliseconds": {"median": statistics.median(writing) * 1e3, "mean": statistics.mean(writing) * 1e3},
        "milliseconds": milliseconds,
    }


def main():
    """Print every number, and whether it is at most 1 ms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 entries and 2,000 jobs")
    parser.add_argument("--entries", type=int, help="as many of the study's entries; by default all")
    parser.add_argument("--singly", type=int, help="of these, as many are entered one by one; by default all")
    parser.add_argument("--jobs", type=int, help="as many of the study's jobs; by default all")
    parser.add_argument("--folder", type=Path, help="where to write; by default the folder for temporary files")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    entries = arguments.entries or (10_000 if arguments.quick else None)
    jobs = arguments.jobs or (2_000 if arguments.quick else None)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = measure(Path(folder), entries, arguments.singly, jobs)
    print(f"{result['entries']:,} entries, of which {result['entered_singly']:,} entered one by one")
    print(
        "an append that waits for the disk: median {median:.3f} ms, mean {mean:.3f} ms".format(
            **result["fsync_milliseconds"]
        )
    )
    for name, value in result["milliseconds"].items():
        print(f"  {name:<42} {value:9.4f} ms{'' if value <= 1 else '  (more than 1)'}")
    print(f"a run of {result['jobs']:,} jobs: {result['run_seconds']:.1f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": platform.machine(), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
