"""What 12 snapshots cost in training, on the flip-flop with 64 units.

    python benchmarks/snapshots.py [--quick] [--json FILE]

Each architecture is trained with and without snapshots, in turn, by the loop of the pipeline from the same start to the
same weights. Times are medians of the CPU time of the process, so that other programs count less; "share" is the median
over pairs. "MB" is the size of the weights that 12 snapshots of a network keep.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import jax
import numpy as np

from dynatlas.study.study import Study
from dynatlas.training.fit import begin, train

STUDY = """
name = "snapshots"
snapshots = 12
[[tasks]]
kind = "flip_flop"
[population]
activations = ["tanh"]
units = [64]
l2 = [1e-5]
seeds = 1
[training]
iterations = {iterations}
"""


def main():
    """Print a row for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer iterations and pairs")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()
    iterations, pairs = (200, 3) if options.quick else (1000, 5)
    study = Study.parse(STUDY.format(iterations=iterations))
    print(f"{'':10}{'without':>10}{'with':>10}{'share':>9}{'MB':>8}")
    rows = {}
    for block, members in study.blocks.items():
        rows[block.architecture] = row = measured(study, block, members, iterations, pairs)
        print(
            f"{block.architecture:10}{row['without']:9.2f}s{row['with']:9.2f}s{100 * row['share']:+8.1f}%"
            f"{row['megabytes']:8.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def measured(study, block, members, iterations, pairs):
    """Return the times of one architecture."""
    task, kept = study.trained_task(block), study.snapshots_of(members[0])

    def run(snapshots):
        state = begin(members, lambda key: study.cell(block, key))
        started = time.process_time()
        state = train(task, members, state, until=iterations, snapshots=snapshots)
        return time.process_time() - started, state

    run(kept)  # compiles
    plain, followed = zip(*((run(()), run(kept)) for _ in range(pairs)), strict=True)
    jax.tree.map(np.testing.assert_array_equal, plain[0][1].fits, followed[0][1].fits)
    times = [[seconds for seconds, _ in side] for side in (plain, followed)]
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(followed[0][1].snapshots))
    return {
        "without": statistics.median(times[0]),
        "with": statistics.median(times[1]),
        "share": statistics.median(b / a - 1 for a, b in zip(*times, strict=True)),
        "megabytes": size / 1e6,
    }


if __name__ == "__main__":
    main()
