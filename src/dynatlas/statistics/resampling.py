"""Bootstrap intervals over networks: the variation of a statistic had other networks been trained."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """Central 95 % of the resampled values."""

    low: float
    high: float


def r2_resamples(
    distances: Distances,
    groupings: Sequence[Int[np.ndarray, " n"]],
    cells: Int[np.ndarray, " n"],
    bootstraps: int = 999,
    seed: int = 0,
) -> Float[np.ndarray, "groupings bootstraps"]:
    """Compute R², as in ``permanova``, of several groupings for the same resampled populations.

    A cell is a combination of all factors. Its networks differ only by their seeds and are resampled among themselves
    (``cell_weights``), since a study fixes the number of networks per cell. With D_ab the weighted mean of d² over
    pairs of different networks of cells a and b, and m their sizes, the sums of squares are

        SS_group = Σ_{a, b in group} m_a m_b D_ab / (2 n_group),   m_a (m_a − 1) in place of m_a² for a = b.

    Pairs of a network and its own copy are excluded: their distance of 0 would reduce the variance within cells. A cell
    of which fewer than two different networks were drawn keeps its original D_aa.

    Args:
        distances: [n, n].
        groupings: encoded level, from 0, of each network for each grouping; a group is a union of cells.
        cells: cell of each network.
        bootstraps: number of populations.
        seed: seed of the resampling.
    """
    squares = DistanceMatrix.of(distances).squares
    names, codes, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    squares, starts = squares[np.ix_(order, order)], np.cumsum(sizes) - sizes
    levels = [np.asarray(grouping)[order][starts] for grouping in groupings]
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    own = _cell_means(squares, np.ones(len(squares)), starts, np.zeros((len(names), len(names))))
    resampled = np.empty((len(groupings), bootstraps))
    for column, weights in enumerate(cell_weights(sizes, bootstraps, seed)):
        sums = pairs * _cell_means(squares, weights, starts, own)
        total = sums.sum() / len(squares)
        for row, of_cells in enumerate(levels):
            same = of_cells[:, None] == of_cells
            within = (sums * same / (same @ sizes)[:, None]).sum()
            # A population whose distances are all 0 has no variance to explain.
            resampled[row, column] = 1 - within / total if total > 0 else 0.0
    return resampled


def cell_weights(
    sizes: Int[np.ndarray, " cells"], bootstraps: int, seed: int
) -> Iterator[Float[np.ndarray, " networks"]]:
    """Yield the weight of each network in every resampled population, cell after cell.

    Of the m networks of a cell m − 1 are drawn with replacement, each with weight m/(m − 1), so that the variance of a
    cell's mean is unbiased even for m = 3. A cell of one network is not resampled.

    Source: Rao & Wu 1988.
    """
    random = np.random.default_rng(seed)
    for _ in range(bootstraps):
        yield np.concatenate(
            [random.multinomial(m - 1, np.full(m, 1 / m)) * (m / (m - 1)) if m > 1 else np.ones(1) for m in sizes]
        )


def interval(values: Float[np.ndarray, " bootstraps"]) -> Interval:
    """Return the percentile interval, 2.5 % to 97.5 %."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def mean_interval(values: ArrayLike, bootstraps: int = 999, seed: int = 0) -> Interval:
    """Compute the interval of a mean over networks; NaN for fewer than two networks.

    Example:
        >>> low, high = mean_interval([0.0, 1.0] * 50)
        >>> 0.39 < low < 0.42 and 0.58 < high < 0.61
        True
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return Interval(float("nan"), float("nan"))
    return interval(draws(len(array), bootstraps, seed) @ array / len(array))


def median_interval(values: ArrayLike, bootstraps: int = 999, seed: int = 0) -> Interval:
    """Compute the interval of a median over networks; NaN for fewer than two networks."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return Interval(float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(len(array), size=(bootstraps, len(array)))
    return interval(np.median(array[drawn], axis=1))


def mean_of_pairs(matrix: Float[np.ndarray, "n n"], bootstraps: int = 999, seed: int = 0) -> tuple[float, Interval]:
    """Compute the mean over pairs of different networks, and its interval over networks."""
    off = matrix - np.diag(np.diagonal(matrix))
    resampled = _mean_over_pairs(off, draws(len(off), bootstraps, seed))
    return float(off.sum() / (len(off) * (len(off) - 1))), interval(resampled)


def correlation_of_pairs(
    first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"], bootstraps: int = 999, seed: int = 0
) -> tuple[float, Interval]:
    """Correlate two sets of distances over pairs of different networks; return also the interval over networks."""
    upper = np.triu_indices(len(first), 1)
    values = _correlations(first[upper], second[upper], np.ones((1, len(upper[0]))))
    counts = draws(len(first), bootstraps, seed)
    # In batches, to limit memory: there are far more pairs than networks.
    resampled = [
        _correlations(first[upper], second[upper], batch[:, upper[0]] * batch[:, upper[1]])
        for batch in np.array_split(counts, -(-bootstraps // 50))
    ]
    return float(values[0]), interval(np.concatenate(resampled))


def reliability(
    first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"], bootstraps: int = 999, seed: int = 0
) -> tuple[float, Interval]:
    """Compute the split-half reliability of distances, and its interval over networks.

    The correlation r over pairs of networks between both halves, corrected to the full data: 2r / (1 + r).

    Source: Spearman 1910; Brown 1910.
    """
    r, (low, high) = correlation_of_pairs(first, second, bootstraps, seed)
    return _of_the_whole(r), Interval(_of_the_whole(low), _of_the_whole(high))


def reliability_of_values(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], bootstraps: int = 999, seed: int = 0
) -> tuple[float, Interval]:
    """Compute the split-half ``reliability`` of one value per network, such as its distance from a recording.

    Example:
        >>> values = np.arange(10.0)
        >>> round(reliability_of_values(values, values**2)[0], 2)
        0.98
    """
    r = float(_correlations(first, second, np.ones((1, len(first))))[0])
    low, high = interval(_correlations(first, second, draws(len(first), bootstraps, seed)))
    return _of_the_whole(r), Interval(_of_the_whole(low), _of_the_whole(high))


def _of_the_whole(r: float) -> float:
    """Return the Spearman–Brown correction, which is undefined for r = −1: r is clipped just above."""
    return 2 * r / (1 + max(r, -1 + 1e-9))


def draws(n: int, bootstraps: int, seed: int) -> Float[np.ndarray, "bootstraps n"]:
    """Draw how often each of n networks occurs in each resampled population of n."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstraps).astype(np.float64)


def _mean_over_pairs(squares: Array, weights: Float[np.ndarray, "bootstraps n"]) -> Float[np.ndarray, " bootstraps"]:
    """Return the weighted mean over pairs of different networks; the unweighted mean if no pair was drawn."""
    n = len(squares)
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    sums = ((weights @ squares) * weights).sum(axis=1)
    means: Array = np.full(len(weights), squares.sum() / (n * (n - 1)))
    np.divide(sums, pairs, out=means, where=pairs > 0)
    return means


def _correlations(
    a: Array, b: Array, weights: Float[np.ndarray, "populations pairs"]
) -> Float[np.ndarray, " populations"]:
    """Return the weighted correlations of a and b; 0 if one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    total = np.maximum(weights.sum(axis=1), 1)
    mean_a, mean_b = weights @ a / total, weights @ b / total
    covariance = weights @ (a * b) / total - mean_a * mean_b
    variances = (weights @ a**2 / total - mean_a**2) * (weights @ b**2 / total - mean_b**2)
    vary = variances > 1e-24 * a.var() * b.var()
    correlations: Array = np.zeros_like(total)
    np.divide(covariance, np.sqrt(np.where(vary, variances, 1)), out=correlations, where=vary)
    return correlations


def _cell_means(
    squares: Array, weights: Float[np.ndarray, " n"], starts: Int[np.ndarray, " cells"], otherwise: Array
) -> Float[np.ndarray, "cells cells"]:
    """Return the weighted mean of d² over pairs of different networks of two cells; without pairs, ``otherwise``."""
    sums = np.add.reduceat(np.add.reduceat(squares * weights, starts, axis=1) * weights[:, None], starts, axis=0)
    totals = np.add.reduceat(weights, starts)
    pairs = np.outer(totals, totals) - np.diag(np.add.reduceat(weights**2, starts))
    means = otherwise.copy()
    np.divide(sums, pairs, out=means, where=pairs > 1e-9)
    return means
