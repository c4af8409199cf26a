"""Centred kernel alignment (CKA) of linear kernels."""

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

    The biased products are ⟨K, L⟩ = ‖YᵀX‖²_F, which underestimate the distance unless samples far outnumber units;
    ``debiased`` takes the unbiased estimate of the Hilbert–Schmidt independence criterion instead,

        ⟨K, L⟩ = Σ_{i≠j} K_ij L_ij + (Σ K̃)(Σ L̃) / ((n−1)(n−2)) − 2/(n−2) Σ (K̃ L̃)

    with the tilde for a diagonal set to 0, which needs at least 4 samples and can exceed a distance of 1.

    Principal components are omitted while the distance provably changes by less than ``tolerance``: K = A + T
    with the omitted tail T, and |⟨T, L⟩| ≤ ‖T‖_F ‖L‖_F, so that ‖T‖_F ≤ ``tolerance``/4 ‖K‖_F of both networks
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

    @property
    def unit_bias(self) -> str:
        """The bias of the products, which ``debiased`` removes."""
        return "" if self.debiased else "biased cka is then small for any networks. Give more samples, or debiased=True"

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the activity along its leading principal axes [samples, k], scaled to ⟨K, K⟩ = 1."""
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

    def similarity(self, distance: float) -> float:
        """Return the alignment of the kernels."""
        return 1 - distance

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two scaled activities."""
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compute ⟨K, L⟩ of every pair from one product of all activities."""
        products = np.empty((len(firsts), len(seconds)))
        for pairs, blocks in blocks_of_products([one["scores"] for one in firsts], [one["scores"] for one in seconds]):
            products[pairs] = np.einsum("...ij,...ij->...", blocks, blocks)
        if not self.debiased:
            return np.asarray(1 - products)
        norms: list[Array] = [np.stack([one["norms"] for one in group]) for group in (firsts, seconds)]
        return np.asarray(1 - _unbiased(products, norms[0][:, None], norms[1][None]))


def _unbiased(product: Any, norms: Any, other_norms: Any) -> Any:
    """Return Song et al.'s estimate of ⟨K, L⟩ without its common factor, from ‖YᵀX‖²_F and the diagonals of K and L.

    For centred activity the rows of K add up to 0, so that those of K̃ add up to minus its diagonal.
    """
    n = norms.shape[-1]
    shared = (norms * other_norms).sum(axis=-1)
    sums = norms.sum(axis=-1) * other_norms.sum(axis=-1)
    return product - shared + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * shared
