"""Statistics over pairs of networks, and their intervals."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from dynatlas import permanova
from dynatlas.statistics.intervals import jackknife_interval
from dynatlas.statistics.pairs import (
    correlation_of_pairs,
    correlation_of_values,
    explained_by_halves,
    mean_of_pairs,
    reliability,
    reliability_of_values,
)


def halves(n=40, seed=0):
    random = np.random.default_rng(seed)
    points = random.normal(size=(n, 4))
    return [squareform(pdist(points + 0.5 * random.normal(size=(n, 4)))) for _ in range(2)]


def without(matrix, network):
    return np.delete(np.delete(matrix, network, 0), network, 1)


def test_the_mean_of_pairs_leaves_the_diagonal_out():
    distances = halves(24)[0]
    value, ends = mean_of_pairs(distances + 100 * np.eye(24))
    assert value == pytest.approx(distances[np.triu_indices(24, 1)].mean())
    left_out = np.array([mean_of_pairs(without(distances, network))[0] for network in range(24)])
    assert ends == pytest.approx(jackknife_interval(value, left_out))


def test_the_correlation_is_that_of_all_pairs():
    first, second = halves(12)
    upper = np.triu_indices(12, 1)
    r, ends = correlation_of_pairs(first, second)
    assert r == pytest.approx(np.corrcoef(first[upper], second[upper])[0, 1], abs=1e-12)
    left_out = [correlation_of_pairs(without(first, one), without(second, one))[0] for one in range(12)]
    assert np.arctanh(ends) == pytest.approx(jackknife_interval(np.arctanh(r), np.arctanh(left_out)))
    assert correlation_of_pairs(first, np.ones((12, 12)))[0] == 0
    same = correlation_of_pairs(first, 3 * first + 1)
    assert same[0] == pytest.approx(1)
    assert np.isnan(same[1]).all()  # nothing varies: not [1, 1]


def test_the_correlation_of_values_is_numpys():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 15)) + random.normal(size=15)
    r, (low, high) = correlation_of_values(a, b)
    assert r == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)
    assert -1 < low < r < high < 1


@pytest.mark.parametrize("n", [6, 12, 24])
def test_intervals_over_pairs_cover_what_they_should(n):
    rows = [(correlation_of_pairs(*both), mean_of_pairs(both[0])) for both in (halves(n, seed) for seed in range(400))]
    for statistic in range(2):
        truth = np.mean([row[statistic][0] for row in rows])
        covered = np.mean([row[statistic][1].low <= truth <= row[statistic][1].high for row in rows])
        assert 0.92 <= covered <= 0.99, statistic


def test_the_reliability_is_spearmans_and_browns():
    both = halves()
    r, (low, high) = correlation_of_pairs(*both)
    whole, ends = reliability(*both)
    assert whole == pytest.approx(2 * r / (1 + r))
    assert ends == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def test_halves_that_disagree_have_reliability_0():
    distances = halves(5)[0]
    opposite = distances.max() + 0.1 - distances
    np.fill_diagonal(opposite, 0)
    assert reliability(distances, opposite)[0] == 0
    value, ends = reliability_of_values(np.arange(8.0), -(np.arange(8.0) ** 2))
    assert (value, ends) == (0, (0, 0))


def test_reliability_is_no_bound_on_what_a_factor_explains():
    random = np.random.default_rng(0)
    levels = np.arange(24) // 6
    base = np.where(levels[:, None] == levels, 0.95, 1.0)

    def noisy():
        noise = np.triu(0.2 * random.normal(size=(24, 24)), 1)
        distances = np.abs(base + noise + noise.T)
        np.fill_diagonal(distances, 0)
        return distances

    odd, even = noisy(), noisy()
    result = permanova((odd + even) / 2, levels)
    assert result.p < 0.01
    assert result.r2 > reliability(odd, even)[0]


def test_r2_between_two_versions_of_each_network():
    random = np.random.default_rng(0)
    points = random.normal(size=(10, 3))
    together = squareform(pdist(np.vstack([points, points + [1, 0, 0] + 0.3 * random.normal(size=(10, 3))])))
    value, ends = explained_by_halves(together)
    assert value == pytest.approx(permanova(together, np.repeat([0, 1], 10), permutations=1).r2)
    rest = [np.delete(np.arange(20), [network, network + 10]) for network in range(10)]
    left_out = np.array([explained_by_halves(together[np.ix_(some, some)])[0] for some in rest])
    assert ends == pytest.approx(jackknife_interval(value, left_out).within(0.0, 1.0))
    assert explained_by_halves(np.zeros((20, 20)))[0] == 0
