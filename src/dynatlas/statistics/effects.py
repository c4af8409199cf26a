"""Effects of a study's factors on the distances between its networks: the tables ``effects`` and ``headline``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.permanova import explained, nearest_neighbour_accuracy, neighbour_votes, permanova
from dynatlas.statistics.resampling import Interval, interval, mean_interval, r2_resamples

Labels = Mapping[str, Sequence[object]]  # factor → level of every network
Row = dict[str, Any]  # column → value


def factor_effects(
    distances: Distances,
    labels: Labels,
    permutations: int = 999,
    bootstraps: int = 999,
    seed: int = 0,
    parts: Sequence[Row] | None = None,
) -> list[Row]:
    """Compute R², p, silhouette and nearest-neighbour accuracy of every factor, with intervals over networks.

    The labels of a factor are permuted within the strata of all other factors, and the p of its R² is corrected for
    the number of factors (``holm``). A factor with a single level, or determined by the others, has no row.

    Args:
        distances: [n, n].
        labels: factor → [n].
        permutations: number of permutations of each test.
        bootstraps: number of resampled populations for each interval.
        seed: seed of permutations and resampling.
        parts: result of ``decomposition`` for the same arguments, which contains the intervals of R².

    Returns:
        One row per factor: factor, r2, r2_low, r2_high, r2_chance, p, p_adjusted, silhouette, silhouette_low,
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


def decomposition(distances: Distances, labels: Labels, bootstraps: int = 999, seed: int = 0) -> list[Row]:
    """Split the variance of the distances into parts that add up to 1: factors, their interactions, and seeds.

    A factor's part is its R². With R²_all the R² of all combinations of levels, the interactions explain R²_all minus
    the sum of the factors' R², and the seeds 1 − R²_all. In a balanced population the parts are those of an analysis of
    variance, and negative only if the distances are not Euclidean. If networks are missing, the factors overlap, and
    the part of the interactions absorbs the overlap. With one network per combination, interactions and seeds are
    confounded, and their variance is assigned to the seeds.

    Args:
        distances: [n, n].
        labels: factor → [n].
        bootstraps: number of resampled populations for each interval.
        seed: seed of the resampling.

    Returns:
        One row per part: factor (a factor, "interactions" or "seed"), r2, r2_low, r2_high, n_networks.
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
    shares = np.concatenate([np.array(own)[:, None], resampled], axis=1)  # the estimate, then its resamples
    parts = dict(zip(varying, shares, strict=False))
    if combined:
        parts["interactions"] = shares[-1] - np.sum(list(parts.values()), axis=0)
    parts["seed"] = 1 - np.sum(list(parts.values()), axis=0)
    return [
        {"factor": name, "r2": float(values[0]), "n_networks": len(matrix)} | _ends("r2", interval(values[1:]))
        for name, values in parts.items()
    ]


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


def _ends(name: str, ends: Interval) -> dict[str, float]:
    return {f"{name}_low": ends.low, f"{name}_high": ends.high}


def _codes(labels: Sequence[object]) -> Int[np.ndarray, " n"]:
    """Encode labels as integers from 0."""
    texts = np.array([str(label) for label in labels], dtype=np.str_)
    return np.asarray(np.unique(texts, return_inverse=True)[1], np.int64)


def _combined(codes: Mapping[str, NDArray[np.int64]]) -> Int[np.ndarray, " n"]:
    """Encode each network's combination of all factors as an integer."""
    return _codes(list(zip(*(levels.tolist() for levels in codes.values()), strict=True)))


def _strata(codes: Mapping[str, NDArray[np.int64]], factor: str) -> list[str] | None:
    """Return each network's combination of the other factors that vary; None if none does."""
    others = [levels for name, levels in codes.items() if name != factor and levels.max(initial=0) > 0]
    return ["/".join(map(str, combination)) for combination in zip(*others, strict=True)] if others else None


def _is_testable(matrix: DistanceMatrix, codes: Mapping[str, NDArray[np.int64]], factor: str) -> bool:
    """Whether a factor has several levels, fewer than networks, and a stratum in which they can be exchanged."""
    levels = codes[factor]
    if not 1 < len(set(levels.tolist())) < len(levels) or not matrix.values.any():
        return False
    strata = _strata(codes, factor)
    return strata is None or len(set(zip(strata, levels.tolist(), strict=True))) > len(set(strata))
