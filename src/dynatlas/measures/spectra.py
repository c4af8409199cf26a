"""Distance between the linearised dynamics of two networks: between sets of eigenvalues."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Int

from dynatlas._util.arrays import ArrayLike
from dynatlas.measures.pairs import Array, Comparison, Reduced

# Directions of projection, over the part of the circle that a set of conjugate pairs leaves free.
DIRECTIONS = 16


def spectrum_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Return the sliced 2-Wasserstein distance between two sets of eigenvalues, which may differ in number.

    √(mean over directions θ in (0, π/2) of W₂²), with W₂² = ∫₀¹ (F⁻¹(t) − G⁻¹(t))² dt between the projections
    Re(λ e^{−iθ}); every eigenvalue has the same share of its set. The integral of these step functions is exact. Both
    sets are completed by missing conjugates, so that the other directions add nothing. A metric, except between sets
    that differ in none of the ``DIRECTIONS``.

    Args:
        first: complex, any shape.
        second: complex, any shape.

    Raises:
        ValueError: no eigenvalue, or one that is not finite.

    Example:
        >>> spectrum_distance([1.0, 0.0], [1.0, 1.0, 0.0, 0.0])
        0.0
        >>> round(spectrum_distance([0.0], [1j, -1j]), 3)  # 1/√2: half of all directions see none of it
        0.707

    Source: Bonneel et al. 2015 (sliced distances).
    """
    return float(np.sqrt(_squared_distance(projections(first), projections(second))))


def projections(eigenvalues: ArrayLike) -> Float[np.ndarray, "directions values"]:
    """Return the sorted projections of a set and its conjugates on every direction.

    Raises:
        ValueError: as in ``spectrum_distance``.
    """
    values = np.asarray(eigenvalues, np.complex128).ravel()
    if not values.size:
        raise ValueError("there are no eigenvalues")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {values.size} eigenvalues are not finite")
    angles = (np.arange(DIRECTIONS) + 0.5) * (np.pi / 2) / DIRECTIONS
    both = np.concatenate([values, values.conj()])
    return np.sort(np.real(both * np.exp(-1j * angles[:, None])), axis=1)


def _squared_distance(first: Float[np.ndarray, "directions n"], second: Float[np.ndarray, "directions m"]) -> float:
    """Compute the mean over directions of W₂² between two sorted sets, each with equal weights."""
    n, m = first.shape[1], second.shape[1]
    if n == m:
        return float(((first - second) ** 2).mean())
    # Both quantile functions are constant between neighbouring multiples of 1/n and of 1/m; in units of 1/(nm).
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    difference = first[:, (ends - 1) // m] - second[:, (ends - 1) // n]
    return float((difference**2 @ widths).mean())


def pack(spectra: Sequence[Complex[np.ndarray, " _"]]) -> Reduced:
    """Return the eigenvalues of every condition as {"real": [all], "imaginary": [all], "counts": [conditions]}."""
    values = np.concatenate(spectra)
    return {
        "real": np.ascontiguousarray(values.real),  # files of tensors have no complex double precision
        "imaginary": np.ascontiguousarray(values.imag),
        "counts": np.array([len(values) for values in spectra], np.int64),
    }


@dataclass(frozen=True)
class Spectrum(Comparison):
    """Root mean square over conditions of ``spectrum_distance`` between eigenvalues as ``pack`` reduces them."""

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two networks."""
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Project every network once."""
        rows, columns = ([_projected(one) for one in group] for group in (firsts, seconds))
        return np.array([[_over_conditions(row, column) for column in columns] for row in rows])


def _over_conditions(first: list[Array], second: list[Array]) -> float:
    return float(np.sqrt(np.mean([_squared_distance(*pair) for pair in zip(first, second, strict=True)])))


def _projected(reduced: Reduced) -> list[Array]:
    """Return the projections of every condition."""
    if "quantiles" in reduced:  # of an earlier version, which kept as many quantiles of every set
        quantiles = reduced["quantiles"]
        sets = quantiles.reshape(len(quantiles), DIRECTIONS, -1)
        return list(sets * np.sqrt(DIRECTIONS * sets.shape[-1]))
    counts: Int[np.ndarray, " conditions"] = reduced["counts"]
    eigenvalues = reduced["real"] + 1j * reduced["imaginary"]
    return [projections(values) for values in np.split(eigenvalues, np.cumsum(counts)[:-1])]
