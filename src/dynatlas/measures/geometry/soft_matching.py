"""Soft matching distance: the best assignment of units to units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from dynatlas.measures.activity import on_unit_scale
from dynatlas.measures.alignment.fitted import AlignedShapes
from dynatlas.measures.alignment.side import Side
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import Array, Reduced, blocks_of_products
from dynatlas.measures.transport import coupling

# Below this squared distance, the difference of products is less exact than the products of differences.
NEAR = 1e-3


@dataclass(frozen=True)
class SoftMatching(Measure):
    """√(min over couplings π of Σ πᵢⱼ ‖xᵢ − yⱼ‖²): the best assignment of units to units.

    xᵢ and yⱼ [samples] are the units' activities, centred, and scaled by one number for each network so that the mean
    of ‖xᵢ‖² is 1. π has equal shares of all units of each network; between networks of one size it is a permutation.
    Rotating X changes the distance: it compares what single units do, not the subspace that they span.

    A metric, from 0 to 2. Unchanged by the order of units and a common scale. A silent unit is a unit: it changes the
    distance.

    Source: Khosla & Williams 2024. The common scale of each network is a choice of dynatlas.

    Example:
        >>> from dynatlas import distance
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> round(distance(X, 2 * X[:, [2, 0, 1, 4, 3]], "soft_matching"), 6)
        0.0
        >>> rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
        >>> round(distance(X, X @ rotation, "soft_matching"), 2), round(distance(X, X @ rotation, "procrustes"), 2)
        (1.02, 0.0)
    """

    label: ClassVar[str] = "soft matching"
    is_metric: ClassVar[bool] = True

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the scaled activity [samples, units]."""
        scaled = on_unit_scale(activity)
        return {"units": scaled * (np.sqrt(scaled.shape[1]) / np.linalg.norm(scaled))}

    def similarity(self, distance: float) -> float:
        """Return Σ πᵢⱼ ⟨xᵢ, yⱼ⟩ = 1 − d²/2: the correlation of matched units."""
        return 1 - distance**2 / 2

    def align(
        self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]
    ) -> AlignedShapes:
        """Fit the assignment of units."""
        sides = [Side.of(one) for one in (X, Y)]
        first, second = (self.reduce(one.scaled)["units"] for one in sides)
        rows, columns, shares = coupling(_costs(_squares(first), _squares(second), first.T @ second))
        sizes = [one.scale * np.sqrt(len(one.mean)) / np.linalg.norm(one.scaled) for one in sides]
        units = [np.eye(len(one.mean))[:, matched] for one, matched in zip(sides, (rows, columns), strict=True)]
        maps = (sizes[0] * units[0] * np.sqrt(shares), sizes[1] * units[1] * np.sqrt(shares))
        return AlignedShapes((sides[0].mean, sides[1].mean), maps, "chord")

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two scaled activities."""
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Assign the units of every pair, from one product of all activities."""
        distances = np.empty((len(firsts), len(seconds)))
        units: list[list[Array]] = [[one["units"] for one in group] for group in (firsts, seconds)]
        squares = [[_squares(activity) for activity in group] for group in units]
        for (rows, columns), products in blocks_of_products(*units):
            for i, row in enumerate(rows[:, 0]):
                for j, column in enumerate(columns[0]):
                    costs = _costs(squares[0][row], squares[1][column], products[i, j])
                    firsts_, seconds_, shares = coupling(costs)
                    squared = costs[firsts_, seconds_] @ shares
                    if squared < NEAR:
                        differences = units[0][row][:, firsts_] - units[1][column][:, seconds_]
                        squared = (differences**2).sum(axis=0) @ shares
                    distances[row, column] = np.sqrt(squared)
        return distances


def _squares(activity: Array) -> Array:
    return np.asarray((activity**2).sum(axis=0))


def _costs(first: Array, second: Array, products: Array) -> Array:
    """Return ‖xᵢ − yⱼ‖² of all units, from ‖xᵢ‖², ‖yⱼ‖² and ⟨xᵢ, yⱼ⟩."""
    return np.asarray(first[:, None] + second - 2 * products)
