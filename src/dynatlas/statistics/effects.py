"""What the factors of a study explain of the distances between its networks: the numbers of the headline table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.statistics.permanova import explained, nearest_neighbour_accuracy, neighbour_votes, permanova
from dynatlas.statistics.resampling import Interval, interval, mean_interval, r2_resamples

Labels = Mapping[str, Sequence[Any]]  # factor → every network's level


NOTHING = Interval(float("nan"), float("nan"))


def factor_effects(
    distances: Any,
    labels: Labels,
    permutations: int = 999,
    bootstraps: int = 999,
    seed: int = 0,
    parts: Sequence[Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Every factor's R², p, silhouette and nearest-neighbour accuracy, with intervals over networks.

    The labels of a factor are permuted within the strata of all others, and the p of its R² is corrected for the
    number of factors (``holm``). A factor with one level, or that is told by the others, has no row.

    Args:
        distances: [n, n].
        labels: factor → [n].
        permutations: of each test.
        bootstraps: populations for each interval.
        seed: of both.
        parts: what ``decomposition`` gave for the same, which has the intervals of R² already.

    Returns:
        One mapping per factor: factor, r2, r2_low, r2_high, r2_chance, p, p_adjusted, silhouette, silhouette_low,
        silhouette_high, accuracy, accuracy_low, accuracy_high, accuracy_chance, accuracy_p, n_networks.

    Example:
        >>> distances = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]]
        >>> [effect] = factor_effects(distances, {"architecture": ["gru", "gru", "lstm", "lstm"]})
        >>> round(effect["r2"], 3), effect["accuracy"]
        (0.988, 1.0)
    """
    from sklearn.metrics import silhouette_samples

    matrix = DistanceMatrix.of(distances)
    codes = {factor: _codes(levels) for factor, levels in labels.items()}
    testable = [factor for factor in codes if _is_testable(matrix, codes, factor)]
    rows = []
    shares = {part["factor"]: part for part in parts or decomposition(matrix, labels, bootstraps, seed)}
    for factor in testable:
        levels = codes[factor]
        strata = _strata(codes, factor)
        result = permanova(matrix, levels, strata, permutations, seed)
        neighbours = nearest_neighbour_accuracy(matrix, levels, permutations, seed, strata)
        shapes = silhouette_samples(matrix.values, levels, metric="precomputed")
        votes = neighbour_votes(matrix, levels)
        sizes = np.bincount(levels)
        row = {name: shares[factor][name] for name in ("factor", "r2", "r2_low", "r2_high")}
        row |= {"r2_chance": (len(sizes) - 1) / (len(levels) - 1), "p": result.p}
        row |= {"silhouette": float(shapes.mean())} | _ends("silhouette", mean_interval(shapes, bootstraps, seed))
        row |= {"accuracy": neighbours.accuracy} | _ends("accuracy", mean_interval(votes, bootstraps, seed))
        row |= {
            "accuracy_chance": float((sizes * (sizes - 1)).sum() / (len(levels) * (len(levels) - 1))),
            "accuracy_p": neighbours.p,
            "n_networks": len(levels),
        }
        rows.append(row)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = adjusted
    return rows


def decomposition(distances: Any, labels: Labels, bootstraps: int = 999, seed: int = 0) -> list[dict[str, Any]]:
    """The variance of the distances in parts that add up to 1: each factor's R², their interactions', the seeds'.

    What the factors together explain is the R² of their combinations. What this exceeds the sum of the factors' own R²
    by is their interactions'; what it leaves is the seeds'. In a population with equally many networks of each
    combination the parts are those of an analysis of variance, none negative but by distances that are not Euclidean;
    where networks were left out, the factors overlap, and the interactions' part makes up for it. With one network of
    each combination, interactions and seeds cannot be told apart, and all is put down to the seeds.

    Args:
        distances: [n, n].
        labels: factor → [n].
        bootstraps: populations for each interval.
        seed: of the draws.

    Returns:
        One mapping per part: factor (a factor, "interactions" or "seed"), r2, r2_low, r2_high, n_networks.
    """
    matrix = DistanceMatrix.of(distances)
    codes = {factor: _codes(levels) for factor, levels in labels.items()}
    varying = [factor for factor, levels in codes.items() if levels.max(initial=0) > 0]
    if not varying or not matrix.values.any():
        return []
    together = _combined(codes)
    groupings = [codes[factor] for factor in varying]
    combined = together.max() + 1 < len(together) and len(varying) > 1
    if combined:
        groupings.append(together)
    resampled = r2_resamples(matrix, groupings, together, bootstraps, seed)
    own = [explained(matrix.squares, levels) for levels in groupings]
    shares = np.concatenate([np.array(own)[:, None], resampled], axis=1)  # as it is, followed by its resamples
    parts = dict(zip(varying, shares, strict=False))
    if combined:
        parts["interactions"] = shares[-1] - np.sum(list(parts.values()), axis=0)
    parts["seed"] = 1 - np.sum(list(parts.values()), axis=0)
    return [
        {"factor": name, "r2": float(values[0]), "n_networks": len(matrix)} | _ends("r2", interval(values[1:]))
        for name, values in parts.items()
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """P corrected for the number of tests: the k-th smallest of m times m − k + 1, never below a smaller one's.

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


def _ends(name: str, ends: Interval) -> dict[str, float]:
    return {f"{name}_low": ends.low, f"{name}_high": ends.high}


def _codes(labels: Sequence[Any]) -> Int[np.ndarray, " n"]:
    """Labels as numbers from 0."""
    texts = np.array([str(label) for label in labels], dtype=np.str_)
    return np.asarray(np.unique(texts, return_inverse=True)[1], np.int64)


def _combined(codes: Mapping[str, NDArray[np.int64]]) -> Int[np.ndarray, " n"]:
    """The combination of all factors, as a number."""
    return _codes(list(zip(*(levels.tolist() for levels in codes.values()), strict=True)))


def _strata(codes: Mapping[str, NDArray[np.int64]], factor: str) -> list[str] | None:
    """The combinations of all other factors that vary."""
    others = [levels for name, levels in codes.items() if name != factor and levels.max(initial=0) > 0]
    return ["/".join(map(str, combination)) for combination in zip(*others, strict=True)] if others else None


def _is_testable(matrix: DistanceMatrix, codes: Mapping[str, NDArray[np.int64]], factor: str) -> bool:
    """Whether it has several levels, fewer than networks, and some stratum in which they can be exchanged."""
    levels = codes[factor]
    if not 1 < len(set(levels.tolist())) < len(levels) or not matrix.values.any():
        return False
    strata = _strata(codes, factor)
    return strata is None or len(set(zip(strata, levels.tolist(), strict=True))) > len(set(strata))
