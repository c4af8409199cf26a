"""Procrustes distance: the shape distance that remains after the best rotation."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from dynatlas.measures.activity import on_unit_scale, orthonormal, principal_axes
from dynatlas.measures.alignment.fitted import AlignedShapes
from dynatlas.measures.alignment.side import Side
from dynatlas.measures.measure import Measure, expected, no_similarity
from dynatlas.measures.pairs import Array, Reduced


@dataclass(frozen=True)
class Procrustes(Measure):
    """The angle that remains after the best rotation, arccos(‖XᵀY‖_* / (‖X‖_F ‖Y‖_F)), in radians: at most π/2.

    ``euclidean`` returns √(‖X‖²_F + ‖Y‖²_F − 2‖XᵀY‖_*) / √samples instead: the root mean square distance between the
    aligned states, in the units of the activity, which depends on its scale.

    ``alpha`` whitens partially first: activity of ‖X‖_F = 1 with principal variances λ is multiplied by
    α + (1 − α) / √λ along its principal axes, and rescaled to its norm. 1, or None, does nothing; at 0 all directions
    count alike, as in CCA.

    All are metrics, unchanged by rotation; at ``alpha=0`` by any invertible linear map.

    Source: Williams et al. 2021 (shape distances), with the narrower network padded by silent units. Their package
    netrep whitens activity as it is scaled, and gives silent units a variance.
    """

    label: ClassVar[str] = "Procrustes"
    is_metric: ClassVar[bool] = True
    euclidean: Any = False
    alpha: Any = None

    def __post_init__(self) -> None:
        is_share = isinstance(self.alpha, Real) and 0 <= float(self.alpha) <= 1
        expected("alpha", self.alpha, "a number in [0, 1], or None", self.alpha is None or is_share)
        expected("euclidean", self.euclidean, "True or False", isinstance(self.euclidean, bool))

    @property
    def unit_bias(self) -> str:
        """The freedom of a rotation of more units than samples."""
        return "a rotation then brings any networks near each other. Give more samples, or compare principal components"

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the activity along its principal axes [samples, k], scaled to ‖X‖_F = 1; and ‖X‖_F / √samples."""
        scaled = on_unit_scale(activity)
        variances, axes = principal_axes(scaled)
        scores = scaled @ axes
        norm = np.linalg.norm(scores)
        if self.alpha is not None:
            alpha = float(self.alpha)
            # Orthogonalise first: dividing by small singular values would amplify deviations.
            shares = np.sqrt(variances / variances.sum())
            scores = orthonormal(scores) * (alpha * shares + 1 - alpha)
            scores *= norm / np.linalg.norm(scores)
        size = np.abs(activity).max() / np.abs(scaled).max() * norm / np.sqrt(len(activity))
        return {"scores": scores / norm, "size": np.asarray(size if self.euclidean else 1.0)}

    def similarity(self, distance: float) -> float:
        """Return the cosine of the angle, ‖XᵀY‖_* / (‖X‖_F ‖Y‖_F)."""
        if self.euclidean:
            raise no_similarity(self.title, "euclidean=True", "euclidean=False")
        return float(np.cos(distance))

    def align(
        self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]
    ) -> AlignedShapes:
        """Fit the best rotation, after partial whitening.

        Directions without activity keep columns of their own in the common space, in which the other network is 0.
        """
        sides = [Side.of(one) for one in (X, Y)]
        shapes, silent = zip(*(self._maps(one) for one in sides), strict=True)
        narrow, wide = sorted((0, 1), key=lambda each: shapes[each].shape[1])
        left, _, right = np.linalg.svd(
            (sides[narrow].scaled @ shapes[narrow]).T @ (sides[wide].scaled @ shapes[wide]), full_matrices=False
        )
        aligned = {narrow: shapes[narrow] @ (left @ right), wide: shapes[wide]}
        sizes = [np.sqrt(one.variances.sum()) if self.euclidean else one.scale for one in sides]
        absent = [np.zeros((len(one.axes), other.shape[1])) for one, other in zip(sides, silent[::-1], strict=True)]
        maps = (
            sizes[0] * np.hstack([aligned[0], silent[0], absent[0]]),
            sizes[1] * np.hstack([aligned[1], absent[1], silent[1]]),
        )
        return AlignedShapes((sides[0].mean, sides[1].mean), maps, "euclidean" if self.euclidean else "angle")

    def _maps(self, side: Side) -> tuple[Array, Array]:
        """Return the maps of scaled activity to a shape of norm 1 [units, k], and of directions without activity."""
        norm = np.sqrt(side.variances.sum())
        if self.alpha is None:
            return side.axes / norm, side.silent_directions() / norm
        alpha = float(self.alpha)
        shape = side.to_basis() * (alpha * np.sqrt(side.variances) / norm + 1 - alpha)
        size = np.linalg.norm(side.scaled @ shape)
        return shape / size, alpha * side.silent_directions() / (norm * size)

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two scaled activities and their sizes."""
        narrow, wide = sorted((first, second), key=lambda one: one["scores"].shape[1])
        sizes = float(narrow["size"]), float(wide["size"])
        left, overlaps, right = np.linalg.svd(narrow["scores"].T @ wide["scores"], full_matrices=False)
        overlap = float(overlaps.sum())
        if overlap < 0.99:
            return float(np.arccos(overlap)) if not self.euclidean else _side(*sizes, 2 - 2 * overlap)
        # Near 1 both formulas amplify rounding of 1e-16 to 1e-8. The chord between the aligned networks does not.
        chord = float(np.linalg.norm(narrow["scores"] @ (left @ right) - wide["scores"]))
        return float(2 * np.arcsin(chord / 2)) if not self.euclidean else _side(*sizes, chord**2)


def _side(a: float, b: float, squared_chord: float) -> float:
    """Return the third side of a triangle; the angle between a and b has this squared chord on the unit circle."""
    return float(np.hypot(a - b, np.sqrt(a * b * squared_chord)))
