"""Representational similarity analysis: correlation of the dissimilarities between samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from dynatlas._util.selection import even_selection
from dynatlas.measures.activity import on_unit_scale
from dynatlas.measures.measure import Measure, expected
from dynatlas.measures.pairs import Array, Reduced


@dataclass(frozen=True)
class RSA(Measure):
    """1 − the correlation of two networks' dissimilarities between all pairs of samples.

    ``dissimilarity`` is "euclidean" (the distance between the samples' states) or "correlation" (1 − the correlation
    over units; needs at least three units, and no sample that is equal in all units). Correlations are of the states as
    they are, as in rsatoolbox; ``centered=True`` first subtracts each unit's mean over samples.
    ``correlation`` is "spearman" (of their ranks), "pearson" (of the dissimilarities themselves) or "cosine" (without
    subtracting their mean).

    ``samples`` limits the comparison to so many samples, evenly spaced: the number of pairs is quadratic.

    A distance from 0 to 2, no metric. With "euclidean" unchanged by rotation.

    Source: Kriegeskorte, Mur & Bandettini 2008.
    """

    label: ClassVar[str] = "RSA"
    study_options: ClassVar[Mapping[str, object]] = {"samples": 400}
    correlation: str = "spearman"
    dissimilarity: str = "euclidean"
    samples: Any = None
    centered: Any = False
    max_samples: ClassVar[int] = 4000  # 8 million pairs, 64 MB a network

    def __post_init__(self) -> None:
        correlations = ("spearman", "pearson", "cosine")
        expected("correlation", self.correlation, "'spearman', 'pearson' or 'cosine'", self.correlation in correlations)
        known = ("euclidean", "correlation")
        expected("dissimilarity", self.dissimilarity, "'euclidean' or 'correlation'", self.dissimilarity in known)
        is_count = isinstance(self.samples, Integral) and int(self.samples) >= 3
        expected("samples", self.samples, "a whole number of at least 3, or None", self.samples is None or is_count)
        expected("centered", self.centered, "True or False", isinstance(self.centered, bool))

    @property
    def is_centred(self) -> bool:
        """Whether each unit's mean is subtracted, which does not change Euclidean distances."""
        return bool(self.centered) or self.dissimilarity == "euclidean"

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the dissimilarities of all pairs of samples, or their ranks, standardised [pairs]."""
        from scipy.stats import rankdata  # takes half a second

        if self.samples is not None and self.samples < len(activity):
            activity = activity[even_selection(range(len(activity)), int(self.samples))]
        if len(activity) > self.max_samples:
            raise ValueError(
                f"rsa compares all pairs of samples, and {len(activity)} samples are too many; give samples= a number "
                f"of at most {self.max_samples}, to compare so many of them"
            )
        if not activity.any():
            raise ValueError("activity is 0 at all samples that are compared")
        dissimilarities = pdist(on_unit_scale(activity), self.dissimilarity)
        if not np.isfinite(dissimilarities).all():
            raise ValueError(
                "rsa with dissimilarity='correlation' needs units that differ from each other, at every sample"
            )
        # Distances that are equal up to rounding must stay tied, or their ranks would be noise.
        dissimilarities = np.round(dissimilarities / dissimilarities.max(), 12)
        if np.ptp(dissimilarities) == 0:
            raise ValueError("rsa needs at least three samples that are not all equally far apart")
        values = rankdata(dissimilarities) if self.correlation == "spearman" else dissimilarities
        if self.correlation != "cosine":
            values = values - values.mean()
        return {"values": np.asarray(values / np.linalg.norm(values))}

    def similarity(self, distance: float) -> float:
        """Return the correlation of the dissimilarities."""
        return 1 - distance

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two sets of standardised dissimilarities."""
        return float(1 - first["values"] @ second["values"])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compare all pairs by one product."""
        values: list[Array] = [np.stack([one["values"] for one in group]) for group in (firsts, seconds)]
        return np.asarray(1 - values[0] @ values[1].T)
