"""All solutions of z = relu(M z + e), by an enumeration of linear regions that leaves none out.

Each relu is on (z_i ≥ 0 and w_i = 0, with w = z − M z − e) or off (z_i = 0 and w_i ≥ 0). The enumeration decides one
relu after the other. A linear program, z ≥ 0 and w ≥ 0 with the equations of the decided relus, shows that a group of
regions holds no solution; with all relus decided, one linear system finds the solution of the region. Of a group that
may hold one, the program minimises the sum of z_i + w_i over the undecided relus, and the relu that is farthest from
being on or off at its solution is decided next, as on or off as it rather is.

The programs are solved by HiGHS to 1e-7, after e is scaled to at most 1. A solution whose z or w is above −1e-7 counts;
so do those exactly on a kink, which lie in several regions and are merged. A region in which I − M_SS is singular and a
solution exists ends the enumeration: its solutions may be a continuum. The proof is numerical, not rigorous: rounding
is not controlled.

Sources: Cottle, Pang & Stone 1992 for the complementarity problem; branch and bound after Land & Doig 1960. Curto,
Geneson & Morrison 2019 enumerate the same equations for competitive networks.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-7  # of the linear programs, and of z and w
SINGULAR = 1e-9  # smallest singular value of I − M_SS
SAME = 1e-6  # distance of equal solutions, relative to their size or to e
ON, OFF, OPEN = 1, 0, -1
INFEASIBLE = 2  # status of a linear program


class Regions(NamedTuple):
    """Solutions of z = relu(M z + e).

    Attributes:
        values: z of each solution [p, m].
        n_groups: groups of regions that were examined.
        cut: why the enumeration ended before all regions were examined; empty if all were.
    """

    values: NDArray[np.float64]
    n_groups: int
    cut: str


def all_solutions(
    weights: NDArray[np.float64],
    constant: NDArray[np.float64],
    *,
    max_regions: int,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Regions:
    """Return all solutions of z = relu(M z + e), unless the budget is spent.

    Args:
        weights: M [m, m].
        constant: e [m].
        max_regions: budget of groups of regions.
        out_of_time: whether a budget of time is spent.

    Example:
        Two units that excite themselves and inhibit each other: either wins, or they balance.

        >>> weights = np.array([[0.5, -1.0], [-1.0, 0.5]])
        >>> regions = all_solutions(weights, np.ones(2), max_regions=100)
        >>> sorted(regions.values.round(9).tolist()), regions.cut
        ([[0.0, 2.0], [0.666666667, 0.666666667], [2.0, 0.0]], '')
    """
    size = len(constant)
    scale = float(np.abs(constant).max()) or 1.0
    matrix, drive = np.eye(size) - weights, constant / scale
    waiting = [np.full(size, OPEN)]
    values: list[NDArray[np.float64]] = []
    count, cut = 0, ""
    while waiting and not cut:
        if count >= max_regions:
            cut = f"the budget of {max_regions:,} groups of linear regions is spent"
            break
        if out_of_time():
            cut = "the budget of seconds is spent"
            break
        pattern = waiting.pop()
        count += 1
        if (pattern == OPEN).any():
            waiting += _split(matrix, drive, pattern)
            continue
        found, is_singular = _solution(matrix, drive, pattern == ON)
        if is_singular and _relax(matrix, drive, pattern).status != INFEASIBLE:
            cut = "a linear region has a degenerate root or a continuum of roots"
        if found is not None and not any(_is_same(found, other) for other in values):
            values.append(found)
    return Regions(scale * np.array(values).reshape(len(values), size), count, cut)


def _split(
    matrix: NDArray[np.float64], drive: NDArray[np.float64], pattern: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Return the two halves of a group of regions, the likelier one last; nothing if it holds no solution."""
    solved = _relax(matrix, drive, pattern)
    if solved.status == INFEASIBLE:
        return []
    undecided = np.flatnonzero(pattern == OPEN)
    chosen, first = int(undecided[0]), OFF
    if solved.x is not None:
        z, w = solved.x[undecided], (matrix @ solved.x - drive)[undecided]
        place = int(np.minimum(z, w).argmax())
        chosen, first = int(undecided[place]), ON if z[place] > w[place] else OFF
    halves = []
    for side in (ON + OFF - first, first):
        half = pattern.copy()
        half[chosen] = side
        halves.append(half)
    return halves


# SciPy's optimize.OptimizeResult has no types of its own.
class _Solved(NamedTuple):
    status: int
    x: NDArray[np.float64] | None


def _relax(matrix: NDArray[np.float64], drive: NDArray[np.float64], pattern: NDArray[np.int64]) -> _Solved:
    """Minimise the sum of z + w over the undecided relus, without their complementarity."""
    from scipy.optimize import linprog  # slow to import

    on, off = pattern == ON, pattern == OFF
    undecided = pattern == OPEN
    limits = np.stack([np.zeros(len(drive)), np.where(off, 0, np.inf)], axis=1)
    solved = linprog(
        matrix[undecided].sum(axis=0) + undecided,
        A_ub=-matrix[~on],
        b_ub=-drive[~on],
        A_eq=matrix[on],
        b_eq=drive[on],
        bounds=limits,
        method="highs",
    )
    return _Solved(int(solved.status), solved.x)


def _solution(
    matrix: NDArray[np.float64], drive: NDArray[np.float64], on: NDArray[np.bool_]
) -> tuple[NDArray[np.float64] | None, bool]:
    """Return the solution in a region, or None; and whether its equations are singular."""
    z = np.zeros(len(drive))
    inner = matrix[np.ix_(on, on)]
    if on.any():
        if np.linalg.svd(inner, compute_uv=False)[-1] < SINGULAR:
            return None, True
        z[on] = np.linalg.solve(inner, drive[on])
    w = matrix @ z - drive
    slack = TOLERANCE * max(1.0, float(np.abs(z).max()))
    return (z if z.min() >= -slack and w[~on].min(initial=0) >= -slack else None), False


def _is_same(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    return bool(np.abs(first - second).max() <= SAME * max(1.0, float(np.abs(first).max())))
