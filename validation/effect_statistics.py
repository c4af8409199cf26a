"""How often is a factor found that has no effect, and one that has? Many simulated populations of networks.

    python validation/effect_statistics.py [--populations N] [--json FILE]

A population has 4 architectures × 2 activations × 3 seeds, as the demo's tasks, or 8 seeds: points in ten dimensions
around the place of their architecture, so that architecture has an effect whose strata activation is permuted in.
Activation has none, a weak one, or a strong one. Printed are the shares of populations with p < 0.05 for activation, by
PERMANOVA and by the nearest neighbour; how often the 95 % interval of R² holds the mean R² of all populations; and how
often Holm's correction finds any effect where there is none at all.
"""

import argparse
import json

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import binomtest

from dynatlas.statistics.effects import factor_effects

SHIFTS = {"none": 0.0, "weak": 0.7, "strong": 1.5}


def population(seeds, architecture, activation, seed):
    """(distances, labels) of one population."""
    random = np.random.default_rng(seed)
    labels = [(a, b) for a in range(4) for b in range(2) for _ in range(seeds)]
    points = random.normal(size=(len(labels), 10))
    for point, (a, b) in zip(points, labels, strict=True):
        point[a] += architecture
        point[4] += activation * b
    return squareform(pdist(points)), {"architecture": [a for a, _ in labels], "activation": [b for _, b in labels]}


def share(found):
    """A share with its 95 % interval."""
    ends = binomtest(int(np.sum(found)), len(found)).proportion_ci(method="wilson")
    return {"share": float(np.mean(found)), "low": ends.low, "high": ends.high}


def study(seeds, architecture, activation, populations):
    """What is found in many populations."""
    rows = []
    for seed in range(populations):
        effects = factor_effects(*population(seeds, architecture, activation, seed), permutations=199, bootstraps=199)
        rows.append({effect["factor"]: effect for effect in effects})
    mean = np.mean([row["activation"]["r2"] for row in rows])
    return {
        "permanova": share([row["activation"]["p"] < 0.05 for row in rows]),
        "neighbour": share([row["activation"]["accuracy_p"] < 0.05 for row in rows]),
        "covered": share([row["activation"]["r2_low"] <= mean <= row["activation"]["r2_high"] for row in rows]),
        "any": share([min(effect["p_adjusted"] for effect in row.values()) < 0.05 for row in rows]),
        "r2": float(mean),
    }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--populations", type=int, default=1000)
    parser.add_argument("--json", metavar="FILE", help="write the numbers")
    arguments = parser.parse_args()
    results = []
    print("| seeds | architecture | activation | R² | PERMANOVA finds it | neighbours find it | covered | Holm: any |")
    print("|---|---|---|---|---|---|---|---|")
    for seeds in (3, 8):
        for architecture, activation in ((0.0, "none"), (2.0, "none"), (2.0, "weak"), (2.0, "strong")):
            found = study(seeds, architecture, SHIFTS[activation], arguments.populations)
            results.append({"seeds": seeds, "architecture": architecture, "activation": activation} | found)
            cells = [
                f"{100 * one['share']:.1f} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
                for one in (found[name] for name in ("permanova", "neighbour", "covered", "any"))
            ]
            print(
                f"| {seeds} | {architecture:g} | {activation} | {found['r2']:.3f} | {' | '.join(cells)} |", flush=True
            )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"populations": arguments.populations, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
