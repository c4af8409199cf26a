"""Distances from kernels and from rotations: CKA and Procrustes."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from dynatlas.measures.activity import on_unit_scale, principal_axes
from dynatlas.measures.measure import Measure, expected
from dynatlas.measures.pairs import Array, Reduced, blocks_of_products


@dataclass(frozen=True)
class CKA(Measure):
    """1 − ⟨K, L⟩ / √(⟨K, K⟩ ⟨L, L⟩) with K = X Xᵀ and L = Y Yᵀ: linear centred kernel alignment.

    Biased, the products are ⟨K, L⟩ = ‖YᵀX‖²_F. That pulls networks together when units are not few beside the samples;
    ``debiased`` takes the unbiased estimate of the Hilbert–Schmidt independence criterion instead,

        ⟨K, L⟩ = Σ_{i≠j} K_ij L_ij + (Σ K̃)(Σ L̃) / ((n−1)(n−2)) − 2/(n−2) Σ (K̃ L̃)

    with the tilde for a diagonal set to 0, which needs at least 4 samples and can exceed a distance of 1.

    Principal components are left out as long as the distance provably changes by less than ``tolerance``: K = A + T
    with the tail T left out, and |⟨T, L⟩| ≤ ‖T‖_F ‖L‖_F, so that ‖T‖_F ≤ ``tolerance``/4 ‖K‖_F of both networks
    suffices. 0 keeps everything above rounding, and so does ``debiased``.

    A distance from 0 to 1, no metric. Unchanged by rotation.

    Source: Kornblith et al. 2019; Song et al. 2012 for the unbiased estimate.
    """

    label: ClassVar[str] = "CKA"
    kept_components: ClassVar[float] = 24
    debiased: Any = False
    tolerance: Any = 1e-7

    def __post_init__(self) -> None:
        expected("debiased", self.debiased, "True or False", isinstance(self.debiased, bool))
        is_share = isinstance(self.tolerance, Real) and 0 <= float(self.tolerance) < 1
        expected("tolerance", self.tolerance, "a number in [0, 1)", is_share)

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """The activity along its leading principal axes [samples, k], on a scale where ⟨K, K⟩ = 1."""
        if self.debiased and len(activity) < 4:
            raise ValueError(f"debiased cka needs at least 4 samples; there are {len(activity)}")
        scaled = on_unit_scale(activity)
        variances, axes = principal_axes(scaled)
        # ‖T‖_F of the tail from the k-th component on, from the smallest up.
        tails = np.sqrt(np.cumsum(variances[::-1] ** 2))[::-1]
        left_out = 0.0 if self.debiased else float(self.tolerance) / 4
        kept = max(1, int((tails > left_out * tails[0]).sum()))
        scores = scaled @ axes[:, :kept]
        if not self.debiased:
            return {"scores": scores / np.sqrt(np.linalg.norm(scores.T @ scores))}
        norms = (scores**2).sum(axis=1)
        own = _unbiased(np.linalg.norm(scores.T @ scores) ** 2, norms, norms)
        if own <= 0:
            raise ValueError("its unbiased ⟨K, K⟩ is not positive: the samples are too few for debiased cka")
        return {"scores": scores / own**0.25, "norms": norms / own**0.5}

    def between(self, first: Reduced, second: Reduced) -> float:
        """From two scaled activities."""
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Every pair's ⟨K, L⟩, from one product of all activities."""
        products = np.empty((len(firsts), len(seconds)))
        for pairs, blocks in blocks_of_products([one["scores"] for one in firsts], [one["scores"] for one in seconds]):
            products[pairs] = np.einsum("...ij,...ij->...", blocks, blocks)
        if not self.debiased:
            return np.asarray(1 - products)
        norms: list[Array] = [np.stack([one["norms"] for one in group]) for group in (firsts, seconds)]
        return np.asarray(1 - _unbiased(products, norms[0][:, None], norms[1][None]))


@dataclass(frozen=True)
class Procrustes(Measure):
    """The angle left after the best rotation, arccos(‖XᵀY‖_* / (‖X‖_F ‖Y‖_F)), in radians: at most π/2.

    ``euclidean`` gives √(‖X‖²_F + ‖Y‖²_F − 2‖XᵀY‖_*) / √samples instead: the root mean square distance between the
    aligned states, in the activity's own units, which does mind its scale.

    A distance and a metric, either way. Unchanged by rotation.

    Source: Williams et al. 2021 (shape distances), with the narrower network padded by silent units.
    """

    label: ClassVar[str] = "Procrustes"
    is_metric: ClassVar[bool] = True
    euclidean: Any = False

    def __post_init__(self) -> None:
        expected("euclidean", self.euclidean, "True or False", isinstance(self.euclidean, bool))

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """The activity along its principal axes [samples, k], scaled so that ‖X‖_F = 1; and ‖X‖_F / √samples."""
        scaled = on_unit_scale(activity)
        scores = scaled @ principal_axes(scaled)[1]
        norm = np.linalg.norm(scores)
        size = np.abs(activity).max() / np.abs(scaled).max() * norm / np.sqrt(len(activity))
        return {"scores": scores / norm, "size": np.asarray(size if self.euclidean else 1.0)}

    def between(self, first: Reduced, second: Reduced) -> float:
        """From two scaled activities and their sizes."""
        narrow, wide = sorted((first, second), key=lambda one: one["scores"].shape[1])
        sizes = float(narrow["size"]), float(wide["size"])
        left, overlaps, right = np.linalg.svd(narrow["scores"].T @ wide["scores"], full_matrices=False)
        overlap = float(overlaps.sum())
        if overlap < 0.99:
            return float(np.arccos(overlap)) if not self.euclidean else _side(*sizes, 2 - 2 * overlap)
        # Near 1 both formulas turn rounding of 1e-16 into 1e-8. The chord between the aligned networks does not.
        chord = float(np.linalg.norm(narrow["scores"] @ (left @ right) - wide["scores"]))
        return float(2 * np.arcsin(chord / 2)) if not self.euclidean else _side(*sizes, chord**2)


def _side(a: float, b: float, squared_chord: float) -> float:
    """The third side of a triangle whose sides a and b enclose an angle with this chord on the unit circle."""
    return float(np.hypot(a - b, np.sqrt(a * b * squared_chord)))


def _unbiased(product: Any, norms: Any, other_norms: Any) -> Any:
    """⟨K, L⟩ by Song et al.'s estimate but for its common factor, from ‖YᵀX‖²_F and the diagonals of K and L.

    For centred activity the rows of K add up to 0, so that those of K̃ add up to minus its diagonal.
    """
    n = norms.shape[-1]
    shared = (norms * other_norms).sum(axis=-1)
    sums = norms.sum(axis=-1) * other_norms.sum(axis=-1)
    return product - shared + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * shared
