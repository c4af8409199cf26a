"""What a measure fits to two networks' activity on the same samples, and how it compares them on others."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dynatlas.measures.activity import on_unit_scale


class Fitted(ABC):
    """Compares two networks' activity on samples that it was not fitted to."""

    @abstractmethod
    def distance(self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]) -> float:
        """Return the distance between two activities, which are not centred."""


@dataclass(frozen=True)
class CommonSpace(Fitted):
    """A linear map of each network's activity into one space: A = (X − m) W, likewise B from Y.

    Attributes:
        means: m of X [units] and of Y [other units].
        maps: W of X [units, k] and of Y [other units, k].
    """

    means: tuple[Float[np.ndarray, " units"], Float[np.ndarray, " other_units"]]
    maps: tuple[Float[np.ndarray, "units k"], Float[np.ndarray, "other_units k"]]

    def transform(
        self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]
    ) -> tuple[Float[np.ndarray, "samples k"], Float[np.ndarray, "samples k"]]:
        """Return A and B."""
        A, B = ((one - mean) @ along for one, mean, along in zip((X, Y), self.means, self.maps, strict=True))
        return A, B


@dataclass(frozen=True)
class AlignedShapes(CommonSpace):
    """Compares the shapes A and B.

    Attributes:
        form: "angle", arccos(⟨A, B⟩ / (‖A‖ ‖B‖)); "chord", ‖A/‖A‖ − B/‖B‖‖; or "euclidean", ‖A − B‖ / √samples.
    """

    form: str

    def distance(self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]) -> float:
        """Compare the aligned activities; a ValueError names a network without activity in the common space."""
        A, B = self.transform(X, Y)
        if self.form == "euclidean":
            return float(np.linalg.norm(A - B) / np.sqrt(len(A)))
        A, B = _of_norm_1(A, "X"), _of_norm_1(B, "Y")
        # Unlike the arc cosine of their product, the chord is exact near 0.
        chord = float(np.linalg.norm(A - B))
        return chord if self.form == "chord" else float(2 * np.arcsin(min(chord / 2, 1.0)))


@dataclass(frozen=True)
class AlignedVariables(CommonSpace):
    """1 − Σᵢ wᵢ ρᵢ, with ρᵢ the correlation of the i-th columns of A and B.

    Attributes:
        weights: w [k].
    """

    weights: Float[np.ndarray, " k"]

    def distance(self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]) -> float:
        """Correlate the aligned activities."""
        return float(1 - self.weights @ correlations(*self.transform(X, Y)))


@dataclass(frozen=True)
class Predictions(Fitted):
    """1 − (R²(X → Y) + R²(Y → X)) / 2 of two linear predictions, ŷ = m_Y + (x − m_X) W s_X / s_Y and likewise from Y.

    Attributes:
        means: m of X [units] and of Y [other units].
        scales: s of X and of Y.
        maps: W of X [units, other units] and of Y [other units, units].
    """

    means: tuple[Float[np.ndarray, " units"], Float[np.ndarray, " other_units"]]
    scales: tuple[float, float]
    maps: tuple[Float[np.ndarray, "units other_units"], Float[np.ndarray, "other_units units"]]

    def distance(self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]) -> float:
        """Predict each network from the other."""
        first, second = ((one - mean) * scale for one, mean, scale in zip((X, Y), self.means, self.scales, strict=True))
        explained = []
        for given, actual, weights in ((first, second, self.maps[0]), (second, first, self.maps[1])):
            spread = ((actual - actual.mean(axis=0)) ** 2).sum()
            explained.append(1 - ((actual - given @ weights) ** 2).sum() / spread)
        return float(1 - np.mean(explained))


def correlations(A: Float[np.ndarray, "samples k"], B: Float[np.ndarray, "samples k"]) -> Float[np.ndarray, " k"]:
    """Return the correlations of the columns of A with those of B; 0 where one of the two is constant.

    Example:
        >>> A = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
        >>> correlations(A, 1 - A).round(12).tolist()
        [-1.0, 0.0]
    """
    A, B = A - A.mean(axis=0), B - B.mean(axis=0)
    norms = np.linalg.norm(A, axis=0) * np.linalg.norm(B, axis=0)
    return np.asarray(np.divide((A * B).sum(axis=0), norms, out=np.zeros_like(norms), where=norms > 0))


def _of_norm_1(aligned: Float[np.ndarray, "samples k"], name: str) -> Float[np.ndarray, "samples k"]:
    if not aligned.any():
        raise ValueError(f"network {name} has no activity along what was aligned; fit to samples in which it has")
    scaled = on_unit_scale(aligned)
    return np.asarray(scaled / np.linalg.norm(scaled))
