"""Partition of the variance of distances among factors, what they share, their interactions, and seeds."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from dynatlas.statistics.design import added_by, additive_model
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.intervals import LEAST_NETWORKS, LEVEL, NONE, Interval
from dynatlas.statistics.labels import Codes, combined

SHARED, INTERACTIONS, SEED = "shared", "interactions", "seed"
# Share of the unbiased shrinkage of effects. In simulations the whole of it covers small effects less often (90 % in
# place of 92 %), none of it those near 0 too often (100 %).
SHRINKAGE = 0.75
Array = NDArray[np.float64]
Pairs = Float[np.ndarray, "n n"]


class Part(NamedTuple):
    """One share of the variance and its 95 % interval."""

    r2: float
    ends: Interval


def partition(
    distances: Distances, factors: Mapping[str, Codes], bootstraps: int = 999, seed: int = 0
) -> dict[str, Part]:
    """Split SS_total = tr(G) into parts that add up to 1, each with an interval.

    - Each factor: what it adds to the main effects of all others, tr(H_factor G) / tr(G).
    - ``shared``: what the main effects explain together but none of them alone, because the factors are correlated
      where networks are missing. There is no such part in a balanced design. It can be negative.
    - ``interactions``: what the combinations of levels add to the main effects.
    - ``seed``: what the combinations leave unexplained.

    With one network per combination interactions cannot be separated from seeds, and the part of the seeds has both. A
    factor that the others determine has no part of its own. If all distances are 0 there is nothing to split and every
    part is 0.

    The interval is that of populations in which the networks of each combination of levels, which differ by their seeds
    only, are drawn again (``cell_weights``). Resampling adds noise to effects that have noise already, so effects are
    first multiplied by s ≤ 1 (``SHRINKAGE``). The deviations of the resampled shares from their mean, on the scale
    arcsin √R², are placed around R²; as the effect grows (s → 1) they are widened towards the quantiles of Student's t.
    The interval contains possible values only. ``validation/effect_statistics.py`` measures its coverage.

    Args:
        distances: [n, n].
        factors: name → encoded levels of the factors that vary.
        bootstraps: number of resampled populations.
        seed: seed of the resampling.

    Returns:
        Name → part. Intervals are NaN with fewer than ``LEAST_NETWORKS`` networks, or without two networks of one
        combination.
    """
    squares = DistanceMatrix.of(distances).squares
    n = len(squares)
    cells = combined(list(factors.values()), n)
    if not squares.any():
        return {name: Part(0.0, Interval(0.0, 0.0) if n >= LEAST_NETWORKS else NONE) for name in (*factors, SEED)}
    order = np.argsort(cells, kind="stable")
    sizes = np.bincount(cells)
    model = _Resampling(squares[np.ix_(order, order)], sizes, bootstraps, seed)
    of_terms = dict(_terms({name: levels[order] for name, levels in factors.items()}, cells[order]))
    sums = {name: model.between(projection, shrink=name != SHARED) for name, projection in of_terms.items()}
    sums[SEED] = model.within()
    total = sum(each[0] for each in sums.values())
    totals = np.sum([each[1] for each in sums.values()], axis=0)
    freedom = n - len(sizes) if n >= LEAST_NETWORKS else 0
    wider = float(stdtrit(freedom, 0.975) / ndtri(0.975)) - 1 if freedom else 0.0
    parts = {}
    for name, (value, resampled, scale) in sums.items():
        # A population whose distances are all 0 has no variance to explain.
        shares = np.divide(resampled, totals, out=np.zeros(bootstraps), where=totals > 0)
        r2 = float(value / total)
        ends = _around(r2, shares, 1 + wider * scale, signed=name == SHARED) if freedom else NONE
        parts[name] = Part(r2, ends)
    return parts


def cell_weights(
    sizes: Int[np.ndarray, " cells"], bootstraps: int, seed: int
) -> Float[np.ndarray, "bootstraps networks"]:
    """Draw the weight of each network in every resampled population, cell after cell.

    Of the m networks of a cell m − 1 are drawn with replacement, each with weight m/(m − 1), so that the variance of a
    cell's mean is unbiased even for m = 3. A cell of one network is not resampled.

    Source: Rao & Wu 1988.
    """
    random = np.random.default_rng(seed)
    columns = [
        random.multinomial(m - 1, np.full(m, 1 / m), bootstraps) * (m / (m - 1)) if m > 1 else np.ones((bootstraps, 1))
        for m in sizes
    ]
    return np.concatenate(columns, axis=1)


def _terms(factors: Mapping[str, Codes], cells: Codes) -> Iterator[tuple[str, Pairs]]:
    """Yield the projection of each part but the seeds."""
    n, sizes = len(cells), np.bincount(cells)
    model = additive_model(list(factors.values()), n)
    shared = model @ model.T - 1 / n
    for name, levels in factors.items():
        others = [each for other, each in factors.items() if other != name]
        columns = added_by(levels, additive_model(others, n))
        if columns.shape[1]:
            projection = columns @ columns.T
            shared -= projection
            yield name, projection
    if np.abs(shared).max() > 1e-9:
        yield SHARED, shared
    if model.shape[1] < len(sizes) < n:
        yield INTERACTIONS, (cells[:, None] == cells) / sizes[cells] - model @ model.T


class _Resampling:
    """Sums of squares of resampled populations; networks are sorted by cell."""

    def __init__(self, squares: Pairs, sizes: Int[np.ndarray, " cells"], bootstraps: int, seed: int) -> None:
        self.squares, self.sizes, self.starts = squares, sizes, np.cumsum(sizes) - sizes
        self.cells = np.repeat(np.arange(len(sizes)), sizes)
        self.weights = cell_weights(sizes, bootstraps, seed)

    def between(self, projection: Pairs, *, shrink: bool) -> tuple[float, Array, float]:
        """Return tr(H G) of the population and of the resampled ones, and the factor s on its effects.

        With δ the weights minus 1 and M = −½ H ∘ d², the sum of squares is (1 + δ)ᵀ M (1 + δ) = a + 2b + c. Without
        shrinkage its mean is a + c̄. With effects multiplied by s it is s² a + 2 s b + c, with mean a for s² = 1 − c̄/a.
        """
        products = -0.5 * projection * self.squares
        deviations = self.weights - 1
        value = float(products.sum())
        linear = deviations @ products.sum(axis=1)
        noise = ((deviations @ products) * deviations).sum(axis=1)
        scale = 1.0
        if shrink:
            scale = float(np.sqrt(max(0.0, 1 - SHRINKAGE * noise.mean() / value))) if value > 0 else 0.0
        return value, scale**2 * value + 2 * scale * linear + noise, scale

    def within(self) -> tuple[float, Array, float]:
        """Return the sum of squares within cells of the population and of the resampled ones, and 1.

        The variance of a cell is half the weighted mean of d² over pairs of different networks: pairs of a network and
        its own copy would reduce it. A cell of which one network was drawn keeps its variance.
        """
        alike = self.squares * (self.cells[:, None] == self.cells)
        own = self._by_cell(alike.sum(axis=1)) / np.maximum(self.sizes * (self.sizes - 1), 1)
        sums = self._by_cell((self.weights @ alike) * self.weights)
        pairs = self.sizes**2 - self._by_cell(self.weights**2)
        means = np.where(pairs > 1e-9, sums / np.where(pairs > 1e-9, pairs, 1), own)
        return float(own @ (self.sizes - 1)) / 2, means @ (self.sizes - 1) / 2, 1.0

    def _by_cell(self, values: Array) -> Array:
        return np.add.reduceat(values, self.starts, axis=-1)


def _around(value: float, resampled: Float[np.ndarray, " bootstraps"], wider: float, *, signed: bool) -> Interval:
    """Return the interval of a share from the deviations of resampled ones times ``wider``, on ``_scaled``'s scale."""
    scaled = _scaled(resampled)
    middle = float(scaled.mean())
    low, high = np.quantile(scaled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    centre = float(_scaled(np.array(value)))
    ends = _unscaled(np.array([centre - (high - middle) * wider, centre + (middle - low) * wider]))
    return Interval(*map(float, ends)).within(-1.0 if signed else min(0.0, value), max(1.0, value))


def _scaled(shares: Array) -> Array:
    """Return arcsin √R², on which the variation of R² hardly depends on R², and a line outside [0, 1]."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(shares, 0, 1))) + np.minimum(shares, 0) + np.maximum(shares - 1, 0))


def _unscaled(values: Array) -> Array:
    """Return the inverse of ``_scaled``."""
    inside = np.sin(np.clip(values, 0, np.pi / 2)) ** 2
    return np.asarray(inside + np.minimum(values, 0) + np.maximum(values - np.pi / 2, 0))
