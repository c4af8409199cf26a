"""How much of the distances between networks a factor explains, and whether chance would explain as much."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas.statistics.distance_matrix import DistanceMatrix

# Permutations evaluated in one matrix product: enough to be quick, few enough to stay within tens of megabytes.
BATCH = 64


class PermanovaResult(NamedTuple):
    """The share of the variance that a factor explains, and its permutation p."""

    r2: float
    p: float


class NeighbourResult(NamedTuple):
    """How often a network's nearest neighbour has its label, and the permutation p."""

    accuracy: float
    p: float


def permanova(
    distances: Any, groups: Any, strata: Any = None, permutations: int = 999, seed: int = 0
) -> PermanovaResult:
    """Permutational analysis of variance with one factor.

    With SS_total = Σ_{i<j} d²ᵢⱼ / n and SS_within = Σ_groups Σ_{i<j in group} d²ᵢⱼ / n_group,

        R² = 1 − SS_within / SS_total,        F = (R² / (a − 1)) / ((1 − R²) / (n − a))    for a groups,

    p = (1 + #{F_permuted ≥ F}) / (1 + permutations). Permuting labels changes neither SS_total nor the group sizes, so
    the smallest SS_within is the largest F, and only SS_within is computed.

    A small p says that groups differ in location *or* in spread. Strata restrict the permutations, not R²: the R² of a
    factor that goes along with the strata contains what they explain. Distances that are not Euclidean can make R²
    negative.

    Args:
        distances: [n, n].
        groups: [n], each network's level of the factor.
        strata: [n] or None. Labels are exchanged only among networks of one stratum, so that an effect of the strata
            does not make the factor significant.
        permutations: how many; p is never below 1/(1 + permutations).
        seed: of the permutations.

    Returns:
        (R², p).

    Raises:
        ValueError: lengths that differ, a missing label, a single level, a level for every network, strata that leave
            nothing to exchange, distances that are all 0 or no distances (as in ``mds``).

    Example:
        >>> distances = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]]
        >>> r2, p = permanova(distances, ["a", "a", "b", "b"])
        >>> round(r2, 3)
        0.988

    Source: Anderson 2001; Anderson & ter Braak 2003 for strata. Agrees with scikit-bio, which has no strata.
    """
    matrix, levels = _checked(distances, groups)
    blocks = np.zeros(len(levels), np.int64) if strata is None else _codes(strata, len(levels), "strata")
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
    # A permutation that only renames groups must count as equal, whatever the rounding.
    limit = observed + 1e-12 * total
    as_good = sum(
        int((_within(squares, permuted) <= limit).sum())
        for permuted in _permutations(levels, blocks, permutations, seed)
    )
    return PermanovaResult(1 - observed / total, (1 + as_good) / (1 + permutations))


def silhouette(distances: Any, groups: Any) -> float:
    """The mean over networks of (b − a) / max(a, b).

    a is a network's mean distance to its own group and b to the nearest other one: 1 if groups lie far apart, 0 if they
    mix, negative if most networks are nearer to another group. A network alone in its group counts as 0.

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
    distances: Any, groups: Any, permutations: int = 999, seed: int = 0, strata: Any = None
) -> NeighbourResult:
    """The share of networks whose nearest other network has the same label (leave-one-out, one neighbour).

    Neighbours that are equally near share the vote, so that the order of the networks does not matter.
    p = (1 + #{accuracy_permuted ≥ accuracy}) / (1 + permutations), the labels permuted among all networks, or within
    strata. Chance is not 1/levels, and depends on the group sizes: with equal groups of m it is (m − 1)/(n − 1).

    Args:
        distances: [n, n].
        groups: [n].
        permutations: how many.
        seed: of the permutations.
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
    blocks = np.zeros_like(levels) if strata is None else _codes(strata, len(levels), "strata")
    network, neighbour, votes = matrix.neighbours

    def accuracies(labels: Int[np.ndarray, "permutations n"]) -> Float[np.ndarray, " permutations"]:
        return np.asarray((labels[:, network] == labels[:, neighbour]) @ votes / len(matrix))

    observed = float(accuracies(levels[None])[0])
    as_good = sum(
        int((accuracies(permuted) >= observed - 1e-12).sum())
        for permuted in _permutations(levels, blocks, permutations, seed)
    )
    return NeighbourResult(observed, (1 + as_good) / (1 + permutations))


def neighbour_votes(distances: Any, groups: Any) -> Float[np.ndarray, " n"]:
    """For each network the share of its nearest others that have its label; the mean is the accuracy above."""
    matrix, levels = _checked(distances, groups)
    network, neighbour, votes = matrix.neighbours
    agreeing = votes * (levels[network] == levels[neighbour])
    return np.asarray(np.bincount(network, agreeing, len(matrix)), np.float64)


def _checked(distances: Any, groups: Any) -> tuple[DistanceMatrix, Int[np.ndarray, " n"]]:
    matrix = DistanceMatrix.of(distances)
    levels = _codes(groups, len(matrix), "groups")
    count = len(np.unique(levels))
    if not 1 < count < len(levels):
        raise ValueError(
            f"groups have {count} levels for {len(levels)} networks; expected at least 2 levels, "
            "and at least one level with two networks"
        )
    return matrix, levels


def _codes(labels: Any, n: int, name: str) -> Int[np.ndarray, " n"]:
    """Labels as numbers from 0."""
    # As objects, or NumPy would write a NaN among strings as the label "nan".
    array = np.asarray(labels, dtype=object)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape} for {n} networks; expected one label for each network")
    # NaN alone differs from itself.
    missing = [position for position, label in enumerate(array.tolist()) if label is None or label != label]  # noqa: PLR0124
    if missing:
        raise ValueError(
            f"{name} has no label for {len(missing)} of {n} networks (first: number {missing[0]}); leave those out"
        )
    codes: NDArray[np.int64] = np.unique(array.astype(str), return_inverse=True)[1]
    return codes


def explained(squares: Float[np.ndarray, "n n"], levels: Int[np.ndarray, " n"]) -> float:
    """R² of one grouping, from d² and every network's level as a number; of ``permanova``, which checks its input."""
    return float(1 - _within(squares, levels[None])[0] / (squares.sum() / (2 * len(levels))))


def _within(
    squares: Float[np.ndarray, "n n"], levels: Int[np.ndarray, "permutations n"]
) -> Float[np.ndarray, " permutations"]:
    """SS_within of every row of labels: Σ_groups zᵀ (d²) z / (2 n_group), with z the group's 0/1 membership."""
    membership = (levels[:, None, :] == np.arange(levels.max() + 1)[:, None]).astype(np.float64)
    # One large product of two matrices is many times faster than one product for each permutation.
    sums = (membership.reshape(-1, len(squares)) @ squares).reshape(membership.shape)
    within: NDArray[np.float64] = ((sums * membership).sum(axis=2) / membership.sum(axis=2)).sum(axis=1) / 2
    return within


def _permutations(
    levels: Int[np.ndarray, " n"], blocks: Int[np.ndarray, " n"], permutations: int, seed: int
) -> Iterator[Int[np.ndarray, "batch n"]]:
    """Labels exchanged at random among the members of each block, in batches whose size changes no number."""
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; expected at least 1")
    random = np.random.default_rng(seed)
    members = np.argsort(blocks, kind="stable")
    for start in range(0, permutations, BATCH):
        keys = random.random((min(BATCH, permutations - start), len(blocks)))
        # Sorted by block and, within it, at random; the i-th of this order gives its label to the i-th by block alone.
        shuffled = np.argsort(blocks + keys, axis=1)
        permuted = np.empty(keys.shape, np.int64)
        permuted[:, members] = levels[shuffled]
        yield permuted
