"""Growth at infinity of a relu map, and what it makes of the index sum.

Far from the origin z ↦ relu(M z + e) is positively homogeneous: relu(M v) without e. A *direction of growth* is a
v ≥ 0, not 0, with relu(M v) = λ v and λ ≥ 1.

**Without one, the indices of all roots sum to 1.** On the homotopy z = t relu(M z + e) from t = 0 to 1, roots z that go
to infinity have directions z/|z| that tend to a solution of v = t relu(M v), a direction of growth with λ = 1/t. If
there is none, all roots of all t lie in one ball, and the sum of their indices is that at t = 0, where the only root is
0.

**With directions, the sum is 1 − Σ s**, over those with λ > 1: when t passes 1/λ, one root goes to infinity along v, or
comes from there. Where S are the units with v > 0, its index just below t = 1/λ is s = sign det(I − t M_SS), which is
−1 if M_SS has an odd number of real eigenvalues above λ, and else 1. This needs every λ > 1, simple, and M v < 0
outside S; otherwise the sum is not known.

That there is no direction is *proven* where it is cheap: if the spectral radius of M⁺ = max(M, 0) is below 1, since
λ v ≤ M⁺ v; or if D M + Mᵀ D < 2 D for a diagonal D > 0, since λ vᵀ D v = vᵀ D M v. Both are tried, the second for D = I
and for the quotients of the left and right Perron vectors of M⁺. Otherwise directions are sought: the eigenvectors
v > 0 of M_SS, for the supports S = {M v > 0} that are reached from random ones. Each one found is exact; that there are
no others is *supported*, not proven.

Source: Cottle, Pang & Stone 1992 for the degree of complementarity problems; Krasnosel'skii 1964 for roots from
infinity.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Multiplications in the eigenvalues of all supports together, and how many supports that may be.
COST = 3e7
FEWEST_SUPPORTS, MOST_SUPPORTS = 16, 1000
# Of the supports, this share at most are random; the others follow from them.
RANDOM_SHARE = 0.25
DENSITIES = (0.2, 0.5, 0.8)
REAL = 1e-10  # imaginary part of a real eigenvalue, and least distance of λ from 1 and from other eigenvalues
POSITIVE = 1e-10  # least component of v in S, and least −M v outside, relative to the largest component of v
BELOW = 1 - 1e-9  # what is proven to be below 1 is below this


class Direction(NamedTuple):
    """A direction v ≥ 0 in which a map grows: relu(M v) = λ v.

    Attributes:
        vector: v, with largest component 1 [m].
        factor: λ ≥ 1.
        sign: of det(I − t M_SS) just below t = 1/λ; 0 if the direction is degenerate.
        attracts: whether states near v grow along it.
    """

    vector: NDArray[np.float64]
    factor: float
    sign: int
    attracts: bool


class Growth(NamedTuple):
    """Directions of growth.

    Attributes:
        directions: by descending factor.
        is_proven: whether it is proven that there are no others.
        n_supports: supports from which they were sought; 0 if it is proven that there are none.
    """

    directions: tuple[Direction, ...]
    is_proven: bool
    n_supports: int

    @property
    def index_sum(self) -> int | None:
        """What the indices of all solutions sum to, if there are no other directions; None if it is not known."""
        if any(not each.sign for each in self.directions):
            return None
        return 1 - sum(each.sign for each in self.directions)


def growth(weights: NDArray[np.float64]) -> Growth:
    """Return the directions in which z ↦ relu(M z + e) grows.

    Args:
        weights: M [m, m].

    Example:
        One unit that excites itself grows; inhibition by another that it excites can stop it.

        >>> alone = growth(np.array([[2.0]]))
        >>> [each.factor for each in alone.directions], alone.index_sum
        ([2.0], 0)
        >>> inhibited = growth(np.array([[1.5, -1.0], [1.0, 0.0]]))
        >>> inhibited.directions, inhibited.is_proven, inhibited.index_sum
        ((), False, 1)
    """
    return _growth(weights.tobytes(), len(weights))


@lru_cache(maxsize=8)  # all conditions of a network have the same weights
def _growth(data: bytes, size: int) -> Growth:
    weights = np.frombuffer(data).reshape(size, size)
    if _cannot_grow(weights):
        return Growth((), True, 0)
    most = int(np.clip(COST / size**3, FEWEST_SUPPORTS, MOST_SUPPORTS))
    random = np.random.default_rng(0)
    densities = [DENSITIES[number % len(DENSITIES)] for number in range(int(RANDOM_SHARE * most))]
    waiting = [np.ones(size, bool), *(random.random(size) < density for density in densities)]
    known: set[bytes] = set()
    found: list[Direction] = []
    while waiting and len(known) < most:
        support = waiting.pop()
        if not support.any() or support.tobytes() in known:
            continue
        known.add(support.tobytes())
        directions, following = _on_support(weights, support)
        found += directions
        waiting += following
    return Growth(tuple(sorted(found, key=lambda each: -each.factor)), False, len(known))


def _cannot_grow(weights: NDArray[np.float64]) -> bool:
    """Whether a norm shows that there is no direction of growth."""
    excitation = np.maximum(weights, 0)
    right, left = (_perron_vector(matrix) for matrix in (excitation, excitation.T))
    if (excitation @ right < BELOW * right).all():
        return True
    return any(
        np.linalg.eigvalsh((scaled + scaled.T) / 2)[-1] < BELOW
        for scale in (np.ones(len(weights)), np.sqrt(left / right))
        for scaled in [scale[:, None] * weights / scale]
    )


def _perron_vector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a positive vector close to the leading eigenvector of a matrix without negative entries."""
    values, vectors = np.linalg.eig(matrix + 1e-6 * max(float(matrix.max()), 1e-6))
    vector = np.abs(vectors[:, values.real.argmax()].real)
    return np.asarray(np.maximum(vector / vector.max(), 1e-12))


def _on_support(
    weights: NDArray[np.float64], support: NDArray[np.bool_]
) -> tuple[list[Direction], list[NDArray[np.bool_]]]:
    """Return the directions with exactly this support, and the supports that its real eigenvectors lead to."""
    units = np.flatnonzero(support)
    values, vectors = np.linalg.eig(weights[np.ix_(units, units)])
    values = values.astype(complex)
    is_real = np.abs(values.imag) < REAL
    directions, following = [], []
    for number in np.flatnonzero(is_real & (values.real >= 1 - REAL)):
        for sign in (1, -1):
            vector = np.zeros(len(weights))
            vector[units] = sign * vectors[:, number].real
            largest = float(vector.max())
            if largest <= 0:
                continue
            vector /= largest
            driven = weights @ np.maximum(vector, 0)
            if (vector[units] > POSITIVE).all() and (driven[~support] <= POSITIVE).all():
                directions.append(_direction(vector, driven, support, values, int(number), is_real))
            following.append(driven > POSITIVE)
    return directions, following


def _direction(
    vector: NDArray[np.float64],
    driven: NDArray[np.float64],
    support: NDArray[np.bool_],
    values: NDArray[np.complex128],
    number: int,
    is_real: NDArray[np.bool_],
) -> Direction:
    """Characterise a direction by the other eigenvalues on its support."""
    factor, others = float(values[number].real), np.delete(values, number)
    is_simple = bool((np.abs(others - factor) > REAL * factor).all())
    is_strict = bool((driven[~support] < -POSITIVE).all())
    above = int((np.delete(is_real, number) & (others.real > factor)).sum())
    sign = (-1) ** above if is_simple and is_strict and factor > 1 + REAL else 0
    return Direction(vector, factor, sign, bool(sign and (np.abs(others) < factor).all()))
