"""How well groups of networks separate: silhouette, and accuracy of the nearest neighbour."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.statistics.design import indicators
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.labels import Codes, checked_codes, combined
from dynatlas.statistics.permanova import checked_groups, restricted


class NeighbourResult(NamedTuple):
    """Share of networks whose nearest neighbour has the same label, and its permutation p."""

    accuracy: float
    p: float


class NeighbourTest(NamedTuple):
    """Accuracy of the nearest neighbour, its mean over permutations, and its permutation p."""

    accuracy: float
    chance: float
    p: float


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

    Source: Rousseeuw 1987.
    """
    matrix, levels = checked_groups(distances, groups)
    return float(silhouettes(matrix.values, levels).mean())


def silhouettes(distances: Float[np.ndarray, "n n"], levels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Compute (b − a) / max(a, b) of every network."""
    members = indicators(levels)
    return _widths(distances @ members, members.sum(axis=0), levels)


def silhouette_without_each(
    distances: Float[np.ndarray, "n n"], levels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Compute the mean silhouette of the networks without each one."""
    members = indicators(levels)
    sums, sizes = distances @ members, members.sum(axis=0)
    left_out = np.empty(len(levels))
    for network, level in enumerate(levels):
        fewer, smaller = sums.copy(), sizes.copy()
        fewer[:, level] -= distances[:, network]
        smaller[level] -= 1
        left_out[network] = np.delete(_widths(fewer, smaller, levels), network).mean()
    return left_out


def _widths(
    sums: Float[np.ndarray, "n levels"], sizes: Float[np.ndarray, " levels"], levels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Compute silhouettes from the summed distances to every level."""
    rows = np.arange(len(levels))
    means = np.full(sums.shape, np.inf)
    np.divide(sums, sizes, out=means, where=sizes > 0)
    means[rows, levels] = np.inf
    other = means.min(axis=1)
    is_alone = sizes[levels] < 2
    own = sums[rows, levels] / np.maximum(sizes[levels] - 1, 1)
    largest = np.maximum(own, other)
    widths = np.zeros(len(levels))
    np.divide(other - own, largest, out=widths, where=~is_alone & (largest > 0) & np.isfinite(other))
    return widths


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
    matrix, levels = checked_groups(distances, groups)
    blocks = [] if strata is None else [checked_codes(strata, len(levels), "strata", matrix.labels)]
    test = neighbour_test(matrix, levels, blocks, permutations, seed)
    return NeighbourResult(test.accuracy, test.p)


def neighbour_test(
    distances: Distances, levels: Codes, others: Sequence[Codes], permutations: int = 999, seed: int = 0
) -> NeighbourTest:
    """Compute ``nearest_neighbour_accuracy`` of an encoded factor, permuted within the combinations of all others."""
    matrix = DistanceMatrix.of(distances)
    network, neighbour, votes = matrix.neighbours

    def accuracies(labels: Int[np.ndarray, "permutations n"]) -> Float[np.ndarray, " permutations"]:
        return np.asarray((labels[:, network] == labels[:, neighbour]) @ votes / len(matrix))

    observed = float(accuracies(levels[None])[0])
    blocks = combined(others, len(levels))
    permuted = np.concatenate([accuracies(batch) for batch in restricted(levels, blocks, permutations, seed)])
    as_good = int((permuted >= observed - 1e-12).sum())
    return NeighbourTest(observed, float(permuted.mean()), (1 + as_good) / (1 + permutations))


def accuracy_without_each(distances: Distances, levels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Compute the accuracy of the nearest neighbour of the networks without each one.

    A network whose only nearest neighbour is left out has the vote of its second nearest ones; of several neighbours at
    one distance the others remain.
    """
    matrix = DistanceMatrix.of(distances)
    n = len(levels)
    network, neighbour, votes = matrix.neighbours
    is_alike = (levels[network] == levels[neighbour]).astype(np.float64)
    own = np.bincount(network, votes * is_alike, n)
    shared = np.bincount(network, minlength=n)
    second = _votes_of_second(matrix, levels)
    others = np.maximum(shared[network] - 1, 1)
    without = np.where(shared[network] > 1, (own[network] * shared[network] - is_alike) / others, second[network])
    change = np.bincount(neighbour, without - own[network], n)
    left_out: NDArray[np.float64] = (own.sum() - own + change) / (n - 1)
    return left_out


def _votes_of_second(matrix: DistanceMatrix, levels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return each network's vote if the first of its nearest neighbours is left out."""
    others = matrix.values + np.diag(np.full(len(matrix), np.inf))
    others[np.arange(len(matrix)), others.argmin(axis=1)] = np.inf
    nearest = others <= others.min(axis=1, keepdims=True) + 1e-12 * matrix.values.max()
    votes: NDArray[np.float64] = (nearest * (levels[:, None] == levels)).sum(axis=1) / nearest.sum(axis=1)
    return votes
