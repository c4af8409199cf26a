"""Distance between the linearised dynamics of two networks: between sets of eigenvalues."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.measures.pairs import Array, Comparison, Reduced

# Directions of projection, over the part of the circle that a set of conjugate pairs leaves free; and quantiles.
DIRECTIONS, QUANTILES = 16, 256


def spectrum_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Return the sliced 2-Wasserstein distance between two sets of eigenvalues, which may differ in number.

    √(mean over directions θ in (0, π/2) of W₂²), with W₂² = ∫₀¹ (F⁻¹(t) − G⁻¹(t))² dt between the projections
    Re(λ e^{−iθ}); every eigenvalue has the same share of its set. Both sets are completed by missing conjugates, so
    that the other directions add nothing. The integral is a sum over ``QUANTILES`` midpoints t. A
    metric, except between sets that differ in no direction and quantile.

    Args:
        first: complex, any shape.
        second: complex, any shape.

    Raises:
        ValueError: no eigenvalue, or one that is not finite.

    Example:
        >>> round(spectrum_distance([1.0, 0.0], [1.0, 1.0, 0.0, 0.0]), 12)
        0.0
        >>> round(spectrum_distance([0.0], [1j, -1j]), 3)  # 1/√2: half of all directions see none of it
        0.707

    Source: Bonneel et al. 2015 (sliced distances).
    """
    return float(np.linalg.norm(quantiles(first) - quantiles(second)))


def quantiles(eigenvalues: ArrayLike) -> Float[np.ndarray, " directions_times_quantiles"]:
    """Return the vector of a set: the Euclidean distance between two vectors is ``spectrum_distance``."""
    values = np.asarray(eigenvalues, np.complex128).ravel()
    if not values.size:
        raise ValueError("there are no eigenvalues")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {values.size} eigenvalues are not finite")
    angles = (np.arange(DIRECTIONS) + 0.5) * (np.pi / 2) / DIRECTIONS
    both = np.concatenate([values, values.conj()])
    projected = np.sort(np.real(both * np.exp(-1j * angles[:, None])), axis=1)
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    # The quantile function of a set is a step function: do not interpolate between eigenvalues.
    steps = projected[:, np.minimum((levels * both.size).astype(int), both.size - 1)]
    vector: NDArray[np.float64] = steps.ravel() / np.sqrt(DIRECTIONS * QUANTILES)
    return vector


@dataclass(frozen=True)
class Spectrum(Comparison):
    """Root mean square over conditions of ``spectrum_distance``; reduced: {"quantiles": [conditions, ·]}."""

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two sets of quantiles."""
        difference = first["quantiles"] - second["quantiles"]
        return float(np.linalg.norm(difference) / np.sqrt(len(difference)))

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compare all pairs at once."""
        from scipy.spatial.distance import cdist

        vectors: list[Array] = [np.stack([one["quantiles"].ravel() for one in group]) for group in (firsts, seconds)]
        return np.asarray(cdist(*vectors) / np.sqrt(len(firsts[0]["quantiles"])))
