"""Spread of networks: the distance between seeds, and whether some levels are more dispersed than others."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.statistics.design import additive_model, indicators, residual_products
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.intervals import NONE, Interval, jackknife_interval
from dynatlas.statistics.labels import Codes, checked_codes, codes, combined
from dynatlas.statistics.permanova import TIES, checked_groups, restricted
from dynatlas.study.members import level_text

ANY: Final = "any"  # level: all networks


def spread_between_seeds(distances: Distances, labels: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Compute the mean distance between networks that differ in nothing but the seed, at each level of each factor.

    It is the degeneracy of solutions of Huang et al. 2025: how far apart networks end that were trained alike. The mean
    is over pairs, and its interval over networks (``jackknife_interval``).

    Args:
        distances: [n, n].
        labels: factor → [n].

    Returns:
        Rows with factor, level (as text), mean, low, high, n_pairs and n_networks; first of all networks, with the
        factor "all" and the level "any". A level without two networks that were trained alike has no row.

    Example:
        >>> distances = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 3], [9, 9, 3, 0]]
        >>> rows = spread_between_seeds(distances, {"units": [8, 8, 16, 16], "l2": [0, 0, 0, 0]})
        >>> [(row["factor"], row["level"], row["mean"]) for row in rows]
        [('all', 'any', 2.0), ('units', '8', 1.0), ('units', '16', 3.0)]

    Source: Huang, Singh, Martinelli & Rajan 2025, who average over all pairs of a configuration.
    """
    matrix = DistanceMatrix.of(distances)
    factors = {name: codes(levels) for name, levels in labels.items()}
    cells = combined(list(factors.values()), len(matrix))
    alike = (cells[:, None] == cells) & ~np.eye(len(matrix), dtype=bool)
    rows = [_spread("all", ANY, matrix.values, alike, cells)]
    for name, levels in factors.items():
        for level in range(levels.max(initial=0) + 1) if levels.max(initial=0) else ():
            inside = levels == level
            label = labels[name][int(np.argmax(inside))]
            rows.append(_spread(name, label, matrix.values, alike & inside[:, None] & inside, cells))
    return [row for row in rows if row["n_pairs"]]


def _spread(
    factor: str, level: Any, values: NDArray[np.float64], pairs: NDArray[np.bool_], cells: Codes
) -> dict[str, Any]:
    """Return the row of the pairs that a symmetric mask has."""
    has_pair = pairs.any(axis=1)
    sums, counts = (values * pairs).sum(axis=1)[has_pair], pairs.sum(axis=1)[has_pair]
    total, n_pairs = sums.sum() / 2, int(counts.sum()) // 2
    mean, ends = float("nan"), NONE
    if n_pairs:
        mean = float(total / n_pairs)
        left = n_pairs - counts
        ends = jackknife_interval(mean, (total - sums) / left, cells[has_pair]) if left.all() else NONE
    ends = Interval(max(ends.low, 0.0), ends.high)
    found = {"factor": factor, "level": level_text(level), "mean": mean, "low": ends.low, "high": ends.high}
    return found | {"n_pairs": n_pairs, "n_networks": int(has_pair.sum())}


class DispersionResult(NamedTuple):
    """Mean distance to the centre of the most dispersed level over that of the least, and its permutation p."""

    ratio: float
    p: float


def permdisp(
    distances: Distances, groups: ArrayLike, strata: ArrayLike | None = None, permutations: int = 999, seed: int = 0
) -> DispersionResult:
    """Test whether levels differ in dispersion: analysis of variance of the distances of networks to their centroid.

    The distance of network i to the centroid of its level of m networks, in the space of all principal coordinates, is

        zᵢ² = |Δᵢ₊² − Δᵢ₋²| m / (m − 1) = |mean_j d²ᵢⱼ − Σ_{j<k} d²ⱼₖ / m²| m / (m − 1)    over j, k of the level,

    Δ₋ the part along axes of negative eigenvalues, and m/(m − 1) a correction for the centroid's own variation, without
    which small levels appear less dispersed. The residuals zᵢ − z̄_ℓ are permuted, and

        p = (1 + #{F of permuted residuals ≥ F of z}) / (1 + permutations),    F that of Fisher's analysis of variance.

    With strata the centre of a network is the fit of both main effects, m/(m − 1) is 1/(1 − leverage), and residuals
    are permuted within strata.

    Args:
        distances: [n, n].
        groups: [n].
        strata: [n] or None.
        permutations: number of permutations.
        seed: seed of the permutations.

    Returns:
        (ratio, p). The ratio is infinite if the networks of one level coincide. Networks alone in their level have no
        dispersion and are left out; (NaN, NaN) if fewer than two levels remain.

    Raises:
        ValueError: as in ``permanova``, for distances and labels.

    Example:
        >>> distances = abs(np.subtract.outer([0, 1, 2, 0, 9, 20], [0, 1, 2, 0, 9, 20]))
        >>> round(permdisp(distances, ["a", "a", "a", "b", "b", "b"]).ratio, 3)
        10.333

    Source: Anderson 2006; O'Neill & Mathews 2000 for the correction. As vegan's ``betadisper`` with
    ``type="centroid", bias.adjust=TRUE``; its default is the spatial median.
    """
    matrix, levels = checked_groups(distances, groups)
    blocks = [] if strata is None else [checked_codes(strata, len(levels), "strata", matrix.labels)]
    return dispersion_test(matrix, levels, blocks, permutations, seed)


def dispersion_test(
    distances: Distances, levels: Codes, others: Sequence[Codes], permutations: int = 999, seed: int = 0
) -> DispersionResult:
    """Compute ``permdisp`` of an encoded factor, with the main effects of all others in the model of the centres."""
    n = len(levels)
    spread = _distances_to_centre(DistanceMatrix.of(distances).squares, [levels, *others], n)
    known = np.isfinite(spread)
    spread, strata = spread[known], combined(others, n)[known]
    names, levels = np.unique(levels[known], return_inverse=True)
    if len(names) < 2 or len(levels) <= len(names):
        return DispersionResult(float("nan"), float("nan"))
    members = indicators(levels)
    means = spread @ members / members.sum(axis=0)
    residuals = spread - means[levels]
    limit = _ratio(spread[None], members)[0] * (1 - TIES)
    as_large = sum(
        int((_ratio(residuals[order], members) >= limit).sum())
        for order in restricted(np.arange(len(levels)), strata, permutations, seed)
    )
    ratio = float(means.max() / means.min()) if means.min() > 0 else float("inf") if means.max() > 0 else 1.0
    return DispersionResult(ratio, (1 + as_large) / (1 + permutations))


def _distances_to_centre(
    squares: Float[np.ndarray, "n n"], factors: Sequence[Codes], n: int
) -> Float[np.ndarray, " n"]:
    """Return the distance of each network to its fit; NaN where the fit is the network itself."""
    model = additive_model(factors, n)
    free = 1 - (model**2).sum(axis=1)
    products = np.abs(np.diagonal(residual_products(squares, model)))
    spread: NDArray[np.float64] = np.full(n, np.nan)
    np.divide(products, free, out=spread, where=free > 1e-9)
    # A residual of this size is rounding.
    return np.where(spread > 1e-12 * squares.max(initial=0), np.sqrt(spread), np.where(np.isnan(spread), np.nan, 0.0))


def _ratio(
    values: Float[np.ndarray, "permutations n"], members: Float[np.ndarray, "n levels"]
) -> Float[np.ndarray, " permutations"]:
    """Return Fisher's F of each row, up to its constant: SS between over SS within."""
    centred = values - values.mean(axis=1, keepdims=True)
    between = ((centred @ members) ** 2 / members.sum(axis=0)).sum(axis=1)
    total = (centred**2).sum(axis=1)
    within = np.maximum(total - between, 1e-14 * np.maximum(total, 1e-300))
    ratios: NDArray[np.float64] = between / within
    return ratios
