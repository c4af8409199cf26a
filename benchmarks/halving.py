"""Does successive halving choose as well as random search? Both, over the same samples, on several configurations.

    python benchmarks/halving.py [--quick] [--json FILE]

Random search trains every sample to the end. A sample's curve under halving is the beginning of its curve under random
search, bit for bit (tests/training/test_search.py), so that what halving would have chosen is read off the random
search's curves. Printed are, per configuration, the held-out error of both choices and the share of the iterations that halving
needs. To see more than one draw, the samples are also split into disjoint quarters, each a search of its own.
"""

import argparse
import json
import os
import statistics

os.environ |= {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}

import numpy as np

from dynatlas.study.settings import Search
from dynatlas.study.study import Study
from dynatlas.training.search import run_search, start_search

STUDY = """
name = "halving"
[[tasks]]
kind = "flip_flop"
steps = {steps}
[[tasks]]
kind = "context_integration"
[population]
architectures = ["vanilla", "ugrnn", "gru"]
activations = ["tanh", "relu"]
units = [32]
l2 = [1e-5]
seeds = 1
[training]
iterations = {iterations}
batch_size = 32
validation_interval = {interval}
"""
CONFIGURATIONS = {
    ("flip_flop", "vanilla", "tanh"),
    ("flip_flop", "ugrnn", "relu"),
    ("context_integration", "vanilla", "relu"),
    ("context_integration", "ugrnn", "tanh"),
    ("context_integration", "gru", "tanh"),
    ("context_integration", "gru", "relu"),
}


def halving_choice(errors, diverged, points, rungs, subset):
    """The sample that halving would choose among ``subset``, from the curves [samples, points]."""
    alive = np.asarray(subset)
    for count, until in rungs:
        column = int(np.flatnonzero(points >= until)[0])
        lost = (diverged[alive] >= 0) & (diverged[alive] <= points[column])
        order = np.lexsort([np.nan_to_num(errors[alive, column], nan=np.inf), lost])
        # This rung's error decides who is in the next, and at the end who is chosen.
        following = [later for later, _ in rungs if later < count]
        alive = alive[order[: following[0] if following else 1]]
    return int(alive[0])


def compare(study, configuration, members, samples, factor):
    """Random search on one configuration, and what halving would have made of it."""
    search = Search(method="random", samples=samples, factor=factor)
    member = members[0]
    start = start_search(search, member, lambda key: study.cell(member.shape, key))
    state = run_search(study.task(configuration.task), search, member, start)
    rows = []
    for parts in (1, 4):
        for part in range(parts):
            subset = np.arange(part, samples, parts)
            rungs = search.model_copy(update={"method": "halving", "samples": len(subset)}).rungs(
                member.training.iterations
            )
            errors, final = state.validation_mse, state.validation_mse[:, -1]
            sound = np.where(state.diverged_at < 0, final, np.inf)
            chosen = halving_choice(errors, state.diverged_at, state.iterations, rungs, subset)
            spent, before = 0, 0
            for count, until in rungs:
                spent, before = spent + count * (until - before), until
            rows.append(
                {
                    "configuration": configuration.name,
                    "samples": len(subset),
                    "random_mse": float(sound[subset].min()),
                    "halving_mse": float(sound[chosen]),
                    "same_choice": bool(chosen == subset[np.argmin(sound[subset])]),
                    "rank": int((sound[subset] < sound[chosen]).sum()) + 1,
                    "share_of_iterations": spent / (len(subset) * member.training.iterations),
                }
            )
    return rows


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the iterations, shorter trials")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    study = Study.parse(
        STUDY.format(
            iterations=192 if options.quick else 1600,
            interval=3 if options.quick else 25,
            steps=20 if options.quick else 60,
        ),
        "benchmark",
    )
    rows = []
    print(f"{'':45}{'samples':>8}{'random':>10}{'halving':>10}{'rank':>6}{'iterations':>12}")
    for configuration, members in study.configurations.items():
        if configuration[:3] not in CONFIGURATIONS:
            continue
        for row in compare(study, configuration, members, 32, 4):
            rows.append(row)
            print(
                f"{row['configuration']:45}{row['samples']:8}{row['random_mse']:10.5f}{row['halving_mse']:10.5f}"
                f"{row['rank']:6}{row['share_of_iterations']:12.0%}",
                flush=True,
            )
    same = sum(row["same_choice"] for row in rows)
    ratios = [row["halving_mse"] / row["random_mse"] for row in rows]
    summary = {
        "searches": len(rows),
        "same_choice": same,
        "median_ratio_of_errors": statistics.median(ratios),
        "geometric_mean_ratio_of_errors": statistics.geometric_mean(ratios),
        "mean_share_of_iterations": statistics.mean(row["share_of_iterations"] for row in rows),
    }
    print(
        f"{same} of {len(rows)} searches choose the same sample; halving's error over random's: median "
        f"{summary['median_ratio_of_errors']:.2f}, geometric mean {summary['geometric_mean_ratio_of_errors']:.2f}; "
        f"for {summary['mean_share_of_iterations']:.0%} of the iterations"
    )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(summary | {"rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
