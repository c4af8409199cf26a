"""Confidence intervals over networks: how a statistic would vary had other networks been trained."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import bdtr, stdtrit

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.shares import wilson_interval

Array = NDArray[np.float64]
# With fewer networks there is no interval and no verdict: even the range of five holds their median with 93.8 % only.
LEAST_NETWORKS = 6
LEVEL = 0.95


class Interval(NamedTuple):
    """A 95 % interval; NaN if there is none."""

    low: float
    high: float

    def within(self, low: float, high: float) -> "Interval":
        """Return the part of the interval that is possible."""
        return Interval(*(float(np.clip(end, low, high)) for end in self))


NONE = Interval(float("nan"), float("nan"))


def mean_interval(values: ArrayLike) -> Interval:
    """Compute Student's interval of a mean over networks: mean ± t s / √n.

    NaN for fewer than ``LEAST_NETWORKS`` networks, and for values that are all equal, whose variation is unknown. For
    shares use ``share_interval``.

    Example:
        >>> low, high = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        >>> round(low, 2), round(high, 2)
        (1.54, 5.46)

    Source: Student 1908.
    """
    array = np.asarray(values, np.float64)
    if len(array) < LEAST_NETWORKS or np.ptp(array) == 0:
        return NONE
    half = _quantile_of_t(len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return Interval(float(array.mean() - half), float(array.mean() + half))


def difference_interval(first: ArrayLike, second: ArrayLike) -> Interval:
    """Compute Welch's interval of the difference between the means of two groups of networks, first minus second.

    NaN for fewer than ``LEAST_NETWORKS`` networks together, a group of one, and groups that do not vary.

    Example:
        >>> low, high = difference_interval([4.0, 5.0, 6.0, 7.0], [1.0, 2.0, 3.0])
        >>> round(low, 2), round(high, 2)
        (1.27, 5.73)

    Source: Welch 1947.
    """
    groups = [np.asarray(each, np.float64) for each in (first, second)]
    sizes = np.array([len(group) for group in groups])
    if sizes.sum() < LEAST_NETWORKS or sizes.min() < 2:
        return NONE
    errors = np.array([group.var(ddof=1) / len(group) for group in groups])
    if not errors.any():
        return NONE
    freedom = errors.sum() ** 2 / (errors**2 / (sizes - 1)).sum()
    centre, half = groups[0].mean() - groups[1].mean(), _quantile_of_t(freedom) * np.sqrt(errors.sum())
    return Interval(float(centre - half), float(centre + half))


def share_interval(values: ArrayLike) -> Interval:
    """Compute Wilson's interval of a mean over networks of shares between 0 and 1, such as 0 or 1 for each network.

    For shares between 0 and 1, which vary less than 0s and 1s, the interval is wider than it need be. NaN for fewer
    than ``LEAST_NETWORKS`` networks.

    Example:
        >>> low, high = share_interval([1.0] * 12)
        >>> round(low, 2), high
        (0.76, 1.0)

    Source: Wilson 1927.
    """
    array = np.asarray(values, np.float64)
    n = len(array)
    if n < LEAST_NETWORKS:
        return NONE
    low, high = wilson_interval(array.mean(), n, LEVEL)
    return Interval(float(low), float(high))


def median_interval(values: ArrayLike) -> Interval:
    """Compute an interval of a median over networks from order statistics, whatever the distribution.

    (x₍ₖ₎, x₍ₙ₊₁₋ₖ₎) holds the median with probability γₖ = 1 − 2 P(B < k), B binomial (n, ½). Between the k for which
    γₖ ≥ 95 % ≥ γₖ₊₁ the ends are interpolated. NaN for fewer than ``LEAST_NETWORKS`` networks.

    Example:
        >>> low, high = median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        >>> round(low, 2), round(high, 2)
        (1.36, 5.64)

    Source: Hettmansperger & Sheather 1986.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    if n < LEAST_NETWORKS:
        return NONE
    coverage = 1 - 2 * bdtr(np.arange(n // 2, dtype=np.float64), n, 0.5)  # γₖ for k = 1, 2, …
    k = int((coverage >= LEVEL).sum())
    excess = (coverage[k - 1] - LEVEL) / (coverage[k - 1] - coverage[k])
    share = (n - k) * excess / (k + (n - 2 * k) * excess)
    low = (1 - share) * ordered[k - 1] + share * ordered[k]
    high = (1 - share) * ordered[n - k] + share * ordered[n - k - 1]
    return Interval(float(low), float(high))


def jackknife_interval(
    value: float, left_out: Float[np.ndarray, " n"], cells: Int[np.ndarray, " n"] | None = None
) -> Interval:
    """Compute the interval of a statistic of networks from its values θᵢ without each one of them.

    value ± t √(Σ_c (n_c − 1)/n_c Σ_{i in c} (θᵢ − θ̄_c)²), with n minus the number of cells as degrees of freedom.

    Args:
        value: the statistic of all networks.
        left_out: [n], the statistic without each network.
        cells: [n] or None. Cells whose sizes a study fixes, such as combinations of factors; cells of one network count
            as one cell together.

    Returns:
        NaN for fewer than ``LEAST_NETWORKS`` networks, or if the statistic does not depend on any network.

    Example:
        >>> values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        >>> interval = jackknife_interval(values.mean(), (values.sum() - values) / 5)
        >>> np.allclose(interval, mean_interval(values))
        True

    Source: Tukey 1958; Jones 1974 for cells.
    """
    n = len(left_out)
    codes = np.zeros(n, np.int64) if cells is None else _joined(cells)
    sizes = np.bincount(codes)
    means = np.bincount(codes, left_out) / sizes
    squares = np.bincount(codes, (left_out - means[codes]) ** 2)
    error = float(np.sqrt(((sizes - 1) / sizes * squares).sum()))
    freedom = n - len(sizes)
    if n < LEAST_NETWORKS or freedom < 1 or not error > 1e-12 * abs(value):
        return NONE
    half = _quantile_of_t(freedom) * error
    return Interval(float(value - half), float(value + half))


def draws(n: int, bootstraps: int, seed: int) -> Float[np.ndarray, "bootstraps n"]:
    """Draw how often each of n networks occurs in each resampled population of n."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstraps).astype(np.float64)


def percentile_interval(values: Float[np.ndarray, " bootstraps"]) -> Interval:
    """Return the percentile interval, 2.5 % to 97.5 %."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def _joined(cells: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Encode cells from 0, with all cells of one network as one."""
    _, codes, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    return np.unique(np.where(sizes[codes] > 1, codes, -1), return_inverse=True)[1].astype(np.int64)


def _quantile_of_t(freedom: float | int) -> float:
    return float(stdtrit(freedom, (1 + LEVEL) / 2))
