"""Exact transport between sets of eigenvalues."""

import numpy as np
from jaxtyping import Complex, Float


def transport_distance(first: Complex[np.ndarray, " n"], second: Complex[np.ndarray, " m"]) -> float:
    """Return the 2-Wasserstein distance between two sets in the complex plane, whose members have equal shares.

    W₂ = √(min over couplings of Σ πᵢⱼ |λᵢ − μⱼ|²), by linear assignment if both have one size, else by network simplex.

    Example:
        >>> transport_distance(np.array([0j, 3j]), np.array([4j, 0j]))  # √((0 + 1) / 2)
        0.7071067811865476
        >>> transport_distance(np.array([0j, 3j]), np.array([0j, 0j, 3j, 3j]))
        0.0
    """
    costs = (first.real[:, None] - second.real) ** 2 + (first.imag[:, None] - second.imag) ** 2
    return float(np.sqrt(_cost(costs)))


def transport_distances(
    firsts: list[Complex[np.ndarray, " _"]], seconds: list[Complex[np.ndarray, " _"]]
) -> Float[np.ndarray, "firsts seconds"]:
    """Return ``transport_distance`` between each of ``firsts`` and each of ``seconds``."""
    return np.array([[transport_distance(first, second) for second in seconds] for first in firsts])


def _cost(costs: Float[np.ndarray, "n m"]) -> float:
    n, m = costs.shape
    if n == m:
        from scipy.optimize import linear_sum_assignment  # takes a quarter of a second

        return float(costs[linear_sum_assignment(costs)].mean())
    import ot  # takes seconds

    return max(float(ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), costs, numItermax=10_000_000)), 0.0)
