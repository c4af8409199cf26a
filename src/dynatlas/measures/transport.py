"""Exact transport between two sets whose members have equal shares."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int


class Coupling(NamedTuple):
    """An optimal coupling of the rows and the columns of a matrix of costs.

    Attributes:
        rows: row of each entry.
        columns: column of each entry.
        shares: what each entry moves; they add up to 1.
    """

    rows: Int[np.ndarray, " entries"]
    columns: Int[np.ndarray, " entries"]
    shares: Float[np.ndarray, " entries"]


def coupling(costs: Float[np.ndarray, "n m"]) -> Coupling:
    """Return the coupling π of equal shares that minimises Σ πᵢⱼ cᵢⱼ.

    A square matrix has an optimal coupling that matches one to one, by linear assignment; others are solved by network
    simplex.

    Example:
        >>> found = coupling(np.array([[1.0, 0.0], [3.0, 4.0]]))
        >>> found.rows.tolist(), found.columns.tolist(), found.shares.tolist()
        ([0, 1], [1, 0], [0.5, 0.5])
    """
    n, m = costs.shape
    if n == m:
        import lap  # takes a tenth of a second

        return Coupling(np.arange(n), lap.lapjv(costs, return_cost=False)[0], np.full(n, 1 / n))
    import ot  # takes seconds

    plan = ot.emd(np.full(n, 1 / n), np.full(m, 1 / m), costs, numItermax=10_000_000)
    rows, columns = np.nonzero(plan > 1e-13)  # below are remainders of rounding
    return Coupling(rows, columns, plan[rows, columns])


def transport_distance(first: Complex[np.ndarray, " n"], second: Complex[np.ndarray, " m"]) -> float:
    """Return the 2-Wasserstein distance between two sets in the complex plane: √(min over π of Σ πᵢⱼ |λᵢ − μⱼ|²).

    Example:
        >>> transport_distance(np.array([0j, 3j]), np.array([4j, 0j]))  # √((0 + 1) / 2)
        0.7071067811865476
        >>> transport_distance(np.array([0j, 3j]), np.array([0j, 0j, 3j, 3j]))
        0.0
    """
    return float(transport_distances([(first, second)])[0])


def transport_distances(
    pairs: Sequence[tuple[Complex[np.ndarray, " n"], Complex[np.ndarray, " m"]]],
) -> Float[np.ndarray, " pairs"]:
    """Return the 2-Wasserstein distance of each pair of sets, which does not depend on their order."""
    squares = []
    for first, second in pairs:
        costs = (first.real[:, None] - second.real) ** 2
        costs += (first.imag[:, None] - second.imag) ** 2
        rows, columns, shares = coupling(costs)
        squares.append(np.sort(costs[rows, columns] * shares).sum())
    return np.sqrt(np.array(squares))
