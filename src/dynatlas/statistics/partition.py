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
# Effects are searched up to this multiple of the observed ones, and halved this often between two multiples.
MOST_SCALED, BISECTIONS = 64, 20
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
    only, are drawn again (``cell_weights``). For a factor and the interactions it contains the mean shares of all
    populations, with effects multiplied by some s, in which the observed share lies between the 2.5 % and 97.5 %
    quantiles of the resampled shares: resampled shares scatter less around small effects, and cannot be negative. If
    that includes s = 0, no effect is excluded, and the lower end is the 2.5 % quantile without effect. For the seeds,
    for ``shared``, and for negative shares it is the observed share minus the deviations of resampled ones. As the
    effect grows, intervals are widened towards the quantiles of Student's t, on the scale arcsin √R². They contain
    possible values only. ``validation/effect_statistics.py`` measures their coverage.

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
    total = sum(each.value for each in sums.values())
    totals = np.sum([each.resampled for each in sums.values()], axis=0)
    freedom = n - len(sizes) if n >= LEAST_NETWORKS else 0
    return {
        name: Part(each.value / total, _interval(name, each, total, totals, freedom) if freedom else NONE)
        for name, each in sums.items()
    }


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


class _Sums(NamedTuple):
    """Sum of squares a of one part, and a s² + 2 b s + c of resampled populations with effects multiplied by s."""

    value: float
    linear: Array
    noise: Array
    scale: float

    def at(self, scale: float) -> Array:
        """Return the sums of squares with effects multiplied by a scale."""
        sums: Array = scale**2 * self.value + 2 * scale * self.linear + self.noise
        return sums

    @property
    def resampled(self) -> Array:
        """Sums of squares with the effects of which the mean is the observed sum."""
        return self.at(self.scale)


class _Resampling:
    """Sums of squares of resampled populations; networks are sorted by cell."""

    def __init__(self, squares: Pairs, sizes: Int[np.ndarray, " cells"], bootstraps: int, seed: int) -> None:
        self.squares, self.sizes, self.starts = squares, sizes, np.cumsum(sizes) - sizes
        self.cells = np.repeat(np.arange(len(sizes)), sizes)
        self.weights = cell_weights(sizes, bootstraps, seed)

    def between(self, projection: Pairs, *, shrink: bool) -> "_Sums":
        """Return tr(H G) of the population and of the resampled ones.

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
            scale = float(np.sqrt(max(0.0, 1 - noise.mean() / value))) if value > 0 else 0.0
        return _Sums(value, linear, noise, scale)

    def within(self) -> "_Sums":
        """Return the sum of squares within cells of the population and of the resampled ones.

        The variance of a cell is half the weighted mean of d² over pairs of different networks: pairs of a network and
        its own copy would reduce it. A cell of which one network was drawn keeps its variance.
        """
        alike = self.squares * (self.cells[:, None] == self.cells)
        own = self._by_cell(alike.sum(axis=1)) / np.maximum(self.sizes * (self.sizes - 1), 1)
        sums = self._by_cell((self.weights @ alike) * self.weights)
        pairs = self.sizes**2 - self._by_cell(self.weights**2)
        means = np.where(pairs > 1e-9, sums / np.where(pairs > 1e-9, pairs, 1), own)
        value = float(own @ (self.sizes - 1)) / 2
        resampled = means @ (self.sizes - 1) / 2
        return _Sums(value, (resampled - value) / 2, np.zeros_like(resampled), 1.0)

    def _by_cell(self, values: Array) -> Array:
        return np.add.reduceat(values, self.starts, axis=-1)


def _interval(name: str, sums: "_Sums", total: float, totals: Array, freedom: int) -> Interval:
    """Return the interval of one share."""
    value, others = sums.value / total, totals - sums.resampled
    wider = 1 + sums.scale * (float(stdtrit(freedom, 0.975) / ndtri(0.975)) - 1)
    if name in (SHARED, SEED) or sums.value <= 0:
        low, high = _deviating(value, _share(sums.resampled, others))
    else:
        low, high = _inverted(value, sums, others)
    centre, ends = _scaled(np.array(value)), _scaled(np.array([min(low, value), max(high, value)]))
    widened = _unscaled(centre + (ends - centre) * wider)
    return Interval(*map(float, widened)).within(-1.0 if name == SHARED else min(0.0, value), max(1.0, value))


def _inverted(value: float, sums: "_Sums", others: Array) -> tuple[float, float]:
    """Return the mean shares of the populations of which the observed share is the upper, and the lower quantile."""

    def at(scale: float, tail: float) -> tuple[float, float]:
        shares = _share(sums.at(scale), others)
        return float(np.quantile(shares, tail)), float(shares.mean())

    ends = []
    for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2):
        low, high = 0.0, 1.0
        while at(high, tail)[0] < value and high < MOST_SCALED:
            high *= 2
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if at(middle, tail)[0] < value else (low, middle)
        ends.append(at(high, tail)[1])
    without = _share(sums.at(0.0), others)
    if float(np.quantile(without, (1 + LEVEL) / 2)) >= value:
        ends[0] = float(np.quantile(without, (1 - LEVEL) / 2))
    return ends[0], ends[1]


def _deviating(value: float, resampled: Float[np.ndarray, " bootstraps"]) -> tuple[float, float]:
    """Return the share minus the upper and the lower quantile of the deviations of resampled ones from their mean."""
    scaled, centre = _scaled(resampled), _scaled(np.array(value))
    high, low = np.quantile(scaled, [(1 + LEVEL) / 2, (1 - LEVEL) / 2]) - scaled.mean()
    ends = _unscaled(np.array([centre - high, centre - low]))
    return float(ends[0]), float(ends[1])


def _share(part: Array, others: Array) -> Array:
    """Return the share of one part; 0 of a population whose distances are all 0."""
    totals = part + others
    return np.divide(part, totals, out=np.zeros_like(part), where=totals > 0)


def _scaled(shares: Array) -> Array:
    """Return arcsin √R², on which the variation of R² hardly depends on R², and a line outside [0, 1]."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(shares, 0, 1))) + np.minimum(shares, 0) + np.maximum(shares - 1, 0))


def _unscaled(values: Array) -> Array:
    """Return the inverse of ``_scaled``."""
    inside = np.sin(np.clip(values, 0, np.pi / 2)) ** 2
    return np.asarray(inside + np.minimum(values, 0) + np.maximum(values - np.pi / 2, 0))
