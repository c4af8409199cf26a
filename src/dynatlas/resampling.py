"""Intervals by resampling networks: how much a number would differ, had other networks been trained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas.embedding import checked_distances

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """The middle 95 % of the resampled values."""

    low: float
    high: float


def r2_resamples(
    distances: Any, groupings: Sequence[Int[np.ndarray, " n"]], bootstraps: int = 999, seed: int = 0
) -> Float[np.ndarray, "groupings bootstraps"]:
    """R² as in ``permanova`` of several groupings, each for the same populations resampled from the networks.

    Networks are drawn with replacement. A network and its own copy are no pair: their distance of 0 would shrink the
    variance within groups, and R² would come out too large. So each sum of squares is written by means over pairs of
    different networks, SS = (n − 1)/2 · mean d², within a group and in total, with the numbers of networks as they are.
    A group of which no two different networks were drawn keeps its own mean.

    Args:
        distances: [n, n].
        groupings: level of each network, from 0, for each grouping.
        bootstraps: how many populations.
        seed: of the draws.

    Source: Efron & Tibshirani 1993; the pairs are those of a U-statistic.
    """
    squares = checked_distances(distances) ** 2
    n = len(squares)
    weights = draws(n, bootstraps, seed)
    total = (n - 1) / 2 * _mean_over_pairs(squares, weights)
    resampled = np.empty((len(groupings), bootstraps))
    for row, levels in enumerate(groupings):
        within = np.zeros(bootstraps)
        for level in np.unique(levels):
            group = levels == level
            if group.sum() > 1:
                within += (group.sum() - 1) / 2 * _mean_over_pairs(squares[np.ix_(group, group)], weights[:, group])
        # Of a population without any distance no share can be explained.
        resampled[row] = 1 - np.divide(within, total, out=np.ones(bootstraps), where=total > 0)
    return resampled


def interval(values: Float[np.ndarray, " bootstraps"]) -> Interval:
    """The percentile interval, 2.5 % to 97.5 %."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def mean_interval(values: Any, bootstraps: int = 999, seed: int = 0) -> Interval:
    """The interval of a mean over networks. Of a single network nothing is known: NaN.

    Example:
        >>> low, high = mean_interval([0.0, 1.0] * 50)
        >>> 0.39 < low < 0.42 and 0.58 < high < 0.61
        True
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return Interval(float("nan"), float("nan"))
    return interval(draws(len(array), bootstraps, seed) @ array / len(array))


def median_interval(values: Any, bootstraps: int = 999, seed: int = 0) -> Interval:
    """The interval of a median over networks. Of a single network nothing is known: NaN."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return Interval(float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(len(array), size=(bootstraps, len(array)))
    return interval(np.median(array[drawn], axis=1))


def mean_of_pairs(matrix: Float[np.ndarray, "n n"], bootstraps: int = 999, seed: int = 0) -> tuple[float, Interval]:
    """The mean over pairs of different networks, and its interval over networks."""
    off = matrix - np.diag(np.diagonal(matrix))
    resampled = _mean_over_pairs(off, draws(len(off), bootstraps, seed))
    return float(off.sum() / (len(off) * (len(off) - 1))), interval(resampled)


def correlation_of_pairs(
    first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"], bootstraps: int = 999, seed: int = 0
) -> tuple[float, Interval]:
    """The correlation of two sets of distances over pairs of different networks, and its interval over networks."""
    upper = np.triu_indices(len(first), 1)
    values = _correlations(first[upper], second[upper], np.ones((1, len(upper[0]))))
    counts = draws(len(first), bootstraps, seed)
    # In batches: there are far more pairs than networks.
    resampled = [
        _correlations(first[upper], second[upper], batch[:, upper[0]] * batch[:, upper[1]])
        for batch in np.array_split(counts, -(-bootstraps // 50))
    ]
    return float(values[0]), interval(np.concatenate(resampled))


def reliability(
    first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"], bootstraps: int = 999, seed: int = 0
) -> tuple[float, Interval]:
    """How well distances from one half of the data predict those from the other, and its interval over networks.

    The correlation r over pairs of networks, corrected to the whole data: 2r / (1 + r).

    Source: Spearman 1910; Brown 1910.
    """
    r, (low, high) = correlation_of_pairs(first, second, bootstraps, seed)
    # A correlation of −1 would have no correction.
    value, lower, upper = (2 * each / (1 + max(each, -1 + 1e-9)) for each in (r, low, high))
    return value, Interval(lower, upper)


def draws(n: int, bootstraps: int, seed: int) -> Float[np.ndarray, "bootstraps n"]:
    """How often each of n networks is drawn, in each of the populations of n."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstraps).astype(np.float64)


def _mean_over_pairs(squares: Array, weights: Float[np.ndarray, "bootstraps n"]) -> Float[np.ndarray, " bootstraps"]:
    """The mean over pairs of different networks, each as often as both were drawn."""
    n = len(squares)
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    sums = ((weights @ squares) * weights).sum(axis=1)
    return np.divide(sums, pairs, out=np.full(len(weights), squares.sum() / (n * (n - 1))), where=pairs > 0)


def _correlations(
    a: Array, b: Array, weights: Float[np.ndarray, "populations pairs"]
) -> Float[np.ndarray, " populations"]:
    """The correlation of a and b, with weights; 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    total = np.maximum(weights.sum(axis=1), 1)
    mean_a, mean_b = weights @ a / total, weights @ b / total
    covariance = weights @ (a * b) / total - mean_a * mean_b
    variances = (weights @ a**2 / total - mean_a**2) * (weights @ b**2 / total - mean_b**2)
    vary = variances > 1e-24 * a.var() * b.var()
    return np.divide(covariance, np.sqrt(np.where(vary, variances, 1)), out=np.zeros_like(total), where=vary)
