"""Statistics over pairs of networks, with intervals over networks: mean, correlation, reliability, R² of versions."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.statistics.intervals import NONE, Interval, jackknife_interval

Array = NDArray[np.float64]


def mean_of_pairs(matrix: Float[np.ndarray, "n n"]) -> tuple[float, Interval]:
    """Compute the mean over pairs of different networks of a symmetric matrix ≥ 0, and its interval over networks.

    Pairs with one network in common are not independent: the interval is that of the jackknife over networks.
    """
    off = matrix - np.diag(np.diagonal(matrix))
    n, total = len(off), float(off.sum())
    value = total / (n * (n - 1))
    left_out = (total - 2 * off.sum(axis=1)) / ((n - 1) * max(n - 2, 1))
    return value, jackknife_interval(value, left_out).within(0.0, np.inf)


def correlation_of_pairs(first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"]) -> tuple[float, Interval]:
    """Correlate two sets of distances over pairs of different networks; return also the interval over networks.

    The interval is that of the jackknife over networks on Fisher's scale, artanh r.
    """
    upper = np.triu_indices(len(first), 1)
    a, b = (_centred(matrix, float(matrix[upper].mean())) for matrix in (first, second))
    rows = np.array([each.sum(axis=1) for each in (a, b, a * a, b * b, a * b)])
    pairs, sums = len(upper[0]), rows.sum(axis=1) / 2
    n = len(first)
    without = _correlation(sums[:, None] - rows, pairs - (n - 1)) if n > 3 else np.zeros(n)
    return _with_fisher_interval(float(_correlation(sums[:, None], pairs)[0]), without)


def correlation_of_values(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> tuple[float, Interval]:
    """Correlate two values of each network; return also the interval over networks, as ``correlation_of_pairs``."""
    a, b = first - first.mean(), second - second.mean()
    terms = np.array([a, b, a * a, b * b, a * b])
    sums, n = terms.sum(axis=1, keepdims=True), len(first)
    return _with_fisher_interval(float(_correlation(sums, n)[0]), _correlation(sums - terms, max(n - 1, 1)))


def reliability(first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"]) -> tuple[float, Interval]:
    """Compute the split-half reliability of distances, and its interval over networks.

    The correlation r over pairs of networks between both halves, corrected to the full data: 2r / (1 + r). Halves that
    are not positively correlated have reliability 0: for r < 0 the correction has no meaning.

    It states how repeatable the distances of pairs are. It is no bound on R²: a factor whose effect is small for each
    pair can explain more of the mean squared distances than is repeatable from pair to pair.

    Source: Spearman 1910; Brown 1910.
    """
    return _of_the_whole(correlation_of_pairs, first, second)


def reliability_of_values(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> tuple[float, Interval]:
    """Compute the split-half ``reliability`` of one value per network, such as its distance from a recording.

    Example:
        >>> values = np.arange(10.0)
        >>> round(reliability_of_values(values, values**2)[0], 2)
        0.98
    """
    return _of_the_whole(correlation_of_values, first, second)


def explained_by_halves(together: Float[np.ndarray, "both both"]) -> tuple[float, Interval]:
    """Compute R² between two versions of each network, such as trained and untrained, and its interval over networks.

    R² = 1 − 2 (S₁ + S₂) / S with the sums of d² within the first half of the rows, the second half, and all. The
    interval is that of the jackknife, which leaves out both versions of a network. R² is 0 if all distances are.
    """
    n = len(together) // 2
    squares = together**2
    rows = squares.sum(axis=1)
    within = np.concatenate([squares[:n, :n].sum(axis=1), squares[n:, n:].sum(axis=1)])
    of_network = rows[:n] + rows[n:] - np.diagonal(squares[:n, n:])
    own = within[:n] + within[n:]

    def explained(within: Array, total: Array) -> Array:
        return 1 - np.divide(2 * within, total, out=np.ones_like(total), where=total > 0)

    value = float(explained(np.array([within.sum()]), np.array([rows.sum()]))[0])
    left_out = explained(within.sum() - 2 * own, rows.sum() - 2 * of_network)
    ends = jackknife_interval(value, left_out)
    return value, ends.within(min(0.0, value), 1.0)


def _of_the_whole(
    correlation: Callable[[Array, Array], tuple[float, Interval]], first: Array, second: Array
) -> tuple[float, Interval]:
    """Return the Spearman–Brown correction of a correlation and its interval, at least 0."""
    value, ends = correlation(first, second)
    positive = np.maximum([value, *ends], 0)  # NaN stays NaN
    whole, low, high = (float(each) for each in 2 * positive / (1 + positive))
    return whole, Interval(low, high)


def _centred(matrix: Array, mean: float) -> Float[np.ndarray, "n n"]:
    """Return a matrix minus its mean over pairs, with a diagonal of 0; centred, its squares lose no digits."""
    centred: Array = matrix - mean
    np.fill_diagonal(centred, 0)
    return centred


def _correlation(sums: Float[np.ndarray, "5 several"], count: int) -> Float[np.ndarray, " several"]:
    """Return correlations from the sums of a, b, a², b² and ab; 0 if a or b does not vary."""
    a, b, aa, bb, ab = sums / count
    variances = np.maximum(aa - a * a, 0) * np.maximum(bb - b * b, 0)
    vary = variances > 1e-24 * max(float(aa.max() * bb.max()), 1e-300)
    correlations: Array = np.zeros(len(a))
    np.divide(ab - a * b, np.sqrt(np.where(vary, variances, 1)), out=correlations, where=vary)
    return np.clip(correlations, -1, 1)


def _with_fisher_interval(value: float, left_out: Float[np.ndarray, " n"]) -> tuple[float, Interval]:
    """Return a correlation and its jackknife interval on the scale artanh r; NaN for a correlation of 1 or −1."""
    if 1 - abs(value) < 1e-12:
        return value, NONE
    scaled = np.arctanh(np.clip(left_out, -1 + 1e-12, 1 - 1e-12))
    low, high = np.tanh(jackknife_interval(float(np.arctanh(value)), scaled))
    return value, Interval(float(low), float(high))
