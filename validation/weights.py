"""How good is the matching of units between networks, and how far below it is the lower bound?

    python validation/weights.py ATLAS [--json FILE]

For trained networks of an atlas, pairs of one configuration with other seeds: the distance of a study, that of a search
twenty times as long, and the lower bound. Then planted correspondences: a network and its reordered copy, with Gaussian
noise on all weights whose norm is a multiple of theirs. Last, the recurrent weights of the vanilla networks alone, as
they are, against SciPy's ``quadratic_assignment``, which knows neither signs nor other weights.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import quadratic_assignment

from dynatlas import Atlas
from dynatlas.atlas.networks import trained
from dynatlas.cells.symmetries.unit_weights import unit_weights
from dynatlas.measures.weights.distance import Weights

USUAL, LONG = Weights(), Weights(starts=10, steps=30)
NOISES = (0.1, 0.5, 1.0, 2.0)
DRAWS = 3


def moved(weights, order, signs):
    """Return weights after units were reordered, and changed sign where they can."""
    found = dict(weights)
    for name, values in weights.items():
        flips = weights.get(f"flips {name}", np.zeros(2)).astype(bool)
        if name.startswith("units "):
            found[name] = values[order] * (signs[:, None] if flips[0] else 1)
        elif name.startswith("between "):
            rows, columns = (signs if flip else np.ones(len(order)) for flip in flips)
            found[name] = values[np.ix_(order, order)] * rows[:, None] * columns
    return found


def noisy(weights, size, random):
    """Add noise whose norm is a multiple of the weights'."""
    names = [name for name in weights if not name.startswith("flips ")]
    noise = {name: random.normal(size=weights[name].shape) for name in names}
    norms = [np.sqrt(sum((part[name] ** 2).sum() for name in names)) for part in (weights, noise)]
    return weights | {name: weights[name] + size * norms[0] / norms[1] * noise[name] for name in names}


def recovered(weights, size, random):
    """Whether a planted order is found again."""
    n = len(weights["units readout"])
    order, signs = random.permutation(n), random.choice([-1.0, 1.0], n)
    found = USUAL.match(weights, noisy(moved(weights, order, signs), size, random))[0]
    return bool((order[found.order] == np.arange(n)).all())


def against_scipy(first, second):
    """Return the distances of both networks' recurrent weights, scaled to norm 1: ours, and SciPy's two methods'."""
    matrices = [one["between candidate"] / np.linalg.norm(one["between candidate"]) for one in (first, second)]
    ours = LONG.between(*({"between candidate": matrix} for matrix in matrices))
    theirs = []
    for method in ("faq", "2opt"):
        options = {"maximize": True, "rng": np.random.default_rng(0)}
        order = quadratic_assignment(*matrices, method=method, options=options).col_ind
        theirs.append(float(np.linalg.norm(matrices[0] - matrices[1][np.ix_(order, order)])))
    return ours, *theirs


def pairs_of(configurations):
    """Return all pairs of networks of one configuration."""
    return [pair for alike in configurations for pair in combinations(alike, 2)]


def measured(configurations, random):
    """Return what is found of the networks of one kind."""
    pairs, every = pairs_of(configurations), [one for alike in configurations for one in alike]
    usual, best = (np.array([one.between(*pair) for pair in pairs]) for one in (USUAL, LONG))
    bounds = np.array([USUAL.lower_bound(*pair) for pair in pairs])
    planted = {size: [recovered(one, size, random) for one in every for _ in range(DRAWS)] for size in NOISES}
    return {
        "pairs": len(pairs),
        "mean distance": round(float(usual.mean()), 3),
        "largest excess over the long search": round(float((usual / best - 1).max()), 4),
        "median bound over distance": round(float(np.median(bounds / usual)), 3),
        "recovered": {size: round(float(np.mean(found)), 3) for size, found in planted.items()},
    }


def shares_against_scipy(configurations):
    """Return the shares of pairs that are not further apart than by SciPy's methods."""
    ours, *theirs = np.array([against_scipy(*pair) for pair in pairs_of(configurations)]).T
    methods = zip(("faq", "2opt"), theirs, strict=True)
    return {f"not above SciPy's {method}": float(np.mean(ours <= other + 1e-9)) for method, other in methods}


def main():
    """Print a line for each kind of network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas")
    parser.add_argument("--json", metavar="FILE", help="write the numbers")
    arguments = parser.parse_args()
    atlas = Atlas.open(arguments.atlas)
    networks = {}
    for block in atlas.study.blocks:
        for member, cell in trained(atlas, block):
            networks.setdefault((member.architecture, member.activation, member.units), {}).setdefault(
                member.configuration, []
            ).append(unit_weights(cell))
    rows, random = [], np.random.default_rng(0)
    for kind, configurations in networks.items():
        rows.append({"kind": " ".join(map(str, kind))} | measured(list(configurations.values()), random))
        if kind[0] == "vanilla":
            rows[-1] |= shares_against_scipy(list(configurations.values()))
        print(", ".join(f"{name}: {value}" for name, value in rows[-1].items()), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
