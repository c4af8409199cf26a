import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from dynatlas import permanova
from dynatlas.statistics.resampling import (
    cell_weights,
    correlation_of_pairs,
    interval,
    mean_interval,
    mean_of_pairs,
    median_interval,
    r2_resamples,
    reliability,
)


def population(n=24, groups=3, shift=1.0, seed=0):
    random = np.random.default_rng(seed)
    levels = np.repeat(np.arange(groups), n // groups)
    return squareform(pdist(random.normal(size=(n, 4)) + shift * np.eye(groups, 4)[levels])), levels


def test_a_population_drawn_as_it_is_has_the_r2_of_permanova(monkeypatch):
    distances, levels = population()
    cells = np.arange(24) // 4  # two in each group
    ones = [np.ones(24)] * 2
    monkeypatch.setattr("dynatlas.statistics.resampling.cell_weights", lambda sizes, bootstraps, seed: ones)
    shuffled = np.random.default_rng(0).permutation(24)
    for order in (np.arange(24), shuffled):
        resampled = r2_resamples(distances[np.ix_(order, order)], [levels[order]], cells[order], 2)
        assert resampled == pytest.approx(permanova(distances, levels).r2, abs=1e-12)


def test_a_resample_worked_out_pair_by_pair():
    distances, levels = population(n=12, groups=2)
    cells = np.arange(12) // 3
    [resampled] = r2_resamples(distances, [levels], cells, bootstraps=5, seed=3)
    for weights, value in zip(cell_weights(np.array([3, 3, 3, 3]), 5, 3), resampled, strict=True):

        def mean_square(a, b, weights=weights):
            pairs = [(i, j) for i in np.flatnonzero(cells == a) for j in np.flatnonzero(cells == b) if i != j]
            drawn = [weights[i] * weights[j] for i, j in pairs]
            if not any(drawn):
                drawn = [1.0] * len(pairs)
            return np.average([distances[pair] ** 2 for pair in pairs], weights=drawn)

        def sum_of_squares(members):
            pairs = [(a, b, 9 if a != b else 6) for a in members for b in members]
            return sum(count * mean_square(a, b) for a, b, count in pairs) / (2 * 3 * len(members))

        within = sum_of_squares([0, 1]) + sum_of_squares([2, 3])
        assert value == pytest.approx(1 - within / sum_of_squares([0, 1, 2, 3]), abs=1e-12)


def test_weights_of_a_cell_have_the_mean_and_the_variance_of_a_sample():
    sizes = np.array([3, 1, 10])
    weights = np.array(list(cell_weights(sizes, 20_000, 0)))
    assert weights.mean(axis=0) == pytest.approx(np.ones(14), abs=0.03)
    values = np.random.default_rng(1).normal(size=3)
    means = weights[:, :3] @ values / 3
    assert means.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.03)
    assert (weights[:, 3] == 1).all()


@pytest.mark.parametrize(("shift", "most"), [(0.0, 1.0), (1.5, 0.99)])
def test_intervals_cover_what_they_should(shift, most):
    """Of many populations from one distribution, about 95 % have an interval that holds the R² of the distribution.

    More of them without an effect: near its lower bound R² varies less than its resamples.
    """
    cells = np.arange(24) // 4
    truth = np.mean([permanova(*population(shift=shift, seed=seed), permutations=1).r2 for seed in range(1000, 1400)])
    ends = [
        interval(r2_resamples(distances, [levels], cells, 99)[0])
        for distances, levels in (population(shift=shift, seed=seed) for seed in range(150))
    ]
    assert 0.88 <= np.mean([low <= truth <= high for low, high in ends]) <= most


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    low, high = mean_interval(values, 4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert np.isnan(mean_interval([1.0])).all()


def test_the_median_does_not_mind_an_outlier():
    values = [*np.linspace(0, 1, 31), 1e9]
    low, high = median_interval(values)
    assert 0 < low < 0.5 < high < 1
    assert np.isnan(median_interval([])).all()


def test_the_mean_of_pairs_leaves_the_diagonal_out():
    distances, _ = population()
    value, (low, high) = mean_of_pairs(distances + 100 * np.eye(24))
    assert value == pytest.approx(distances[np.triu_indices(24, 1)].mean())
    assert low < value < high


def test_correlation_and_reliability():
    random = np.random.default_rng(0)
    truth = squareform(pdist(random.normal(size=(40, 3))))
    noise = random.normal(size=(2, 40, 40))
    halves = [np.abs(truth + 0.5 * (one + one.T)) for one in noise]
    upper = np.triu_indices(40, 1)
    r, (low, high) = correlation_of_pairs(*halves)
    assert r == pytest.approx(np.corrcoef(halves[0][upper], halves[1][upper])[0, 1], abs=1e-12)
    assert low < r < high
    whole, ends = reliability(*halves)
    assert whole == pytest.approx(2 * r / (1 + r))
    assert ends.low < whole < ends.high
    assert reliability(truth, 3 * truth + 1)[0] == pytest.approx(1)
    assert correlation_of_pairs(truth, np.ones((40, 40)))[0] == 0
