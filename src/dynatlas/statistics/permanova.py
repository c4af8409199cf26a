"""Tests of a grouping of networks on their distances: PERMANOVA, silhouette, and nearest-neighbour accuracy."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances

# Permutations evaluated in one matrix product: enough to be fast, few enough to need only tens of megabytes.
BATCH = 64


class PermanovaResult(NamedTuple):
    """Share of the variance that a factor explains, and its permutation p."""

    r2: float
    p: float


class NeighbourResult(NamedTuple):
    """Share of networks whose nearest neighbour has the same label, and its permutation p."""

    accuracy: float
    p: float


def permanova(
    distances: Distances, groups: ArrayLike, strata: ArrayLike | None = None, permutations: int = 999, seed: int = 0
) -> PermanovaResult:
    """Compute a permutational analysis of variance with one factor.

    With SS_total = Σ_{i<j} d²ᵢⱼ / n and SS_within = Σ_groups Σ_{i<j in group} d²ᵢⱼ / n_group,

        R² = 1 − SS_within / SS_total,        F = (R² / (a − 1)) / ((1 − R²) / (n − a))    for a groups,

    p = (1 + #{F_permuted ≥ F}) / (1 + permutations). Permuting labels changes neither SS_total nor the group sizes, so
    the smallest SS_within is the largest F, and only SS_within is computed.

    A small p indicates that groups differ in location *or* in spread. Strata restrict the permutations, not R²: the R²
    of a factor that is correlated with the strata includes what they explain. R² can be negative for distances that are
    not Euclidean.

    Args:
        distances: [n, n].
        groups: [n], level of the factor of each network; a pandas Series whose index names the networks is put in their
            order.
        strata: [n] or None. Labels are exchanged only among networks of one stratum, so that an effect of the strata
            does not make the factor significant.
        permutations: number of permutations; p is never below 1/(1 + permutations).
        seed: seed of the permutations.

    Returns:
        (R², p).

    Raises:
        ValueError: different lengths, a missing label, a single level, a level for every network, strata within which
            no labels can be exchanged, distances that are all 0 or invalid (as in ``mds``).

    Example:
        >>> distances = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]]
        >>> r2, p = permanova(distances, ["a", "a", "b", "b"])
        >>> round(r2, 3)
        0.988

    Source: Anderson 2001; Anderson & ter Braak 2003 for strata. Agrees with scikit-bio, which has no strata.
    """
    matrix, levels = _checked(distances, groups)
    blocks = np.zeros(len(levels), np.int64) if strata is None else _codes(strata, len(levels), "strata", matrix.labels)
    if not any(len(np.unique(levels[blocks == block])) > 1 for block in np.unique(blocks)):
        raise ValueError(
            f"within each of the {blocks.max() + 1} strata all networks have the same level, so that nothing can be "
            "exchanged; use coarser strata"
        )
    squares = matrix.squares
    total = float(squares.sum()) / (2 * len(levels))
    if total == 0:
        raise ValueError("all distances are 0; there is no variance to explain")
    observed = float(_within(squares, levels[None])[0])
    # A permutation that only renames groups must count as equal in spite of rounding.
    limit = observed + 1e-12 * total
    as_good = sum(
        int((_within(squares, permuted) <= limit).sum())
        for permuted in _permutations(levels, blocks, permutations, seed)
    )
    return PermanovaResult(1 - observed / total, (1 + as_good) / (1 + permutations))


def silhouette(distances: Distances, groups: ArrayLike) -> float:
    """Compute the mean over networks of (b − a) / max(a, b).

    a is a network's mean distance to its own group and b to the nearest other group. The silhouette is 1 if groups are
    far apart, 0 if they mix, and negative if most networks are nearer to another group. A network alone in its group
    counts as 0.

    Args:
        distances: [n, n].
        groups: [n].

    Raises:
        ValueError: as in ``permanova``.

    Example:
        >>> round(silhouette([[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]], ["a", "a", "b", "b"]), 3)
        0.889

    Source: Rousseeuw 1987, as computed by scikit-learn.
    """
    from sklearn.metrics import silhouette_score

    matrix, levels = _checked(distances, groups)
    return float(silhouette_score(matrix.values, levels, metric="precomputed"))


def nearest_neighbour_accuracy(
    distances: Distances, groups: ArrayLike, permutations: int = 999, seed: int = 0, strata: ArrayLike | None = None
) -> NeighbourResult:
    """Compute the share of networks whose nearest neighbour has the same label (leave-one-out, one neighbour).

    Neighbours at the same distance share the vote, so that the order of the networks does not matter.
    p = (1 + #{accuracy_permuted ≥ accuracy}) / (1 + permutations), with labels permuted among all networks or within
    strata. The chance level is not 1/levels but depends on the group sizes: (m − 1)/(n − 1) with equal groups of m.

    Args:
        distances: [n, n].
        groups: [n].
        permutations: number of permutations.
        seed: seed of the permutations.
        strata: [n] or None. Labels are exchanged only among networks of one stratum.

    Returns:
        (accuracy, p).

    Raises:
        ValueError: as in ``permanova``.

    Example:
        >>> accuracy, p = nearest_neighbour_accuracy([[0, 1, 2], [1, 0, 3], [2, 3, 0]], ["a", "a", "b"])
        >>> round(accuracy, 3)
        0.667
    """
    matrix, levels = _checked(distances, groups)
    blocks = np.zeros_like(levels) if strata is None else _codes(strata, len(levels), "strata", matrix.labels)
    network, neighbour, votes = matrix.neighbours

    def accuracies(labels: Int[np.ndarray, "permutations n"]) -> Float[np.ndarray, " permutations"]:
        return np.asarray((labels[:, network] == labels[:, neighbour]) @ votes / len(matrix))

    observed = float(accuracies(levels[None])[0])
    as_good = sum(
        int((accuracies(permuted) >= observed - 1e-12).sum())
        for permuted in _permutations(levels, blocks, permutations, seed)
    )
    return NeighbourResult(observed, (1 + as_good) / (1 + permutations))


def neighbour_votes(distances: Distances, groups: ArrayLike) -> Float[np.ndarray, " n"]:
    """Compute for each network the share of its nearest neighbours with its label; their mean is the accuracy."""
    matrix, levels = _checked(distances, groups)
    network, neighbour, votes = matrix.neighbours
    agreeing = votes * (levels[network] == levels[neighbour])
    return np.asarray(np.bincount(network, agreeing, len(matrix)), np.float64)


def _checked(distances: Distances, groups: ArrayLike) -> tuple[DistanceMatrix, Int[np.ndarray, " n"]]:
    matrix = DistanceMatrix.of(distances)
    levels = _codes(groups, len(matrix), "groups", matrix.labels)
    count = len(np.unique(levels))
    if not 1 < count < len(levels):
        raise ValueError(
            f"groups have {count} levels for {len(levels)} networks; expected at least 2 levels, "
            "and at least one level with two networks"
        )
    return matrix, levels


def _codes(labels: ArrayLike, n: int, name: str, networks: tuple[str, ...] | None = None) -> Int[np.ndarray, " n"]:
    """Check labels and encode them as integers from 0; the index of a Series may name the networks."""
    # As objects: NumPy would convert a NaN among strings to the label "nan".
    array = np.asarray(_by_name(labels, name, networks or ()), dtype=object)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape} for {n} networks; expected one label for each network")
    masked = labels.mask if isinstance(labels, np.ma.MaskedArray) else np.False_
    # None, NaN, pandas.NA, NaT, and what NumPy masks.
    missing = np.flatnonzero(pd.isna(array) | masked)
    if len(missing):
        raise ValueError(
            f"{name} has no label for {len(missing)} of {n} networks (first: number {missing[0]}); leave those out"
        )
    codes: NDArray[np.int64] = np.unique(array.astype(str), return_inverse=True)[1]
    return codes


def _by_name(labels: Any, name: str, networks: tuple[str, ...]) -> Any:
    """Return the labels in the order of the networks, if an index names these."""
    index = [str(each) for each in getattr(labels, "index", ())] if hasattr(labels, "reindex") else []
    if not set(index) & set(networks) or index == list(networks) or type(labels.index).__name__ == "RangeIndex":
        return labels
    if set(index) != set(networks) or len(index) != len(networks):
        lost = sorted(set(networks) - set(index)) or sorted(set(index) - set(networks)) or ["names that repeat"]
        raise ValueError(
            f"the index of {name} does not have the {len(networks)} networks of the distances: {lost[0]} differs; "
            "expected one label for each, by its name or in their order without an index"
        )
    places = {each: place for place, each in enumerate(index)}
    return np.asarray(labels, dtype=object)[[places[network] for network in networks]]


def explained(squares: Float[np.ndarray, "n n"], levels: Int[np.ndarray, " n"]) -> float:
    """Compute R² of one grouping from d² and the encoded levels, without the checks of ``permanova``."""
    return float(1 - _within(squares, levels[None])[0] / (squares.sum() / (2 * len(levels))))


def _within(
    squares: Float[np.ndarray, "n n"], levels: Int[np.ndarray, "permutations n"]
) -> Float[np.ndarray, " permutations"]:
    """Compute SS_within of every row of labels: Σ_groups zᵀ (d²) z / (2 n_group), z the 0/1 membership of a group."""
    membership = (levels[:, None, :] == np.arange(levels.max() + 1)[:, None]).astype(np.float64)
    # One large product of two matrices is many times faster than one product for each permutation.
    sums = (membership.reshape(-1, len(squares)) @ squares).reshape(membership.shape)
    within: NDArray[np.float64] = ((sums * membership).sum(axis=2) / membership.sum(axis=2)).sum(axis=1) / 2
    return within


def _permutations(
    levels: Int[np.ndarray, " n"], blocks: Int[np.ndarray, " n"], permutations: int, seed: int
) -> Iterator[Int[np.ndarray, "batch n"]]:
    """Yield random permutations of labels within blocks, in batches; the batch size does not affect them."""
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; expected at least 1")
    random = np.random.default_rng(seed)
    members = np.argsort(blocks, kind="stable")
    for start in range(0, permutations, BATCH):
        keys = random.random((min(BATCH, permutations - start), len(blocks)))
        # The i-th network in random order within blocks passes its label to the i-th network in block order.
        shuffled = np.argsort(blocks + keys, axis=1)
        permuted = np.empty(keys.shape, np.int64)
        permuted[:, members] = levels[shuffled]
        yield permuted
