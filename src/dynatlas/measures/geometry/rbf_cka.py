"""Centred kernel alignment (CKA) of Gaussian kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist, squareform

from dynatlas._util.selection import even_selection
from dynatlas.measures.activity import on_unit_scale
from dynatlas.measures.measure import Measure, expected
from dynatlas.measures.pairs import Array, Reduced


@dataclass(frozen=True)
class RBFCKA(Measure):
    """1 − ⟨HKH, HLH⟩ / (‖HKH‖_F ‖HLH‖_F) with Kᵢⱼ = exp(−‖xᵢ − xⱼ‖² / 2σ²), likewise L from Y, and H = I − 11ᵀ/n.

    σ is ``bandwidth`` times the median distance between two samples. A small one compares which samples are neighbours,
    a large one is linear CKA.

    ``samples`` limits the comparison to so many samples, evenly spaced: the kernel is quadratic.

    A distance from 0 to 1, no metric (its arc cosine is one). Unchanged by rotation and a common scale.

    Source: Kornblith et al. 2019, with the biased estimate. They take the median over all pairs, those of a sample and
    itself included.
    """

    label: ClassVar[str] = "RBF CKA"
    study_options: ClassVar[Mapping[str, object]] = {"samples": 400}
    bandwidth: Any = 0.8
    samples: Any = None
    max_samples: ClassVar[int] = 4000  # 16 million entries, 128 MB while a network is reduced

    def __post_init__(self) -> None:
        is_number = isinstance(self.bandwidth, Real) and 0 < float(self.bandwidth) < np.inf
        expected("bandwidth", self.bandwidth, "a number above 0", is_number)
        is_count = isinstance(self.samples, Integral) and int(self.samples) >= 3
        expected("samples", self.samples, "a whole number of at least 3, or None", self.samples is None or is_count)

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the entries of the centred kernel on and below its diagonal, scaled to norm 1 [entries]."""
        if self.samples is not None and self.samples < len(activity):
            activity = activity[even_selection(range(len(activity)), int(self.samples))]
        if len(activity) > self.max_samples:
            raise ValueError(
                f"rbf_cka compares all pairs of samples, and {len(activity)} samples are too many; give samples= a "
                f"number of at most {self.max_samples}, to compare so many of them"
            )
        distances = pdist(on_unit_scale(activity)) if activity.any() else np.zeros(1)
        median = np.median(distances)
        if median == 0:
            raise ValueError("half of the samples or more are equal, which leaves no width for the kernel of rbf_cka")
        kernel = squareform(np.exp(-((distances / (float(self.bandwidth) * median)) ** 2) / 2))
        np.fill_diagonal(kernel, 1)
        means = kernel.mean(axis=0)
        kernel = kernel - means - means[:, None] + means.mean()
        # Each entry below the diagonal stands for two.
        entries = np.sqrt(2) * kernel[np.tril_indices(len(kernel), -1)]
        entries = np.append(entries, np.diagonal(kernel))
        return {"entries": entries / np.linalg.norm(entries)}

    def similarity(self, distance: float) -> float:
        """Return the alignment of the kernels."""
        return 1 - distance

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two centred kernels."""
        return float(1 - first["entries"] @ second["entries"])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compare all pairs by one product."""
        entries: list[Array] = [np.stack([one["entries"] for one in group]) for group in (firsts, seconds)]
        return np.asarray(1 - entries[0] @ entries[1].T)
