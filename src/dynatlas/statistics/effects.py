"""Effects of a study's factors on the distances between its networks: the tables ``effects`` and ``headline``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Int

from dynatlas.statistics.dispersion import dispersion_test
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.interactions import interaction_test
from dynatlas.statistics.intervals import Interval, jackknife_interval
from dynatlas.statistics.labels import Codes, codes, combined
from dynatlas.statistics.neighbours import (
    accuracy_without_each,
    neighbour_test,
    silhouette_without_each,
    silhouettes,
)
from dynatlas.statistics.partition import INTERACTIONS, partition
from dynatlas.statistics.permanova import FactorTest, factor_test, is_exchangeable, refined
from dynatlas.study.members import FACTORS, level_text

Labels = Mapping[str, Sequence[Any]]  # factor → level of every network
Row = dict[str, Any]  # column → value
ALL: Final = "all"
NAN: Final = float("nan")
_NO_INTERVALS: Final = dict.fromkeys(
    (
        *("dispersion", "dispersion_p", "silhouette", "silhouette_low", "silhouette_high"),
        *("accuracy", "accuracy_low", "accuracy_high", "accuracy_chance", "accuracy_p"),
    ),
    NAN,
)


class Subset(NamedTuple):
    """The networks with one level of a factor, among which other factors are tested."""

    name: str
    factor: str
    level: Any
    tested: tuple[str, ...]


# The subsets on which the paper's evidence stands.
OF_THE_PAPER: Final = (
    Subset("tanh", "activation", "tanh", ("architecture",)),
    Subset("vanilla", "architecture", "vanilla", ("activation",)),
)


def subsets_of(levels: Labels) -> list[Subset]:
    """Return the subsets among which factors are tested: the paper's, and each level of each further factor.

    A subset of all networks, or of none, is left out.

    Args:
        levels: factor → its levels.

    Example:
        >>> levels = {"architecture": ["gru", "vanilla"], "activation": ["tanh"], "units": [8], "gain": [1, 2]}
        >>> [(subset.name, *subset.tested) for subset in subsets_of(levels)]
        [('vanilla', 'activation'), ('gain 1', 'architecture'), ('gain 2', 'architecture')]
    """
    several = {factor: dict.fromkeys(of) for factor, of in levels.items() if len(set(of)) > 1}
    papers = [subset for subset in OF_THE_PAPER if subset.level in several.get(subset.factor, ())]
    further = [
        Subset(f"{factor} {level_text(level)}", factor, level, tuple(others))
        for factor, of in several.items()
        if factor not in FACTORS
        for others in ([other for other in several if other != factor],)
        for level in of
    ]
    return [*papers, *further]


def factor_effects(
    distances: Distances,
    labels: Labels,
    permutations: int = 999,
    bootstraps: int = 999,
    seed: int = 0,
    parts: Sequence[Row] | None = None,
) -> list[Row]:
    """Compute R², p, dispersion, silhouette and nearest-neighbour accuracy of every factor, with intervals.

    R² is what a factor adds to the main effects of the others (``decomposition``). Its labels are permuted within the
    combinations of all other factors (``factor_test``). A last row, "interactions", has the test of the interactions.
    p is corrected for the number of rows (``holm``). A factor with a single level, or determined by the others, has no
    row. If all distances are 0 all networks are the same: R² is 0 and p is 1.

    Args:
        distances: [n, n].
        labels: factor → [n].
        permutations: number of permutations of each test; ten times as many where R² is significant (``refined``).
        bootstraps: number of resampled populations for each interval of R².
        seed: seed of permutations and resampling.
        parts: result of ``decomposition`` for the same arguments, which contains the intervals of R².

    Returns:
        Rows with the columns of the table ``effects`` but task, measure and subset.

    Example:
        >>> distances = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]]
        >>> [effect] = factor_effects(distances, {"architecture": ["gru", "gru", "lstm", "lstm"]})
        >>> round(effect["r2"], 3), effect["accuracy"]
        (0.988, 1.0)
    """
    matrix = DistanceMatrix.of(distances)
    factors = _varying(labels)
    shares = {part["factor"]: part for part in parts or decomposition(matrix, labels, bootstraps, seed)}
    rows = []
    for factor, levels in factors.items():
        others = [each for name, each in factors.items() if name != factor]
        if len(set(levels.tolist())) < len(levels) and is_exchangeable(levels, others):
            test = _test(matrix, levels, others, permutations, seed)
            rows.append(_row(shares[factor], test) | _separation(matrix, levels, others, permutations, seed))
    if INTERACTIONS in shares:
        of_all = list(factors.values())
        interactions = refined(lambda permutations: interaction_test(matrix, of_all, permutations, seed), permutations)
        rows.append(_row(shares[INTERACTIONS], interactions) | _NO_INTERVALS)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = adjusted
    return rows


def subset_effects(
    distances: Distances, labels: Labels, permutations: int = 999, bootstraps: int = 999, seed: int = 0
) -> list[Row]:
    """Compute the effects within subsets of the networks (``subsets_of``), such as architectures among tanh ones.

    Returns:
        The rows of ``factor_effects`` with the name of their ``subset``; p is corrected within the subset. A subset in
        which nothing can be tested has no row.

    Example:
        >>> distances = [[0, 1, 9, 9, 5], [1, 0, 9, 9, 5], [9, 9, 0, 1, 5], [9, 9, 1, 0, 5], [5, 5, 5, 5, 0]]
        >>> labels = {"architecture": ["gru", "gru", "lstm", "lstm", "lstm"], "activation": ["tanh"] * 4 + ["relu"]}
        >>> [(row["subset"], row["factor"], round(row["r2"], 3)) for row in subset_effects(distances, labels)]
        [('tanh', 'architecture', 0.988)]
    """
    matrix = DistanceMatrix.of(distances)
    rows = []
    for subset in subsets_of(labels):
        places = [place for place, each in enumerate(labels[subset.factor]) if each == subset.level]
        some = DistanceMatrix(matrix.values[np.ix_(places, places)], tuple(matrix.labels[place] for place in places))
        of_subset = {name: [levels[place] for place in places] for name, levels in labels.items()}
        effects = factor_effects(some, of_subset, permutations, bootstraps, seed)
        tested = [row for row in effects if row["factor"] in subset.tested]
        adjusted = holm([row["p"] for row in tested])
        rows += [row | {"subset": subset.name, "p_adjusted": p} for row, p in zip(tested, adjusted, strict=True)]
    return rows


def decomposition(distances: Distances, labels: Labels, bootstraps: int = 999, seed: int = 0) -> list[Row]:
    """Split the variance of the distances into parts that add up to 1 (``partition``).

    Args:
        distances: [n, n].
        labels: factor → [n].
        bootstraps: number of resampled populations for each interval.
        seed: seed of the resampling.

    Returns:
        One row per part: factor (a factor that varies, "shared", "interactions" or "seed"), r2, r2_low, r2_high,
        n_networks. No row if no factor varies.
    """
    matrix = DistanceMatrix.of(distances)
    factors = _varying(labels)
    return [
        {"factor": name, "r2": part.r2, "n_networks": len(matrix)} | _ends("r2", part.ends)
        for name, part in (partition(matrix, factors, bootstraps, seed) if factors else {}).items()
    ]


def headline_rows(parts: Sequence[Row], effects: Sequence[Row]) -> list[Row]:
    """Return the parts of ``decomposition`` with the tests of ``factor_effects``; NaN for parts without a test."""
    tested = {effect["factor"]: effect for effect in effects}
    names = ("r2_chance", "p_lower", "p_adjusted")
    return [dict(part) | {name: tested.get(part["factor"], {}).get(name, NAN) for name in names} for part in parts]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number m of tests: p₍ₖ₎ (m − k + 1), made non-decreasing in k and at most 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]

    Source: Holm 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(order) - np.arange(len(order))
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
    return [float(p) for p in adjusted]


def _varying(labels: Labels) -> dict[str, Int[np.ndarray, " n"]]:
    """Encode the factors that have several levels."""
    encoded = {factor: codes(levels) for factor, levels in labels.items()}
    return {factor: levels for factor, levels in encoded.items() if levels.max(initial=0) > 0}


def _test(matrix: DistanceMatrix, levels: Codes, others: Sequence[Codes], permutations: int, seed: int) -> FactorTest:
    if not matrix.values.any():
        return FactorTest(r2=0.0, f2=0.0, chance=0.0, p=1.0, p_lower=1.0)
    return refined(lambda permutations: factor_test(matrix, levels, others, permutations, seed), permutations)


def _row(share: Row, test: FactorTest) -> Row:
    names = ("factor", "r2", "r2_low", "r2_high", "n_networks")
    tested = {"r2_chance": test.chance, "p": test.p, "p_lower": test.p_lower}
    return {name: share[name] for name in names} | tested


def _separation(matrix: DistanceMatrix, levels: Codes, others: Sequence[Codes], permutations: int, seed: int) -> Row:
    """Return dispersion, silhouette and accuracy of the nearest neighbour."""
    cells = combined([levels, *others], len(levels))
    spread = dispersion_test(matrix, levels, others, permutations, seed)
    width = float(silhouettes(matrix.values, levels).mean())
    widths = jackknife_interval(width, silhouette_without_each(matrix.values, levels), cells)
    neighbours = neighbour_test(matrix, levels, others, permutations, seed)
    accuracies = jackknife_interval(neighbours.accuracy, accuracy_without_each(matrix, levels), cells)
    return {
        "dispersion": spread.ratio,
        "dispersion_p": spread.p,
        "silhouette": width,
        **_ends("silhouette", widths.within(-1.0, 1.0)),
        "accuracy": neighbours.accuracy,
        **_ends("accuracy", accuracies.within(0.0, 1.0)),
        "accuracy_chance": neighbours.chance,
        "accuracy_p": neighbours.p,
    }


def _ends(name: str, ends: Interval) -> dict[str, float]:
    return {f"{name}_low": ends.low, f"{name}_high": ends.high}
