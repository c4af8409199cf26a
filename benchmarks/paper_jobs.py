"""What the paper's study costs besides its numbers: 8,640 networks in 25,554 jobs.

    python benchmarks/paper_jobs.py [--quick] [--json FILE]

A worker process does many jobs of one study. Timed are the first job's opening of the atlas and finding of its block
and of a network by name, and the same of every further job. The atlas is empty; what a full manifest costs is in
``bookkeeping.py``. The main process makes the list of jobs, and finds which can start at the end of each. A plan does
the same in simulated time, here from invented measurements. A matrix of 2,880 networks is validated once, in the job
that maps it. Times are of the processor, so that other programs do not count, and the median of five but for the first
job (``--quick``: one, and a tenth of the networks).
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ |= {"NPROC": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}

import numpy as np

from dynatlas.atlas.atlas import Atlas
from dynatlas.pipeline.calibration import Cost
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.pipeline.pending import Pending
from dynatlas.pipeline.planning import Calibration, plan_from
from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.study.study import Study


def paper(seeds):
    """The paper's study, read again, with so many seeds of each configuration."""
    study = Study.load("paper")
    return study.model_copy(update={"population": study.population.model_copy(update={"seeds": seeds})})


def timed(compute):
    """Seconds of the processor."""
    begun = time.process_time()
    compute()
    return time.process_time() - begun


def median(compute, repeats):
    """The median of some times."""
    return statistics.median(timed(compute) for _ in range(repeats))


def opening(seeds, repeats):
    """Seconds until a job has its block and a network: the first job of a process, and the following ones."""
    study = paper(seeds)
    block, member = list(study.blocks)[-1], study.members[-1]
    with tempfile.TemporaryDirectory() as folder:
        path = Atlas.create(Path(folder) / "atlas", study).path
        Atlas.open(path)  # what is slow once whatever the study

        def job():
            atlas = Atlas.open(path)
            assert member in atlas.study.blocks[block]
            assert [atlas.study.block_of(found) for found in atlas.study.members_named(member.name)] == [block]

        return timed(job), median(job, max(repeats, 5))


def run(jobs):
    """Start and end every job, as many at a time as can start."""
    pending = Pending({job.name: job.needs for job in jobs})
    running = []
    while pending or running:
        while name := pending.start():
            running.append(name)
        pending.end(running.pop())


def invented(study):
    """Measurements for a plan."""
    costs = dict.fromkeys(study.shapes, Cost(1.0, 0.001, 1e9))
    return Calibration(1.0, costs, costs, dict.fromkeys(study.analysis.measures, (0.01, 1e-5)))


def distances(networks):
    """Distances between random points, symmetric but for rounding."""
    points = np.random.default_rng(0).normal(size=(networks, 8))
    squares = (points**2).sum(axis=1)
    away = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(away, 0)
    return away


def measure(seeds, repeats):
    """All numbers."""
    study = paper(seeds)
    jobs = jobs_of(study)
    first, further = opening(seeds, repeats)
    matrix = distances(96 * seeds)
    return {
        "networks": len(study.members),
        "jobs": len(jobs),
        "dependencies": sum(len(job.needs) for job in jobs),
        "seconds": {
            "open the atlas and find block and network, first job": first,
            "the same, further jobs": further,
            "make the members": median(lambda: paper(seeds).members, repeats),
            "make the list of jobs": median(lambda: jobs_of(study), repeats),
            "start and end all jobs": median(lambda: run(jobs), repeats),
            "plan, besides calibration": median(lambda: plan_from(paper(seeds), 64, invented(study)), repeats),
            f"validate a matrix of {96 * seeds:,} networks": median(lambda: DistanceMatrix.of(matrix), repeats),
        },
    }


def main():
    """Print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the networks, timed once")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    result = measure(3, 1) if arguments.quick else measure(30, 5)
    print(f"{result['networks']:,} networks, {result['jobs']:,} jobs, {result['dependencies']:,} dependencies")
    for name, seconds in result["seconds"].items():
        print(f"  {name:<54} {1000 * seconds:9.2f} ms", flush=True)
    if arguments.json:
        result |= {"machine": platform.machine(), "cores": os.cpu_count(), "quick": arguments.quick}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
