"""Distances from canonical correlations between the subspaces that two networks' activities span."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from dynatlas.measures.activity import on_unit_scale, orthonormal, principal_axes
from dynatlas.measures.alignment.fitted import AlignedVariables, correlations
from dynatlas.measures.alignment.side import Side
from dynatlas.measures.measure import Measure, expected
from dynatlas.measures.pairs import Array, Reduced, blocks_of_products


@dataclass(frozen=True)
class SVCCA(Measure):
    """1 − Σᵢ ρᵢ / k, with ρ the canonical correlations between the k leading principal components of two networks.

    With orthonormal bases Q_X, Q_Y [samples, k] of the two subspaces, ρ are the singular values of Q_Xᵀ Q_Y. All
    networks of a comparison have the same k: ``components``, or by default the smallest number with which each of them
    keeps the share ``variance`` of its variance. A network of lower rank has no correlation along the missing ones.
    ``variance=1`` keeps everything above rounding: plain CCA.

    With ``per_network=True`` each network keeps the share ``variance`` by itself, and the mean is over min(k_X, k_Y).
    This is no measure of difference: a network is at 0 from every other one whose subspace contains its own.

    A distance from 0 to 1, no metric. Unchanged by rotation.

    Source: Raghu et al. 2017, who take 99 % of the variance; Maheswaranathan et al. 2019, who take the same k for both
    networks, about 95 %. One k for all networks is a choice of dynatlas; ``per_network`` is google/svcca's.

    Example:
        >>> t = np.linspace(0, 2 * np.pi, 200, endpoint=False)[:, None]
        >>> circle, curve = np.hstack([np.cos(t), np.sin(t)]), np.hstack([np.cos(t), np.sin(t), np.cos(2 * t)])
        >>> from dynatlas import distance
        >>> round(distance(circle, curve, "svcca"), 3)  # the third component has no counterpart
        0.333
    """

    label: ClassVar[str] = "SVCCA"
    kept_components: ClassVar[float] = 12
    variance: Any = 0.95  # a share; __post_init__ explains other values
    components: Any = None
    per_network: Any = False

    def __post_init__(self) -> None:
        is_share = isinstance(self.variance, Real) and 0 < float(self.variance) <= 1
        expected("variance", self.variance, "a share in (0, 1]", is_share)
        is_count = isinstance(self.components, Integral) and int(self.components) >= 1
        expected(
            "components", self.components, "a whole number of at least 1, or None", self.components is None or is_count
        )
        expected("per_network", self.per_network, "true or false", isinstance(self.per_network, bool))
        if self.per_network and self.components is not None:
            raise ValueError(
                f"components is {self.components} with per_network=True, which takes each network's own number; "
                "give one of the two"
            )

    @property
    def needs_agreement(self) -> bool:
        """Whether the number of components depends on all networks."""
        return self.components is None and not self.per_network

    def components_of(self, activity: Float[np.ndarray, "samples units"]) -> int:
        """Return the smallest number of components that hold the share ``variance``."""
        return self._enough(principal_axes(on_unit_scale(activity))[0])

    def agreed(self, components: Iterable[int]) -> "SVCCA":
        """Return the measure with the largest of these numbers, if it has no number yet."""
        return replace(self, components=max(components, default=1)) if self.needs_agreement else self

    @property
    def caution(self) -> str:
        """What is wrong with numbers of components that differ."""
        if not self.per_network:
            return ""
        return (
            "with per_network=True, SVCCA is no measure of difference: a network is at 0 from every other one whose "
            "subspace contains its own"
        )

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return an orthonormal basis of the kept subspace [samples, k]."""
        scaled = on_unit_scale(activity)
        variances, axes = principal_axes(scaled)
        kept = self.components or self._enough(variances)
        return {"basis": orthonormal(scaled @ axes[:, :kept])}

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two orthonormal bases."""
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compute the singular values of every pair from one product of all bases."""
        distances = np.empty((len(firsts), len(seconds)))
        for pairs, products in blocks_of_products([one["basis"] for one in firsts], [one["basis"] for one in seconds]):
            kept = (min if self.per_network else max)(products.shape[-2:])
            correlations = np.minimum(np.linalg.svd(products, compute_uv=False), 1)
            distances[pairs] = 1 - correlations.sum(axis=-1) / kept
        return distances

    def similarity(self, distance: float) -> float:
        """Return the mean canonical correlation."""
        return 1 - distance

    def align(
        self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]
    ) -> AlignedVariables:
        """Fit the canonical directions of the leading principal components."""
        sides = (Side.of(X), Side.of(Y))
        agreed = self.agreed(self._enough(one.variances) for one in sides)
        bases = [one.to_basis(agreed.components or self._enough(one.variances)) for one in sides]
        kept = (min if self.per_network else max)(basis.shape[1] for basis in bases)
        return _aligned(sides, bases, lambda correlated: np.full(correlated[0].shape[1], 1 / kept))

    def dimension(self, reduced: Reduced) -> int:
        """Return the number of components kept."""
        return int(reduced["basis"].shape[1])

    def _enough(self, variances: Float[np.ndarray, " components"]) -> int:
        shares = np.cumsum(variances) / variances.sum()
        # Rounding can leave the last share at 1 − ε, and the search would run past it.
        return min(int(np.searchsorted(shares, self.variance - 1e-12)) + 1, len(variances))


@dataclass(frozen=True)
class PWCCA(Measure):
    """1 − Σᵢ αᵢ ρᵢ / Σᵢ αᵢ, with αᵢ = Σⱼ |⟨hᵢ, xⱼ⟩|: how much of the units' activity xⱼ lies along the variable hᵢ.

    ρ are the canonical correlations of all components above rounding, hᵢ [samples] the canonical variables of X.
    Weights from X and weights from Y yield different numbers; their mean is symmetric. α is a sum of absolute values
    over units, so it depends on their axes: rotating X changes its distance from Y.

    A distance from 0 to 1, no metric. X and its invertible linear images are 0 apart.

    Source: Morcos, Raghu & Bengio 2018; they weight by the first network, their code by the one with fewer dimensions.
    """

    label: ClassVar[str] = "PWCCA"

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return an orthonormal basis of the activity [samples, k], and the activity in it [k, units]."""
        scaled = on_unit_scale(activity)
        basis = orthonormal(scaled @ principal_axes(scaled)[1])
        return {"basis": basis, "activity": basis.T @ scaled}

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two bases and the activities in them."""
        left, correlations, right = np.linalg.svd(first["basis"].T @ second["basis"], full_matrices=False)
        correlations = np.minimum(correlations, 1)
        weights = (np.abs(left.T @ first["activity"]).sum(axis=1), np.abs(right @ second["activity"]).sum(axis=1))
        return float(1 - np.mean([weight @ correlations / weight.sum() for weight in weights]))

    def similarity(self, distance: float) -> float:
        """Return the weighted mean of the canonical correlations."""
        return 1 - distance

    def align(
        self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]
    ) -> AlignedVariables:
        """Fit the canonical directions, and the weights of both networks."""
        sides = (Side.of(X), Side.of(Y))

        def weights(variables: tuple[Array, Array]) -> Array:
            along = [np.abs(one.T @ side.scaled).sum(axis=1) for one, side in zip(variables, sides, strict=True)]
            return np.asarray(np.mean([each / each.sum() for each in along], axis=0))

        return _aligned(sides, [one.to_basis() for one in sides], weights)

    def dimension(self, reduced: Reduced) -> int:
        """Return the dimension of the activity."""
        return int(reduced["basis"].shape[1])


@dataclass(frozen=True)
class CCA(Measure):
    """1 − ‖ZᵀW‖_* / (‖Z‖_F ‖W‖_F), with Z = X (XᵀX + κ I)^(−1/2) and likewise W from Y: regularised mean CCA.

    κ is ``regularization`` times the largest eigenvalue of XᵀX. At 0 the singular values of ZᵀW are the canonical
    correlations, and this is 1 − Σ ρ / √(k_X k_Y); a larger κ gives weak directions less weight. The
    norms make the distance of a network from itself 0.

    With ``held_out`` the directions come from the first part of the samples alone, and the distance is 1 − the mean
    over min(k_X, k_Y) of the correlations between them on the last share ``held_out`` of the samples, which too few
    samples cannot drive to 1.

    A distance, from 0 to 1 (with ``held_out`` up to 2), no metric (its arc cosine is one, at ``held_out=0``). Unchanged
    by rotation; at ``regularization=0`` by any invertible linear map.

    Source: Vinod 1976 (ridge); the normalisation is that of Williams et al. 2021.
    """

    label: ClassVar[str] = "CCA"
    largest_condition: ClassVar[float] = 1e6  # of activity that is whitened without a ridge
    regularization: Any = 0.01
    held_out: Any = 0.0

    def __post_init__(self) -> None:
        is_number = isinstance(self.regularization, Real) and 0 <= float(self.regularization) < np.inf
        expected("regularization", self.regularization, "a number of at least 0", is_number)
        is_share = isinstance(self.held_out, Real) and 0 <= float(self.held_out) < 1
        expected("held_out", self.held_out, "a share in [0, 1)", is_share)

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the whitened activity [samples, k] of the fitted and of the held-out samples."""
        scaled = on_unit_scale(activity)
        n_held = round(float(self.held_out) * len(scaled))
        fitted, held = scaled[: len(scaled) - n_held], scaled[len(scaled) - n_held :]
        if self.held_out and min(n_held, len(fitted)) < 2:
            raise ValueError(
                f"held_out={self.held_out} of {len(scaled)} samples leaves {len(fitted)} and {n_held}; expected at "
                "least 2 of both"
            )
        mean = fitted.mean(axis=0)
        fitted = fitted - mean
        if not fitted.any():
            raise ValueError("activity is constant over the samples that are not held out")
        variances, axes = principal_axes(fitted)
        scores = fitted @ axes
        kappa = float(self.regularization) * variances[0]
        # Orthogonalise first: dividing by small singular values would amplify deviations.
        basis, triangle = np.linalg.qr(scores)
        shrink = np.sqrt(variances / (variances + kappa))
        if not n_held:
            condition = _condition(fitted) if self.regularization == 0 else 1.0
            return {"fitted": basis * (shrink / np.linalg.norm(shrink)), "condition": np.asarray(condition)}
        return {"fitted": basis * shrink, "held": (held - mean) @ axes @ np.linalg.inv(triangle) * shrink}

    def doubt(self, reduced: Reduced) -> str:
        """Return a warning if the weakest directions, which count as much as the strongest, are mostly rounding."""
        condition = float(reduced.get("condition", 1.0))
        if condition <= self.largest_condition:
            return ""
        return (
            f"the activity has condition number {condition:.0e}, and without a ridge directions near rounding count as "
            "much as the strongest. Give a regularization, or take svcca"
        )

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two whitened activities."""
        left, values, right = np.linalg.svd(first["fitted"].T @ second["fitted"], full_matrices=False)
        if "held" not in first:
            return float(1 - values.sum())
        # A direction without activity on the held-out samples has no correlation.
        return float(1 - np.mean(correlations(first["held"] @ left, second["held"] @ right.T)))

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compute the nuclear norm of every pair from one product of all activities."""
        if self.held_out:
            return super().tile(firsts, seconds)
        distances = np.empty((len(firsts), len(seconds)))
        whitened: list[list[Array]] = [[one["fitted"] for one in group] for group in (firsts, seconds)]
        for pairs, products in blocks_of_products(*whitened):
            distances[pairs] = 1 - np.linalg.svd(products, compute_uv=False).sum(axis=-1)
        return distances

    def similarity(self, distance: float) -> float:
        """Return the mean canonical correlation, regularised."""
        return 1 - distance

    def align(
        self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]
    ) -> AlignedVariables:
        """Fit the regularised canonical directions."""
        if self.held_out:
            raise ValueError(
                f"held_out is {self.held_out}; leave it out: the samples passed to score or distance are those held out"
            )
        sides, kappa = (Side.of(X), Side.of(Y)), float(self.regularization)
        bases = [one.to_basis() * np.sqrt(one.variances / (one.variances + kappa * one.variances[0])) for one in sides]
        return _aligned(sides, bases, lambda correlated: np.full(correlated[0].shape[1], 1 / correlated[0].shape[1]))

    def dimension(self, reduced: Reduced) -> int:
        """Return the dimension of the activity; 0 with held-out samples, which reveal matches by chance."""
        return 0 if self.held_out else int(reduced["fitted"].shape[1])


def _aligned(
    sides: tuple[Side, Side], bases: Sequence[Array], weights: Callable[[tuple[Array, Array]], Array]
) -> AlignedVariables:
    """Return the canonical directions in two bases; ``weights`` takes the variables along them [samples, k]."""
    first, second = (side.scaled @ basis for side, basis in zip(sides, bases, strict=True))
    left, _, right = np.linalg.svd(first.T @ second, full_matrices=False)
    maps = (sides[0].scale * bases[0] @ left, sides[1].scale * bases[1] @ right.T)
    return AlignedVariables((sides[0].mean, sides[1].mean), maps, weights((first @ left, second @ right.T)))


def _condition(activity: Float[np.ndarray, "samples units"]) -> float:
    """Compute the ratio of the largest and the smallest singular value above rounding."""
    values = np.linalg.svd(activity, compute_uv=False)
    return float(values[0] / values[values > max(activity.shape) * np.finfo(float).eps * values[0]].min())
