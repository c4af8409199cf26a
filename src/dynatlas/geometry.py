"""How alike the representations of networks are: activity on the same samples becomes distances between networks.

Every measure works in two steps: ``reduce`` does the work that one network needs, once; ``between`` compares two
reduced networks. All are *distances*: 0 for a network with itself. Only procrustes is a metric; in svcca and pwcca 0
also means that one network's subspace lies within the other's. Shifting a unit, scaling all units alike and reordering
units change none. What else, done to X alone, leaves its distance from Y unchanged:

| measure | distance | also unchanged by |
|---|---|---|
| svcca | 1 − mean canonical correlation of the leading principal subspaces | rotation (with ``variance=1``, any |
| | | invertible linear map) |
| pwcca | 1 − canonical correlations weighted by the activity along them | nothing (though X and its invertible |
| | | linear images are 0 apart) |
| cka | 1 − linear centred kernel alignment | rotation |
| procrustes | angle between the best-aligned configurations | rotation |
| rsa | 1 − correlation of the dissimilarities between samples | rotation |
"""

import difflib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

# A principal component with less than this share of the largest one's variance is rounding, not activity: the
# covariance squares the singular values, and its eigenvalues are known to about 1e-15 of the largest.
NEGLIGIBLE_VARIANCE = 1e-13

Array = NDArray[np.float64]


class Measure(ABC):
    """A distance between networks. Its subclasses are frozen dataclasses whose fields are the measure's options."""

    @abstractmethod
    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Any:
        """What has to be kept of one network's activity, which comes centred and on a scale of 1."""

    @abstractmethod
    def between(self, first: Any, second: Any) -> float:
        """The distance between two networks, from what was kept of them."""

    def dimension(self, reduced: Any) -> int:
        """How many dimensions are matched freely with the other network's; 0 if the match has no such freedom."""
        del reduced
        return 0


@dataclass(frozen=True)
class SVCCA(Measure):
    """1 − Σᵢ ρᵢ / min(k_X, k_Y), with ρ the canonical correlations between the leading principal subspaces.

    The k components kept hold the share ``variance`` of the variance; or they are ``components`` in number, which then
    replaces ``variance`` (fewer where a network has fewer). With orthonormal bases Q_X, Q_Y [samples, k] of the two
    subspaces, ρ are the singular values of Q_Xᵀ Q_Y. ``variance=1`` keeps everything above rounding: plain CCA.

    Source: Raghu et al. 2017, who take 99 % of the variance; 95 % is Maheswaranathan et al. 2019; the minimum is ours.
    """

    variance: Any = 0.95  # a share, or a number of components or None; whatever else comes in, __post_init__ explains
    components: Any = None

    def __post_init__(self) -> None:
        if not (isinstance(self.variance, Real) and 0 < float(self.variance) <= 1):
            raise ValueError(f"variance is {self.variance!r}; expected a share in (0, 1]")
        if self.components is not None and not (isinstance(self.components, Integral) and int(self.components) >= 1):
            raise ValueError(f"components is {self.components!r}; expected a whole number of at least 1, or None")

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "samples kept"]:
        """An orthonormal basis of the kept subspace."""
        variances, axes = _principal_axes(activity)
        if self.components is not None:
            kept = min(self.components, len(variances))
        else:
            shares = np.cumsum(variances) / variances.sum()
            # Rounding can leave the last share at 1 − ε, which the search would step past.
            kept = min(int(np.searchsorted(shares, self.variance - 1e-12)) + 1, len(variances))
        return _orthonormal(activity @ axes[:, :kept])

    def between(self, first: Array, second: Array) -> float:
        """From two orthonormal bases."""
        correlations = np.linalg.svd(first.T @ second, compute_uv=False)
        return float(1 - np.minimum(correlations, 1).mean())

    def dimension(self, reduced: Array) -> int:
        """The components kept."""
        return reduced.shape[1]


@dataclass(frozen=True)
class PWCCA(Measure):
    """1 − Σᵢ αᵢ ρᵢ / Σᵢ αᵢ, with αᵢ = Σⱼ |⟨hᵢ, xⱼ⟩|: how much of the units' activity xⱼ lies along the variable hᵢ.

    ρ are the canonical correlations of all components above rounding, hᵢ [samples] the canonical variables of X.
    Weights from X and weights from Y give different numbers; we take the mean of the two, which is symmetric. α is a
    sum of absolute values over units, so that it depends on their axes: rotating X changes its distance from Y.

    Source: Morcos, Raghu & Bengio 2018; they weight by the first network, their code by the one with fewer dimensions.
    """

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> tuple[Array, Array]:
        """An orthonormal basis of the activity [samples, k], and the activity in it [k, units]."""
        basis = _orthonormal(activity @ _principal_axes(activity)[1])
        return basis, basis.T @ activity

    def between(self, first: tuple[Array, Array], second: tuple[Array, Array]) -> float:
        """From two bases and the activities in them."""
        left, correlations, right = np.linalg.svd(first[0].T @ second[0], full_matrices=False)
        correlations = np.minimum(correlations, 1)
        weights = (np.abs(left.T @ first[1]).sum(axis=1), np.abs(right @ second[1]).sum(axis=1))
        return float(1 - np.mean([weight @ correlations / weight.sum() for weight in weights]))

    def dimension(self, reduced: tuple[Array, Array]) -> int:
        """The dimensions of the activity."""
        return reduced[0].shape[1]


@dataclass(frozen=True)
class CKA(Measure):
    """1 − ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) on centred columns: linear centred kernel alignment, the biased estimate.

    The bias pulls networks together when units outnumber samples; give many more samples than units.

    Source: Kornblith et al. 2019.
    """

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "samples units"]:
        """The activity, scaled so that ‖XᵀX‖_F = 1."""
        return np.asarray(activity / np.sqrt(np.linalg.norm(activity.T @ activity)))

    def between(self, first: Array, second: Array) -> float:
        """From two scaled activities."""
        return float(1 - np.linalg.norm(second.T @ first) ** 2)


@dataclass(frozen=True)
class Procrustes(Measure):
    """arccos(‖XᵀY‖_* / (‖X‖_F ‖Y‖_F)), in radians: the angle left after the best rotation. A metric, at most π/2.

    Source: Williams et al. 2021 (the angular shape distance), with the narrower network padded by silent units.
    """

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "samples units"]:
        """The activity, scaled so that ‖X‖_F = 1."""
        return np.asarray(activity / np.linalg.norm(activity))

    def between(self, first: Array, second: Array) -> float:
        """From two scaled activities."""
        narrow, wide = sorted((first, second), key=lambda activity: activity.shape[1])
        left, overlaps, right = np.linalg.svd(narrow.T @ wide, full_matrices=False)
        if overlaps.sum() < 0.99:
            return float(np.arccos(overlaps.sum()))
        # Near 1 the arc cosine turns rounding of 1e-16 into 1e-8. The chord between the aligned networks does not.
        chord = np.linalg.norm(narrow @ (left @ right) - wide)
        return float(2 * np.arcsin(chord / 2))


@dataclass(frozen=True)
class RSA(Measure):
    """1 − the correlation of two networks' Euclidean distances between all pairs of samples.

    ``correlation`` is "spearman" (of their ranks) or "pearson" (of the distances themselves).

    Source: Kriegeskorte, Mur & Bandettini 2008, who use 1 − correlation as the dissimilarity of samples, too.
    """

    correlation: str = "spearman"
    max_samples: ClassVar[int] = 4000  # 8 million pairs, 64 MB a network

    def __post_init__(self) -> None:
        if self.correlation not in ("spearman", "pearson"):
            raise ValueError(f"correlation is {self.correlation!r}; expected 'spearman' or 'pearson'")

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, " pairs"]:
        """The standardised dissimilarities, or their ranks."""
        if len(activity) > self.max_samples:
            raise ValueError(
                f"rsa compares all pairs of samples, and {len(activity)} samples are too many; subsample to at most "
                f"{self.max_samples}, the same ones for every network"
            )
        dissimilarities = pdist(activity)
        # Distances that are equal but for rounding must stay tied, or their ranks would be noise.
        dissimilarities = np.round(dissimilarities / dissimilarities.max(), 12)
        if np.ptp(dissimilarities) == 0:
            raise ValueError("rsa needs at least three samples that are not all equally far apart")
        values = rankdata(dissimilarities) if self.correlation == "spearman" else dissimilarities
        values = values - values.mean()
        return np.asarray(values / np.linalg.norm(values))

    def between(self, first: Array, second: Array) -> float:
        """From two sets of standardised dissimilarities."""
        return float(1 - first @ second)


MEASURES: dict[str, type[Measure]] = {
    "svcca": SVCCA,
    "pwcca": PWCCA,
    "cka": CKA,
    "procrustes": Procrustes,
    "rsa": RSA,
}


def distance(X: Any, Y: Any, measure: str = "svcca", **options: Any) -> float:
    """The distance between two networks' activities; the classes in ``MEASURES`` give each measure's equation.

    Args:
        X: [samples, units].
        Y: [samples, units]: the same samples in the same order; the number of units may differ.
        measure: "svcca", "pwcca", "cka", "procrustes" or "rsa".
        options: the measure's own: ``variance`` or ``components`` for svcca, ``correlation`` for rsa.

    Raises:
        ValueError: unknown measure or option; activity that is not [samples, units], has NaN or infinity, fewer than 2
            samples, or only constant units; different numbers of samples.

    Warns:
        UserWarning: so few samples that some canonical correlations (svcca, pwcca) are 1 whatever the networks do.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
        >>> round(distance(X, 3 * X @ rotation + 1, "cka"), 12)
        0.0
        >>> round(distance(X, X**2, "cka"), 2)
        0.85
    """
    return float(_all_pairs({"X": X, "Y": Y}, _measure(measure, options))[1][0, 1])


def distance_matrix(
    activities: Mapping[str, Any] | Iterable[Any], measure: str = "svcca", **options: Any
) -> xr.DataArray:
    """The distances between all pairs of networks.

    Args:
        activities: name → [samples, units]; or an iterable of (name, array) pairs; or of arrays, which are then named
            "0", "1", …. It is read once, one network at a time, and only what the measure keeps of it stays in memory
            (svcca: [samples, components]; rsa: all pairs of samples; the others: about as much as the activity).
        measure: as in ``distance``.
        options: the measure's own.

    Returns:
        Distances with dimensions ("network", "other_network"), exactly symmetric and exactly 0 on the diagonal, named
        after the measure, with the measure and its options in ``attrs``.

    Raises:
        ValueError: as in ``distance``, naming the network; also if two networks have the same name.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> distances = distance_matrix({"a": X, "b": 2 * X + 1, "c": X**2}, "cka")
        >>> distances.sel(network="a").round(2).values.tolist()
        [0.0, 0.0, 0.85]
    """
    chosen = _measure(measure, options)
    names, distances = _all_pairs(activities, chosen)
    settings = {option: value for option, value in asdict(chosen).items() if value is not None}  # type: ignore[call-overload]
    labels = np.array(names, dtype=np.str_)
    return xr.DataArray(
        distances,
        dims=("network", "other_network"),
        coords={"network": labels, "other_network": labels},
        name=measure,
        attrs={"measure": measure, **settings},
    )


def _all_pairs(activities: Mapping[str, Any] | Iterable[Any], measure: Measure) -> tuple[list[str], Array]:
    """The networks' names and their distances. Called by public functions alone: the warning points at their caller."""
    reduced: dict[str, Any] = {}
    samples = 0
    for name, activity in _named(activities):
        centred = _centred(activity, name)
        if name in reduced:
            raise ValueError(f"two networks are named {name}; names must differ")
        if reduced and len(centred) != samples:
            raise ValueError(
                f"network {name} has {len(centred)} samples and network {next(iter(reduced))} has {samples}; show all "
                "networks the same samples in the same order"
            )
        samples = len(centred)
        try:
            reduced[name] = measure.reduce(centred)
        except ValueError as error:
            raise ValueError(f"network {name}: {error}") from error
    wide = sorted(reduced, key=lambda name: measure.dimension(reduced[name]))[-2:]
    dimensions = sum(measure.dimension(reduced[name]) for name in wide)
    # Centred activity lives in samples − 1 dimensions; two subspaces of more dimensions in total share some of them.
    if len(wide) == 2 and dimensions >= samples:
        warnings.warn(
            f"{samples} samples are few for networks {wide[0]} and {wide[1]}, which have {dimensions} dimensions "
            f"together: {dimensions - samples + 1} of their canonical correlations are 1 whatever the networks do. "
            "Give more samples, or keep fewer components with svcca",
            UserWarning,
            stacklevel=3,
        )
    distances = np.zeros((len(reduced), len(reduced)))
    networks = list(reduced.values())
    for i, first in enumerate(networks):
        for j in range(i):
            # Rounding can leave −1e-16 between identical networks.
            distances[i, j] = distances[j, i] = max(measure.between(networks[j], first), 0.0)
    return list(reduced), distances


def _named(activities: Mapping[str, Any] | Iterable[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(activities, Mapping):
        yield from ((str(name), activity) for name, activity in activities.items())
        return
    for position, item in enumerate(activities):
        paired = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
        yield item if paired else (str(position), item)


def _measure(name: str, options: Mapping[str, Any]) -> Measure:
    if name not in MEASURES:
        near = difflib.get_close_matches(str(name).lower(), MEASURES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(MEASURES)}"
        raise ValueError(f"unknown measure {name!r}; {hint}")
    known = [field.name for field in fields(MEASURES[name])]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has: {', '.join(known) or 'none'}")
    return MEASURES[name](**options)


def _centred(activity: Any, name: str) -> Float[np.ndarray, "samples units"]:
    """One network's activity, centred and on a scale of 1, or a ValueError that says what is wrong with it."""
    try:
        array = np.asarray(activity)
        array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "c" else "unsafe")
    except (TypeError, ValueError) as error:
        raise ValueError(f"network {name} has activity that is not an array of real numbers: {error}") from error
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"network {name} has activity of shape {array.shape}; expected [samples, units]")
    if len(array) < 2:
        raise ValueError(f"network {name} has {len(array)} samples; expected at least 2")
    if not np.isfinite(array).all():
        units = np.flatnonzero(~np.isfinite(array).all(axis=0))
        raise ValueError(
            f"network {name} has NaN or infinity in {len(units)} of {array.shape[1]} units (first: unit {units[0]}); "
            "leave the network out"
        )
    # No measure minds a common scale, and a power of two rounds nothing: later squares neither overflow nor vanish.
    array = np.ldexp(array, -np.frexp(np.abs(array).max())[1])
    centred: Array = array - array.mean(axis=0)
    # A constant's mean is off by rounding; what is left then is not activity.
    centred[:, np.abs(centred).max(axis=0) <= 1e-14 * np.abs(array).max(axis=0)] = 0
    if not centred.any():
        raise ValueError(f"network {name} has constant activity in all {array.shape[1]} units; leave the network out")
    return centred


def _principal_axes(
    centred: Float[np.ndarray, "samples units"],
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, "units kept"]]:
    """Variances and axes of the components above rounding, largest first, from the units × units covariance."""
    scaled = centred / np.abs(centred).max()
    variances, axes = np.linalg.eigh(scaled.T @ scaled)
    variances, axes = variances[::-1], axes[:, ::-1]
    kept = variances > NEGLIGIBLE_VARIANCE * variances[0]
    return variances[kept], axes[:, kept]


def _orthonormal(projections: Float[np.ndarray, "samples kept"]) -> Float[np.ndarray, "samples kept"]:
    """Projections on principal axes are orthogonal up to the covariance's rounding; QR makes them so exactly."""
    return np.linalg.qr(projections)[0]
