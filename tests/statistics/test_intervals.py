"""Intervals over networks: formulas worked by hand or by SciPy, coverage, and what is possible."""

import numpy as np
import pytest
import scipy.stats

from dynatlas.statistics.claims.verdicts import above
from dynatlas.statistics.intervals import (
    LEAST_NETWORKS,
    jackknife_interval,
    mean_interval,
    median_interval,
    share_interval,
)


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(size=17)
    expected = scipy.stats.t.interval(0.95, 16, values.mean(), scipy.stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)


@pytest.mark.parametrize(("networks", "of"), [(6, 6), (0, 6), (3, 12), (12, 12), (95, 96)])
def test_the_interval_of_a_share_is_wilsons(networks, of):
    values = [1.0] * networks + [0.0] * (of - networks)
    expected = scipy.stats.binomtest(networks, of).proportion_ci(method="wilson")
    assert share_interval(values) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = share_interval(values)
    assert 0 <= low < high <= 1  # also where all networks agree


@pytest.mark.parametrize("n", [6, 9, 24, 96])
def test_the_interval_of_a_median_lies_between_those_of_order_statistics(n):
    values = np.random.default_rng(n).permutation(np.arange(n))
    low, high = median_interval(values)
    k = np.arange(1, n // 2 + 1)
    coverage = 1 - 2 * scipy.stats.binom.cdf(k - 1, n, 0.5)
    wide = int(k[coverage >= 0.95].max())  # 1-based rank
    assert wide - 1 <= low < wide
    assert low + high == pytest.approx(n - 1)  # symmetric


def test_the_median_does_not_mind_an_outlier():
    low, high = median_interval([*np.linspace(0, 1, 31), 1e9])
    assert 0 < low < 0.5 < high < 1
    assert median_interval([27.0] * 24) == (27, 27)  # of one value the median is known


@pytest.mark.parametrize("n", [6, 12, 24])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(n):
    random = np.random.default_rng(n)
    normal = random.normal(size=(2000, n))
    shares = random.uniform(0.05, 0.95, 2000)
    zeros_and_ones = (random.random((2000, n)) < shares[:, None]).astype(float)

    def covered(ends, truth):
        low, high = np.array(ends).T
        return np.mean((low <= truth) & (truth <= high))

    assert 0.93 <= covered([mean_interval(each) for each in normal], 0) <= 0.97
    assert 0.93 <= covered([median_interval(each) for each in normal], 0) <= 0.97
    assert 0.93 <= covered([median_interval(np.exp(each)) for each in normal], 1) <= 0.97
    assert 0.93 <= covered([share_interval(each) for each in zeros_and_ones], shares) <= 0.97


@pytest.mark.parametrize("interval", [mean_interval, share_interval, median_interval])
def test_few_networks_have_no_interval(interval):
    values = np.linspace(0, 1, LEAST_NETWORKS)
    assert np.isnan(interval(values[1:])).all()
    assert np.isfinite(interval(values)).all()
    assert np.isnan(interval([])).all()


def test_values_that_do_not_vary_have_no_interval_of_their_mean():
    assert np.isnan(mean_interval([1.0] * 24)).all()
    assert np.isnan(jackknife_interval(1.0, np.ones(24))).all()


def test_the_jackknife_of_a_mean_in_cells_is_that_of_stratified_sampling():
    random = np.random.default_rng(0)
    cells = np.repeat([0, 1, 2, 3], [3, 5, 4, 6])
    values = random.normal(size=18) + 10 * cells
    left_out = (values.sum() - values) / 17
    low, high = jackknife_interval(values.mean(), left_out, cells)
    # Each cell's variance with n − 1, and 18 − 4 degrees of freedom.
    of_cells = [values[cells == cell] for cell in range(4)]
    squares = sum((len(one) - 1) ** 2 / len(one) * one.var(ddof=1) for one in of_cells)
    half = scipy.stats.t.ppf(0.975, 14) * np.sqrt(squares) / 17
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))
    # Cells of one network are one cell together.
    alone = jackknife_interval(values.mean(), left_out, np.arange(18))
    assert alone == pytest.approx(jackknife_interval(values.mean(), left_out))


@pytest.mark.parametrize("n", [3, 6, 12, 24])
@pytest.mark.parametrize(("limit", "truth"), [(0.5, 0.4), (0.9, 0.85), (0.9, 0.8)])
def test_a_false_claim_about_a_share_of_networks_rarely_holds(n, limit, truth):
    """Percentile intervals of three networks that all agree are [1, 1]: such a claim held in 62 % of populations."""
    random = np.random.default_rng(1)
    drawn = (random.random((1000, n)) < truth).astype(float)
    holds = [
        above("a task", "a share", x.mean(), share_interval(x), limit, "a table").verdict == "holds" for x in drawn
    ]
    assert np.mean(holds) <= 0.05
