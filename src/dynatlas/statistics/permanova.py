"""Permutational analysis of variance of distances: R², and Anderson's F₂ with restricted permutations."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.atlas.schema import SIGNIFICANT
from dynatlas.statistics.design import additive_model, indicators
from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances
from dynatlas.statistics.labels import Codes, checked_codes, combined

# Permutations evaluated in one matrix product: enough to be fast, few enough to need only tens of megabytes.
BATCH = 64
# Rounding: a variance below this share of the total is none, and statistics that differ by less are equal.
ROUNDING, TIES = 1e-14, 1e-11
REFINEMENT = 10


class PermanovaResult(NamedTuple):
    """Share of the variance that a factor explains, and its permutation p."""

    r2: float
    p: float


class FactorTest(NamedTuple):
    """Share of the variance that a factor adds to others, and its test.

    Attributes:
        r2: the share.
        f2: the test statistic.
        chance: its mean over the permutations.
        p: probability under permutation of an F₂ at least as large.
        p_lower: probability of an F₂ at most as large. If it is small, the levels are more alike between than within:
            the distance does not measure a difference between them.
    """

    r2: float
    f2: float
    chance: float
    p: float
    p_lower: float


def permanova(
    distances: Distances, groups: ArrayLike, strata: ArrayLike | None = None, permutations: int = 999, seed: int = 0
) -> PermanovaResult:
    """Compute a permutational analysis of variance with one factor.

    With SS_total = Σ_{i<j} d²ᵢⱼ / n, SS_ℓ = Σ_{i<j in level ℓ} d²ᵢⱼ / n_ℓ and V_ℓ = SS_ℓ / (n_ℓ − 1),

        R² = 1 − Σ_ℓ SS_ℓ / SS_total,        F₂ = (SS_total − Σ_ℓ SS_ℓ) / Σ_ℓ (1 − n_ℓ/n) V_ℓ,

    p = (1 + #{F₂ permuted ≥ F₂}) / (1 + permutations). F₂ is the usual F if all levels have the same number of
    networks. If they do not, F takes a level that varies more than others for one that lies elsewhere, and F₂ does not;
    ``permdisp`` tests the variation itself. In one dimension F₂ is the F* of Brown & Forsythe.

    Strata restrict the permutations, not R²: the R² of a factor that is correlated with the strata includes what they
    explain. F₂ then tests what the factor adds to the strata (``factor_test``). R² can be negative for distances that
    are not Euclidean: the networks of one level are then further apart than those of different levels, and the distance
    does not measure a difference between the levels.

    Args:
        distances: [n, n].
        groups: [n], level of the factor of each network; a pandas Series whose index names the networks is put in their
            order. Labels that Python calls unequal are different levels, such as 1 and "1".
        strata: [n] or None. Labels are exchanged only among networks of one stratum, so that an effect of the strata
            does not make the factor significant.
        permutations: number of permutations; p is never below 1/(1 + permutations).
        seed: seed of the permutations.

    Returns:
        (R², p).

    Raises:
        ValueError: different lengths, a missing label, a single level, a level for every network, strata within which
            no labels can be exchanged, distances that are all 0 or invalid (as in ``mds``).

    Example:
        >>> distances = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]]
        >>> r2, p = permanova(distances, ["a", "a", "b", "b"])
        >>> round(r2, 3)
        0.988

    Source: Anderson 2001; Anderson, Walsh, Clarke, Gorley & Guerra-Castro 2017 for F₂; Anderson & ter Braak 2003 for
    strata. R² agrees with scikit-bio, which has neither F₂ nor strata.
    """
    matrix, levels = checked_groups(distances, groups)
    blocks = [] if strata is None else [checked_codes(strata, len(levels), "strata", matrix.labels)]
    if not is_exchangeable(levels, blocks):
        raise ValueError(
            f"within each of the {combined(blocks, len(levels)).max() + 1} strata all networks have the same level, so "
            "that nothing can be exchanged; use coarser strata"
        )
    if not matrix.values.any():
        raise ValueError("all distances are 0; there is no variance to explain")
    test = factor_test(matrix, levels, blocks, permutations, seed)
    return PermanovaResult(explained(matrix.squares, levels), test.p)


def explained(squares: Float[np.ndarray, "n n"], levels: Int[np.ndarray, " n"]) -> float:
    """Compute R² of one grouping from d² and the encoded levels, without the checks of ``permanova``."""
    members = indicators(levels)
    within = (members * (squares @ members)).sum(axis=0) / members.sum(axis=0)
    return float(1 - within.sum() / (squares.sum() / len(levels)))


def is_exchangeable(levels: Codes, others: Sequence[Codes]) -> bool:
    """Whether some networks have different levels of a factor and the same levels of all others."""
    strata = combined(others, len(levels))
    return len(set(zip(strata.tolist(), levels.tolist(), strict=True))) > len(set(strata.tolist()))


def factor_test(
    distances: Distances, levels: Codes, others: Sequence[Codes], permutations: int = 999, seed: int = 0
) -> FactorTest:
    """Test what a factor adds to the main effects of others, by permutations within the combinations of these.

    With X the 0/1 columns of the factor's levels, X̃ their residuals after the others' main effects, G = −½ C d² C,
    H = X̃ (X̃ᵀX̃)⁺ X̃ᵀ and V_ℓ the variance of the networks of level ℓ within their combinations of all factors,

        R² = tr(H G) / tr(G),        F₂ = tr(H G) / Σ_ℓ c_ℓ V_ℓ,     c_ℓ = Σ_{i in ℓ} H_ii.

    The denominator is the mean of the numerator over populations in which the factor adds nothing, whatever the V_ℓ.
    Without others c_ℓ = 1 − n_ℓ/n, and F₂ is that of Anderson et al. (2017). A level without two networks of one
    combination has the mean of the V_ℓ; if no combination has two networks, F₂ is replaced by its numerator.

    Args:
        distances: [n, n], not all 0.
        levels: [n], the factor's encoded levels.
        others: encoded levels of the other factors.
        permutations: number of permutations.
        seed: seed of the permutations.

    Source: Anderson et al. 2017; McArdle & Anderson 2001. R² is that of vegan's ``adonis2(by="margin")``.
    """
    matrix = DistanceMatrix.of(distances)
    test = _Statistic(matrix.squares, levels, others)
    [observed], [noise] = test(levels[None])
    limit, slack = observed / noise, TIES * test.total / noise
    batches = [test(permuted) for permuted in restricted(levels, test.strata, permutations, seed)]
    by_chance, noises = (np.concatenate(each) for each in zip(*batches, strict=True))
    permuted = by_chance / noises
    as_large, as_small = (permuted >= limit - slack).sum(), (permuted <= limit + slack).sum()
    return FactorTest(
        r2=float(observed / test.total),
        f2=float(limit),
        chance=float(by_chance.mean() / test.total),
        p=float((1 + as_large) / (1 + permutations)),
        p_lower=float((1 + as_small) / (1 + permutations)),
    )


def value_test(
    values: Float[np.ndarray, " n"], levels: Codes, others: Sequence[Codes], permutations: int = 999, seed: int = 0
) -> FactorTest:
    """Test whether one number of each network depends on a factor: ``factor_test`` of the distances |xᵢ − xⱼ|.

    A significant p is ``refined``.
    """
    matrix = DistanceMatrix.of(np.abs(np.subtract.outer(values, values)))
    return refined(lambda permutations: factor_test(matrix, levels, others, permutations, seed), permutations)


def refined(test: Callable[[int], FactorTest], permutations: int) -> FactorTest:
    """Return a test with this number of permutations, or with ``REFINEMENT`` times as many if p is significant.

    The smallest p of 999 permutations, 0.001, does not survive the correction for the 50 tests of a table of claims.

    Example:
        >>> refined(lambda permutations: FactorTest(0.5, 9.0, 0.1, 1 / (1 + permutations), 1.0), 999).p
        0.0001
    """
    result = test(permutations)
    return test(REFINEMENT * (1 + permutations) - 1) if result.p < SIGNIFICANT else result


class _Statistic:
    """Numerator and denominator of F₂ for permuted levels.

    Permutations within the combinations of the other factors change neither the fitted columns X − X̃ nor X̃ᵀX̃, so
    that each needs only products of d² with 0/1 columns.
    """

    def __init__(self, squares: Float[np.ndarray, "n n"], levels: Codes, others: Sequence[Codes]) -> None:
        n = len(levels)
        self.squares = squares
        self.total = float(squares.sum()) / (2 * n)
        self.strata = combined(others, n)
        columns, model = indicators(levels), additive_model(others, n)
        fitted = model @ (model.T @ columns)
        residual = columns - fitted
        self.inverse = np.linalg.pinv(residual.T @ residual, rcond=1e-9, hermitian=True)
        self.across = squares @ fitted
        self.inner = fitted.T @ self.across
        counts = columns.T @ indicators(self.strata)
        self.leverage = columns.T @ np.einsum("ij,jk,ik->i", residual, self.inverse, residual)
        self.freedom = np.maximum(counts - 1, 0).sum(axis=1)
        of_network = counts[:, self.strata]
        self.weights = np.divide(0.5, of_network, out=np.zeros_like(of_network), where=of_network > 0)
        self.alike = squares * (self.strata[:, None] == self.strata) if others else squares

    def __call__(
        self, levels: Int[np.ndarray, "permutations n"]
    ) -> tuple[Float[np.ndarray, " permutations"], Float[np.ndarray, " permutations"]]:
        """Return tr(H G) and Σ c_ℓ V_ℓ."""
        members = (levels[:, None, :] == np.arange(len(self.leverage))[:, None]).astype(np.float64)
        # One large product of two matrices is many times faster than one product for each permutation.
        sums = (members.reshape(-1, len(self.squares)) @ self.squares).reshape(members.shape)
        own = sums
        if self.alike is not self.squares:
            own = (members.reshape(-1, len(self.squares)) @ self.alike).reshape(members.shape)
        across = members @ self.across
        products = sums @ members.transpose(0, 2, 1) - across - across.transpose(0, 2, 1) + self.inner
        explained = -0.5 * (products * self.inverse).sum(axis=(1, 2))
        return explained, self._noise((own * members * self.weights).sum(axis=2))

    def _noise(self, within: Float[np.ndarray, "permutations levels"]) -> Float[np.ndarray, " permutations"]:
        """Return Σ c_ℓ V_ℓ from the sums of squares within combinations of all factors."""
        freedom = self.freedom.sum()
        if freedom == 0:
            return np.ones(len(within))
        variances = np.repeat(within.sum(axis=1, keepdims=True) / freedom, within.shape[1], axis=1)
        np.divide(within, self.freedom, out=variances, where=self.freedom > 0)
        noise: NDArray[np.float64] = np.maximum(variances @ self.leverage, ROUNDING * self.total)
        return noise


def checked_groups(distances: Distances, groups: ArrayLike) -> tuple[DistanceMatrix, Int[np.ndarray, " n"]]:
    """Validate distances and a grouping with at least two levels, one of which has two networks."""
    matrix = DistanceMatrix.of(distances)
    levels = checked_codes(groups, len(matrix), "groups", matrix.labels)
    count = len(np.unique(levels))
    if not 1 < count < len(levels):
        raise ValueError(
            f"groups have {count} levels for {len(levels)} networks; expected at least 2 levels, "
            "and at least one level with two networks"
        )
    return matrix, levels


def restricted(
    levels: Int[np.ndarray, " n"], blocks: Int[np.ndarray, " n"], permutations: int, seed: int
) -> Iterator[Int[np.ndarray, "batch n"]]:
    """Yield random permutations of labels within blocks, in batches; the batch size does not affect them."""
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; expected at least 1")
    random = np.random.default_rng(seed)
    members = np.argsort(blocks, kind="stable")
    for start in range(0, permutations, BATCH):
        keys = random.random((min(BATCH, permutations - start), len(blocks)))
        # The i-th network in random order within blocks passes its label to the i-th network in block order.
        shuffled = np.argsort(blocks + keys, axis=1)
        permuted = np.empty(keys.shape, np.int64)
        permuted[:, members] = levels[shuffled]
        yield permuted
