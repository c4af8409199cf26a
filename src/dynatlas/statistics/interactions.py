"""Test of interactions: whether the combinations of levels explain more than the sum of the factors' main effects."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.statistics.design import additive_model, residual_products
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.labels import Codes, combined
from dynatlas.statistics.permanova import ROUNDING, TIES, FactorTest, restricted

# Distances gathered at once: 50 megabytes.
MOST_GATHERED = 6_000_000


def interaction_test(
    distances: Distances, factors: Sequence[Codes], permutations: int = 999, seed: int = 0
) -> FactorTest:
    """Test the interactions of factors by permuting the residuals of their main effects.

    With H the projection on what the combinations of levels add to the main effects, G_R = (I − H₀) G (I − H₀) the
    scalar products of the residuals of the main effects, and V_c the variance of the residuals of combination c,

        F₂ = tr(H G_R) / Σ_c V_c Σ_{i in c} H_ii

    is computed for permuted rows and columns of G_R, among all networks. The test is exact for many networks only: with
    two or three networks a combination residuals are not quite exchangeable. A combination of one network has the
    variance of all.

    Args:
        distances: [n, n], not all 0.
        factors: encoded levels of each factor that varies.
        permutations: number of permutations.
        seed: seed of the permutations.

    Returns:
        R² of the interactions, F₂, the mean R² by chance (over permutations, times (n − 1)/(n − rank H₀), because
        residuals vary less than networks), p and p_lower.

    Raises:
        ValueError: no combination has two networks, or the combinations add nothing to the main effects, as with one
            factor; ``partition`` then has no part of the interactions.

    Source: Freedman & Lane 1983; Anderson & ter Braak 2003; with the F₂ of Anderson et al. 2017.
    """
    matrix = DistanceMatrix.of(distances)
    n = len(matrix)
    cells = combined(factors, n)
    sizes = np.bincount(cells)
    model = additive_model(factors, n)
    if len(sizes) in (n, model.shape[1]):
        raise ValueError(
            f"{len(sizes)} combinations of {n} networks add nothing to {model.shape[1]} main effects that could be "
            "tested; expected several factors, and two networks of one combination"
        )
    residual = residual_products(matrix.squares, model)
    statistic = _Statistic(residual, model, cells)
    total = float(matrix.squares.sum()) / (2 * n)
    floor = ROUNDING * total
    observed, noise = (float(each[0]) for each in statistic(np.arange(n)[None]))
    noise = max(noise, floor)
    draws = [statistic(order) for order in statistic.orders(permutations, seed)]
    by_chance, noises = (np.concatenate(each) for each in zip(*draws, strict=True))
    permuted, limit, slack = by_chance / np.maximum(noises, floor), observed / noise, TIES * total / noise
    return FactorTest(
        r2=observed / total,
        f2=limit,
        chance=float(by_chance.mean() / total * (n - 1) / (n - model.shape[1])),
        p=float((1 + (permuted >= limit - slack).sum()) / (1 + permutations)),
        p_lower=float((1 + (permuted <= limit + slack).sum()) / (1 + permutations)),
    )


class _Statistic:
    """Numerator and denominator of F₂ for permuted residuals, from distances between residuals of one combination."""

    def __init__(self, residual: Float[np.ndarray, "n n"], model: Float[np.ndarray, "n rank"], cells: Codes) -> None:
        n, sizes = len(cells), np.bincount(cells)
        own = np.diagonal(residual)
        self.residual, self.model, self.total = residual, model, float(own.sum())
        self.squares = own + own[:, None] - 2 * residual
        first, second = np.triu_indices(n, 1)
        alike = cells[first] == cells[second]
        self.first, self.second = first[alike], second[alike]
        of_pair = cells[self.first]
        leverage = 1 - np.bincount(cells, (model**2).sum(axis=1))  # Σ H_ii of each combination
        alone = leverage[sizes == 1].sum() / (n - len(sizes))
        noise = leverage[of_pair] / (sizes[of_pair] - 1) + alone
        self.weights = np.column_stack([np.ones(len(of_pair)), noise]) / sizes[of_pair, None]

    def __call__(
        self, orders: NDArray[np.int64]
    ) -> tuple[Float[np.ndarray, " permutations"], Float[np.ndarray, " permutations"]]:
        """Return tr(H G_R) and its mean without interactions, with the residuals in each order."""
        within, noise = (self.squares[orders[:, self.first], orders[:, self.second]] @ self.weights).T
        placed = np.empty((len(orders), *self.model.shape))
        np.put_along_axis(placed, orders[:, :, None], self.model, axis=1)
        columns = placed.transpose(1, 0, 2).reshape(len(self.model), -1)
        main = np.einsum("ij,ij->j", columns, self.residual @ columns).reshape(len(orders), -1).sum(axis=1)
        return self.total - within - main, noise

    def orders(self, permutations: int, seed: int) -> "list[NDArray[np.int64]]":
        """Return random orders of all networks, in batches that need little memory."""
        n = len(self.model)
        batches = restricted(np.arange(n), np.zeros(n, np.int64), permutations, seed)
        size = max(1, MOST_GATHERED // max(len(self.first), 1))
        return [batch[start : start + size] for batch in batches for start in range(0, len(batch), size)]
