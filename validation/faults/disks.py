"""Disks that are too small, in bytes or in inodes: the run ends with an error, and goes on once there is room."""

import itertools
import subprocess
import time
from pathlib import Path

from faults import runs
from faults.counts import Counts

SIZES_KB = (4, 20, 36, 68, 100, 250, 400, 700, 1000)
INODES = (3, 6, 10, 20, 45, 90, 180)


def disks(work: Path, number: int, seed: int) -> list[Counts]:
    """Run on each disk, enlarge it, run again, and compare with an undisturbed run."""
    del number, seed
    study, reference = work / "study.toml", work / "reference"
    study.write_text(runs.STUDY)
    if runs.wait(runs.start(study, reference, work / "log")) != 0:
        raise SystemExit((work / "log").read_text()[-2000:])
    wanted = runs.results(reference)
    small, few = Counts("disk of 4 to 1,000 kB, then enlarged"), Counts("disk of 3 to 180 inodes, then enlarged")
    tries = [(small, f"size={size}k,nr_inodes=0") for size in SIZES_KB]
    tries += [(few, f"size=50m,nr_inodes={inodes}") for inodes in INODES]
    for (counts, options), at in zip(tries, itertools.count(), strict=False):
        began, disk = time.monotonic(), work / f"disk-{at}"
        disk.mkdir()
        _mount("-t", "tmpfs", "-o", options, "tmpfs", disk)
        try:
            outcome, example = _try(study, disk, work / f"log-{at}", wanted)
        finally:
            subprocess.run(["umount", "-l", disk], check=True)  # noqa: S607
        counts.add(outcome, f"{options}: {example}")
        counts.seconds += time.monotonic() - began
        print(options, outcome, example, flush=True)
    return [small, few]


def _try(study: Path, disk: Path, log: Path, wanted: dict[str, str]) -> tuple[str, str]:
    code = runs.wait(runs.start(study, disk / "atlas", log))
    if code is None:
        return "hung", "on the small disk"
    if "Traceback" in log.read_text():
        return "lost", log.read_text()[-300:]
    _mount("-o", "remount,size=100m,nr_inodes=0", disk)
    code = runs.wait(runs.start(study, disk / "atlas", log))
    if code is None:
        return "hung", "after enlarging"
    if code or "Traceback" in log.read_text():
        return "lost", log.read_text()[-300:]
    return ("survived", "") if runs.results(disk / "atlas") == wanted else ("silent", "another result")


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)  # noqa: S607
