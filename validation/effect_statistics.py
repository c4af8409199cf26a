"""False positives, power and coverage of every statistic that decides a verdict, in simulated populations.

    python validation/effect_statistics.py [--populations N] [--write DIRECTORY]

A population has 4 architectures × 2 activations and 3 to 12 seeds, or fewer where a design leaves networks out: points
in ten dimensions around the place of their architecture and activation. Bounds, set before the run, for 1,000
populations: false positives at the 5 % level within 3 and 7 %, coverage of 95 % intervals within 93 and 97 %, verdicts
that are wrong at most 7 %. In a crossover activation has an effect, though no mean effect, so that no permutation of it
is exact: at most 7 % there. Power has no bounds. ``--write`` writes effect_statistics.md and effect_statistics.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import binomtest

from dynatlas.statistics.claims.verdicts import does_not_separate, separates
from dynatlas.statistics.dispersion import dispersion_test
from dynatlas.statistics.effects import factor_effects
from dynatlas.statistics.interactions import interaction_test
from dynatlas.statistics.intervals import mean_interval, median_interval, share_interval
from dynatlas.statistics.pairs import correlation_of_pairs, mean_of_pairs, reliability
from dynatlas.statistics.partition import partition
from dynatlas.statistics.permanova import factor_test, value_test

FALSE_POSITIVES, COVERAGE = (0.03, 0.07), (0.93, 0.97)
PERMUTATIONS = BOOTSTRAPS = 199
DIMENSIONS = 10


def cells(seeds, **others):
    """Networks of each combination; ``others`` such as a3b1=0 change single ones."""
    counts = {f"a{a}b{b}": seeds for a in range(4) for b in range(2)} | others
    return [(a, b) for a in range(4) for b in range(2) for _ in range(counts[f"a{a}b{b}"])]


BALANCED = cells(3)
FEW_RELU = [(a, b) for a in range(4) for b in range(2) for _ in range(2 if b else 5)]
MISSING = cells(5, a3b1=0, a2b1=2, a0b0=2)
# Name → (networks, shift of each architecture along its own axis, shift of relu, crossover, spread of tanh, of relu).
NULL = {
    "balanced, no effect": (BALANCED, 0, 0, 0, 1, 1),
    "balanced, architecture 3 sd": (BALANCED, 3, 0, 0, 1, 1),
    "balanced, 8 seeds": (cells(8), 0, 0, 0, 1, 1),
    "empty cell, architecture 3 sd": (cells(3, a3b1=0), 3, 0, 0, 1, 1),
    "unbalanced 5/2/0, architecture 3 sd": (MISSING, 3, 0, 0, 1, 1),
    "dispersed, balanced": (BALANCED, 0, 0, 0, 1, 3),
    "dispersed, 5 tanh : 2 relu": (FEW_RELU, 0, 0, 0, 1, 3),
    "dispersed, 5 tanh : 2 relu, architecture 3 sd": (FEW_RELU, 3, 0, 0, 1, 3),
    "dispersed the other way, 5 tanh : 2 relu": (FEW_RELU, 0, 0, 0, 3, 1),
    "crossover 2 sd, no main effect": (BALANCED, 0, 0, 2, 1, 1),
}
EFFECTS = {
    "weak, 0.7 sd": (BALANCED, 2, 0.7, 0, 1, 1),
    "strong, 1.5 sd": (BALANCED, 2, 1.5, 0, 1, 1),
    "weak, 8 seeds": (cells(8), 2, 0.7, 0, 1, 1),
    "strong, unbalanced 5/2/0": (MISSING, 2, 1.5, 0, 1, 1),
    "4 sd, dispersed, 5 tanh : 2 relu": (FEW_RELU, 0, 4, 0, 1, 3),
}


def population(design, seed):
    """(points, {factor: levels}) of one population."""
    networks, architecture, activation, crossover, tanh, relu = design
    a, b = np.array(networks).T
    points = np.random.default_rng(seed).normal(size=(len(a), DIMENSIONS)) * np.where(b, relu, tanh)[:, None]
    points[np.arange(len(a)), a] += architecture
    points[:, 5] += activation * b
    points[:, 6] += crossover * (-1.0) ** (a + b)
    return points, {"architecture": a, "activation": b}


def distances_of(points):
    """Euclidean distances."""
    return squareform(pdist(points))


class Table:
    """Rows (statistic, design, quantity, share, its interval, within bounds), printed as they come."""

    def __init__(self):
        self.rows = []

    def add(self, statistic, design, quantity, found, bounds=None):
        """Add the share of populations in which something was found."""
        found = np.asarray(found, bool)
        ends = binomtest(int(found.sum()), len(found)).proportion_ci(method="wilson")
        share = float(found.mean())
        within = None if bounds is None else bool(bounds[0] <= share <= bounds[1])
        row = (statistic, design, quantity, share, float(ends.low), float(ends.high), within)
        self.rows.append(row)
        print(_line(row), flush=True)

    def false_positives(self, statistic, design, p_values, bounds=FALSE_POSITIVES):
        """Add how often p < 0.05."""
        self.add(statistic, design, "false positives", np.asarray(p_values) < 0.05, bounds)

    def power(self, statistic, design, p_values):
        """Add how often p < 0.05 with an effect."""
        self.add(statistic, design, "power", np.asarray(p_values) < 0.05)

    def coverage(self, statistic, design, ends, truth):
        """Add how often an interval holds the truth, one number or one for each population."""
        low, high = np.array(ends).T
        self.add(statistic, design, "coverage", (low <= truth) & (truth <= high), COVERAGE)


HEADER = "| statistic | design | measured | share | its 95 % interval | within bounds |\n|---|---|---|---|---|---|"


def _line(row):
    statistic, design, quantity, share, low, high, within = row
    verdict = {None: "–", True: "yes", False: "**no**"}[within]
    ends = f"{100 * low:.1f} to {100 * high:.1f} %"
    return f"| {statistic} | {design} | {quantity} | {100 * share:.1f} % | {ends} | {verdict} |"


def tests(table, populations):
    """Tests of a factor, its lower tail, interactions, and dispersion."""
    for name, design in NULL.items():
        rows = []
        for seed in range(populations):
            points, factors = population(design, seed)
            d, a, b = distances_of(points), factors["architecture"], factors["activation"]
            main = factor_test(d, b, [a], PERMUTATIONS, seed)
            interactions = interaction_test(d, [a, b], PERMUTATIONS, seed)
            spread = dispersion_test(d, b, [a], PERMUTATIONS, seed)
            rows.append((main.p, main.p_lower, interactions.p, spread.p))
        p, lower, interactions, spread = np.array(rows).T
        bounds = (0, FALSE_POSITIVES[1]) if design[3] else FALSE_POSITIVES
        table.false_positives("factor (F₂)", name, p, bounds)
        table.false_positives("factor, lower tail", name, lower, bounds)
        (table.power if design[3] else table.false_positives)("interactions", name, interactions)
        if not design[3]:
            differ = design[4] != design[5]
            (table.power if differ else table.false_positives)("dispersion (PERMDISP)", name, spread)
    for name, design in EFFECTS.items():
        found = []
        for seed in range(populations):
            points, factors = population(design, seed)
            d, a, b = distances_of(points), factors["architecture"], factors["activation"]
            found.append(factor_test(d, b, [a], PERMUTATIONS, seed).p)
        table.power("factor (F₂)", name, found)


class Effects(NamedTuple):
    """What a verdict reads of an atlas: the table ``effects`` of one matrix."""

    rows: pd.DataFrame

    def table(self, name):
        """Return the rows."""
        return self.rows


def verdicts(table, populations):
    """Verdicts on what activation does, from the table of effects; wrong ones are counted."""
    designs = {name: NULL[name] for name in ("balanced, no effect", "dispersed, 5 tanh : 2 relu")}
    designs |= {"crossover 2 sd, no main effect": NULL["crossover 2 sd, no main effect"]}
    designs |= {"activation 3 sd": (BALANCED, 2, 3, 0, 1, 1)}
    for name, design in designs.items():
        found = []
        for seed in range(populations):
            points, factors = population(design, seed)
            effects = factor_effects(distances_of(points), factors, PERMUTATIONS, BOOTSTRAPS, seed)
            atlas = Effects(pd.DataFrame({"task": "t", "measure": "m", "subset": "all"} | row for row in effects))
            of_claims = (separates, does_not_separate)
            found.append([claim(atlas, "t", "m", "activation").verdict == "holds" for claim in of_claims])
        separate, alike = np.array(found).T
        has_effect = bool(design[2] or design[3])
        table.add("“separates” holds", name, "verdicts", separate, None if has_effect else (0, 0.07))
        table.add("“does not separate” holds", name, "verdicts", alike, (0, 0.07) if has_effect else None)


def shares_of_variance(table, populations):
    """Intervals of R²; the truth is the mean R² of all populations."""
    designs = {
        "3 + 3 networks": ([(0, b) for b in range(2) for _ in range(3)], 0, 0, 0, 1, 1),
        "3 + 3 networks, 2 sd": ([(0, b) for b in range(2) for _ in range(3)], 0, 2, 0, 1, 1),
        "12 networks, 1.5 sd": ([(a, b) for a in range(2) for b in range(2) for _ in range(3)], 2, 1.5, 0, 1, 1),
        "24 networks, no effect": (BALANCED, 0, 0, 0, 1, 1),
        "24 networks, 1.5 sd": (BALANCED, 2, 1.5, 0, 1, 1),
        "21 networks, empty cell, 1.5 sd": (cells(3, a3b1=0), 2, 1.5, 0, 1, 1),
        "29 networks, unbalanced 5/2/0, 1.5 sd": (MISSING, 2, 1.5, 0, 1, 1),
        "24 networks, dispersed": (BALANCED, 2, 1.5, 0, 1, 3),
        "24 networks, crossover 2 sd": (BALANCED, 0, 0, 2, 1, 1),
        "96 networks, 1.5 sd": (cells(12), 2, 1.5, 0, 1, 1),
    }
    for name, design in designs.items():
        rows = []
        for seed in range(populations):
            points, factors = population(design, seed)
            varying = {factor: levels for factor, levels in factors.items() if levels.any()}
            rows.append(partition(distances_of(points), varying, BOOTSTRAPS, seed))
        for factor in rows[0]:
            if factor not in ("shared", "seed"):
                truth = np.mean([row[factor].r2 for row in rows])
                table.coverage(f"R² of {factor}", name, [row[factor].ends for row in rows], truth)


def scalars(table, populations):
    """One number a network: architecture differs, activation does not, and no relu LSTM is left."""
    for seeds in (3, 5, 10, 30):
        networks = cells(seeds, a3b1=0)
        a, b = np.array(networks).T
        found = []
        for seed in range(populations):
            values = np.random.default_rng(seed).normal(size=len(a)) + 3.0 * (a == 3)
            found.append(value_test(values, b, [a], PERMUTATIONS, seed).p)
        table.false_positives("one number a network", f"{seeds} seeds, LSTM 3 sd away, empty cell", found)
    a, b = np.array(BALANCED).T
    found = [
        value_test(np.random.default_rng(seed).normal(size=24) + 1.5 * b, b, [a], PERMUTATIONS, seed).p
        for seed in range(populations)
    ]
    table.power("one number a network", "24 networks, 1.5 sd", found)


def intervals(table, populations):
    """Intervals of shares, means, medians, and of statistics over pairs."""
    for n in (6, 12, 24, 96):
        random = np.random.default_rng(n)
        normal = random.normal(size=(populations, n))
        truths = random.uniform(0.05, 0.95, populations)
        drawn = random.random((populations, n)) < truths[:, None]
        size = f"{n} networks"
        table.coverage("share", f"{size}, shares from 5 to 95 %", [share_interval(1.0 * x) for x in drawn], truths)
        table.coverage("mean", f"{size}, normal", [mean_interval(x) for x in normal], 0.0)
        table.coverage("mean", f"{size}, uniform", [mean_interval(x) for x in random.random((populations, n))], 0.5)
        table.coverage("median", f"{size}, normal", [median_interval(x) for x in normal], 0.0)
        table.coverage("median", f"{size}, lognormal", [median_interval(np.exp(x)) for x in normal], 1.0)
    for n in (6, 12, 24, 96):
        of_correlation, of_reliability, of_mean = [], [], []
        for seed in range(populations):
            random = np.random.default_rng(seed)
            points = random.normal(size=(n, 4))
            first, second = (distances_of(points + 0.5 * random.normal(size=(n, 4))) for _ in range(2))
            of_correlation.append(correlation_of_pairs(first, second))
            of_reliability.append(reliability(first, second))
            of_mean.append(mean_of_pairs(first))
        for statistic, rows in (
            ("correlation over pairs", of_correlation),
            ("reliability", of_reliability),
            ("mean over pairs", of_mean),
        ):
            truth = np.mean([value for value, _ in rows])
            table.coverage(statistic, f"{n} networks", [ends for _, ends in rows], truth)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--populations", type=int, default=1000)
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="write the table and the numbers")
    arguments = parser.parse_args()
    started, table = time.monotonic(), Table()
    print(HEADER)
    for part in (intervals, scalars, tests, verdicts, shares_of_variance):
        part(table, arguments.populations)
    judged = [row for row in table.rows if row[-1] is not None]
    summary = (
        f"{sum(row[-1] for row in judged)} of {len(judged)} within bounds, {arguments.populations:,} populations each, "
        f"{(time.monotonic() - started) / 60:.0f} minutes"
    )
    print(summary)
    if arguments.write:
        names = ("statistic", "design", "quantity", "share", "low", "high", "within_bounds")
        rows = [dict(zip(names, row, strict=True)) for row in table.rows]
        content = json.dumps({"populations": arguments.populations, "rows": rows}, indent=1, ensure_ascii=False)
        (arguments.write / "effect_statistics.json").write_text(content + "\n")
        text = "\n".join([HEADER, *map(_line, table.rows), "", summary, ""])
        (arguments.write / "effect_statistics.md").write_text(text)


if __name__ == "__main__":
    main()
