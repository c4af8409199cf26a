"""What no reordering can exceed: bounds of the score by sorted weights, and by eigenvalues and singular values.

*Sorted weights.* If unit i corresponds to unit k, the off-diagonal weights of row i are multiplied with those of row k
in some order, which gains no more than both sorted; likewise columns. Half of each, with the linear terms and the
diagonal, bounds what the correspondence gains, and the best assignment bounds the score. Where signs are free, absolute
values are sorted.

*Spectra.* ⟨A, L B Rᵀ⟩ for orthogonal L and R does not exceed the product of the sorted singular values; nor, for L = R,
that of the eigenvalues of the symmetric parts plus that of the singular values of the skew parts.

Sources: Gilmore 1962, Lawler 1963; Hoffman & Wielandt 1953, Mirsky 1960, Finke, Burkard & Rendl 1987.
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from dynatlas.measures.pairs import Array
from dynatlas.measures.weights.assignment import assignment
from dynatlas.measures.weights.score import Flips, Score, Units

ROUNDING: Final = 1e-12  # of squared distances, by which a bound stays below what it bounds


def profiles(units: Units, flips: Flips) -> Float[np.ndarray, "n k"]:
    """Return a row for each unit, whose product with another network's bounds what their weights gain."""
    n = len(units.steady)
    off_diagonal = ~np.eye(n, dtype=bool)
    parts: list[Array] = [np.zeros((n, 0))]
    for weights, (rows, columns) in zip(units.between, flips, strict=True):
        free = rows or columns
        for one in (weights, weights.T):
            rest = one[off_diagonal].reshape(n, n - 1)
            parts.append(np.sort(np.abs(rest) if free else rest, axis=1) * np.sqrt(0.5))
        diagonal = weights.diagonal()[:, None]
        parts.append(np.abs(diagonal) if rows != columns else diagonal)
    return np.concatenate(parts, axis=1)


def distance_bound(score: Score, first: Float[np.ndarray, "n k"], second: Float[np.ndarray, "n k"]) -> float:
    """Return a number that no reordering brings the distance below.

    Args:
        score: of weights of norm 1.
        first: the first network's profiles.
        second: the second network's.
    """
    linear = score.signless(score.linear)
    sorted_ = assignment(linear + first @ second.T)[1]
    spectral = assignment(linear)[1] + sum(
        spectral_bound(A, B, alike=rows == columns)
        for A, B, (rows, columns) in zip(score.first.between, score.second.between, score.flips, strict=True)
    )
    most = score.constant + min(sorted_, spectral)
    return float(np.sqrt(max(2 - 2 * most - ROUNDING, 0)))


def spectral_bound(A: Float[np.ndarray, "n n"], B: Float[np.ndarray, "n n"], *, alike: bool) -> float:
    """Return a number that ⟨A, L B Rᵀ⟩ does not exceed for orthogonal L and R, or L = R if they are ``alike``."""
    singular = float(_singular_values(A) @ _singular_values(B))
    if not alike:
        return singular
    symmetric = np.linalg.eigvalsh((A + A.T) / 2) @ np.linalg.eigvalsh((B + B.T) / 2)
    skew = _singular_values((A - A.T) / 2) @ _singular_values((B - B.T) / 2)
    return min(singular, float(symmetric + skew))


def _singular_values(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    return np.asarray(np.linalg.svd(matrix, compute_uv=False))
