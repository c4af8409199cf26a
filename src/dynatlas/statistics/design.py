"""Linear models of factors on distances: sums of squares by projections of Gower's centred matrix.

With G = −½ C d² C, C = I − 1/n, networks are points whose scalar products are G. Points exist in a Euclidean space if
the distances are Euclidean; the sums of squares are defined for all distances, and can be negative if they are not.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas.statistics.labels import Codes

Columns = NDArray[np.float64]  # [n, columns]


def indicators(levels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n levels"]:
    """Return one column for each level: 1 for its networks, 0 for the others."""
    columns: Columns = (levels[:, None] == np.arange(levels.max(initial=0) + 1)).astype(np.float64)
    return columns


def additive_model(factors: Sequence[Codes], n: int) -> Float[np.ndarray, "n rank"]:
    """Return orthonormal columns that span a constant and the main effects of factors."""
    return _orthonormal(np.column_stack([np.ones(n), *(indicators(levels) for levels in factors)]))


def added_by(levels: Codes, model: Columns) -> Float[np.ndarray, "n added"]:
    """Return orthonormal columns that span what a factor adds to a model; none if the model determines the factor."""
    columns = indicators(levels)
    return _orthonormal(columns - model @ (model.T @ columns))


def sum_of_squares(squares: Float[np.ndarray, "n n"], columns: Float[np.ndarray, "n rank"]) -> float:
    """Compute tr(Uᵀ G U) from d² for columns U that are orthogonal to the constant: −½ tr(Uᵀ d² U).

    Source: McArdle & Anderson 2001.
    """
    return -0.5 * float(np.vdot(columns, squares @ columns))


def centred_products(squares: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Compute Gower's G = −½ C d² C.

    Source: Gower 1966.
    """
    means = squares.mean(axis=0)
    products: NDArray[np.float64] = -0.5 * (squares - means - means[:, None] + means.mean())
    return products


def residual_products(squares: Float[np.ndarray, "n n"], model: Columns) -> Float[np.ndarray, "n n"]:
    """Compute (I − B Bᵀ) G (I − B Bᵀ): scalar products of the residuals of a model with orthonormal columns B."""
    products = centred_products(squares)
    across = products @ model
    inner = model @ (model.T @ across) @ model.T
    residual: NDArray[np.float64] = products - across @ model.T - model @ across.T + inner
    return residual


def _orthonormal(columns: Columns) -> Float[np.ndarray, "n rank"]:
    """Return orthonormal columns with the same span."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    kept: Columns = left[:, singular > 1e-9 * np.sqrt(len(columns))]
    return kept
