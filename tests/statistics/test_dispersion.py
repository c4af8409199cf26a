"""Tests of spread against coordinates, SciPy, and planted differences."""

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import pdist, squareform

from dynatlas.statistics.dispersion import permdisp, spread_between_seeds

LEVELS = np.repeat(["a", "b", "c"], 8)


def between(points):
    return squareform(pdist(points))


def population(seed=0, spread=1.0, shift=3.0):
    points = np.random.default_rng(seed).normal(size=(24, 4))
    points[LEVELS == "b"] *= spread
    return points + shift * (LEVELS == "c")[:, None]


def test_distances_to_the_centroid_are_those_of_the_points():
    points = population(spread=2.5)
    spread = {
        level: np.linalg.norm(points[level == LEVELS] - points[level == LEVELS].mean(axis=0), axis=1).mean()
        for level in "abc"
    }
    ratio, p = permdisp(between(points), LEVELS)
    assert ratio == pytest.approx(max(spread.values()) / min(spread.values()))
    assert p < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_p_is_that_of_fishers_ratio_of_permuted_residuals(seed):
    points, random = population(seed), np.random.default_rng(0)
    spread = np.concatenate(
        [np.linalg.norm(one - one.mean(axis=0), axis=1) for one in (points[level == LEVELS] for level in "abc")]
    )
    residuals = np.concatenate([one - one.mean() for one in np.split(spread, 3)])
    observed = scipy.stats.f_oneway(*np.split(spread, 3)).statistic
    permuted = [scipy.stats.f_oneway(*np.split(random.permutation(residuals), 3)).statistic for _ in range(999)]
    assert permdisp(between(points), LEVELS).p == pytest.approx(np.mean(np.array(permuted) >= observed), abs=0.06)


def test_in_one_dimension_is_levenes_test_of_corrected_distances():
    points = population()[:, :1]
    samples = [points[level == LEVELS, 0] for level in "abc"]
    p = permdisp(between(points), LEVELS, permutations=4999).p
    assert p == pytest.approx(scipy.stats.levene(*samples, center="mean").pvalue, abs=0.03)


def test_a_difference_in_place_is_no_difference_in_spread():
    found = [permdisp(between(population(seed)), LEVELS, permutations=199, seed=seed).p < 0.05 for seed in range(200)]
    assert np.mean(found) < 0.1


def test_small_levels_are_not_less_dispersed():
    """Without the correction the distances of four networks to their own centroid are smaller by √(3/4)."""
    levels = np.repeat([0, 1], [20, 4])
    ps = [
        permdisp(between(np.random.default_rng(seed).normal(size=(24, 10))), levels, permutations=99, seed=seed).p
        for seed in range(200)
    ]
    # Not quite 5 %: the four distances depend on each other through their centroid.
    assert np.mean(np.array(ps) < 0.05) < 0.15


def test_strata_that_lie_apart_do_not_hide_a_spread():
    levels, strata = np.tile([0, 0, 0, 1, 1, 1], 4), np.repeat(range(4), 6)
    points = np.random.default_rng(0).normal(size=(24, 5)) * np.where(levels, 3, 1)[:, None] + 50 * strata[:, None]
    assert permdisp(between(points), levels).p > 0.05
    assert permdisp(between(points), levels, strata).p < 0.01


def test_networks_alone_and_networks_that_coincide():
    points = np.array([[0.0], [1], [2], [10], [10], [10], [99]])
    result = permdisp(between(points), ["a", "a", "a", "b", "b", "b", "alone"])
    assert result.ratio == np.inf
    assert np.isnan(permdisp(between(points[2:]), ["x", "y", "y", "y", "z"])).all()
    same = permdisp(np.zeros((6, 6)), list("aaabbb"))
    assert same == (1, 1)


def test_distances_that_are_not_euclidean_have_an_imaginary_part():
    """|Δ₊² − Δ₋²|: of three networks with distances 1, 1 and 3 from eigenvectors, as vegan's betadisper."""
    random = np.random.default_rng(0)
    distances = squareform(random.uniform(0.5, 4, size=45))
    levels = np.repeat([0, 1], 5)
    centring = np.eye(10) - 0.1
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    scaled = vectors * np.sqrt(np.abs(values))
    spread = np.empty(10)
    for level in (0, 1):
        squares = (scaled[levels == level] - scaled[levels == level].mean(axis=0)) ** 2
        spread[levels == level] = np.sqrt(np.abs(squares @ np.sign(values)) * 5 / 4)
    means = [spread[levels == level].mean() for level in (0, 1)]
    assert permdisp(distances, levels, permutations=1).ratio == pytest.approx(max(means) / min(means))


def test_the_spread_between_seeds_is_the_mean_over_pairs_that_were_trained_alike():
    random = np.random.default_rng(5)
    labels = {"architecture": list("aabb" * 6), "units": [8] * 12 + [16] * 12, "l2": [0.0] * 24}
    points = random.normal(size=(24, 3)) * np.where(np.array(labels["units"]) == 16, 3.0, 1.0)[:, None]
    distances = squareform(pdist(points))
    rows = {(row["factor"], row["level"]): row for row in spread_between_seeds(distances, labels)}
    assert rows.keys() == {
        ("all", "any"),
        *(("architecture", name) for name in "ab"),
        *(("units", name) for name in ("8", "16")),
    }
    cells = list(zip(labels["architecture"], labels["units"], strict=True))
    pairs = [(i, j) for i in range(24) for j in range(i) if cells[i] == cells[j]]
    assert rows["all", "any"]["n_pairs"] == len(pairs) == 4 * 15
    assert rows["all", "any"]["mean"] == pytest.approx(np.mean([distances[pair] for pair in pairs]))
    wide = [distances[i, j] for i, j in pairs if labels["units"][i] == 16]
    assert rows["units", "16"]["mean"] == pytest.approx(np.mean(wide))
    assert rows["units", "16"]["low"] > rows["units", "8"]["high"]


def test_the_interval_of_the_spread_covers_the_mean_distance_of_the_population():
    """Points of a plane: the mean distance of two standard normal ones is √π."""
    covered = []
    for seed in range(300):
        points = np.random.default_rng(seed).normal(size=(24, 2))
        [row] = spread_between_seeds(squareform(pdist(points)), {"units": [8] * 24})
        covered.append(row["low"] < np.sqrt(np.pi) < row["high"])
    assert 0.91 < np.mean(covered) < 0.98


def test_a_study_with_one_seed_has_no_spread():
    assert spread_between_seeds(squareform(pdist(np.eye(3))), {"units": [1, 2, 3]}) == []
