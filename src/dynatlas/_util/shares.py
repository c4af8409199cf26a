"""Intervals of shares: of states, of networks."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from dynatlas._util.arrays import ArrayLike


def wilson_interval(
    shares: ArrayLike, count: ArrayLike, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's interval of each share p of n independent draws.

    With z = 1.96:  (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        shares: from 0 to 1, of any shape.
        count: n, at least 1.
        level: of confidence.

    Example:
        >>> low, high = wilson_interval([0.0, 0.5, 1.0], 100)
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.0, 0.404, 0.963], [0.037, 0.596, 1.0])

    Source: Wilson 1927.
    """
    p, n = np.asarray(shares, np.float64), np.asarray(count, np.float64)
    z = -float(ndtri((1 - level) / 2))
    centre = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return np.where(p == 0, 0.0, low), np.where(p == 1, 1.0, high)
