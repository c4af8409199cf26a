"""The partition of variance: least squares on coordinates, sums to 1, and intervals that are possible and cover."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from dynatlas.statistics.partition import cell_weights, partition

ARCHITECTURES, ACTIVATIONS = np.repeat([0, 1, 2, 3], 6), np.tile([0, 0, 0, 1, 1, 1], 4)
BALANCED = {"architecture": ARCHITECTURES, "activation": ACTIVATIONS}
# One combination is missing and another has lost two networks.
KEPT = np.setdiff1d(np.arange(24), [21, 22, 23, 0, 1])
MISSING = {name: levels[KEPT] for name, levels in BALANCED.items()}


def coordinates(seed=0, effect=1.0, outlier=False):
    points = np.random.default_rng(seed).normal(size=(24, 5))
    points[:, 0] += effect * (ARCHITECTURES == 2)
    points[:, 1] += effect * ACTIVATIONS
    if outlier:
        points *= 0.05
        points[7] += 5
    return points


def between(points):
    return squareform(pdist(points))


def explained(points, *factors):
    """Share of the sum of squares that a least-squares fit of main effects explains."""
    columns = np.column_stack([np.ones(len(points)), *(np.equal.outer(one, np.unique(one)) for one in factors)])
    fit = columns @ np.linalg.lstsq(columns.astype(float), points, rcond=None)[0]
    return ((fit - points.mean(axis=0)) ** 2).sum() / ((points - points.mean(axis=0)) ** 2).sum()


def test_parts_of_a_balanced_population_are_those_of_an_analysis_of_variance():
    points = coordinates()
    points[:3] += 0.7  # an interaction
    parts = {name: part.r2 for name, part in partition(between(points), BALANCED, 9).items()}
    assert list(parts) == ["architecture", "activation", "interactions", "seed"]
    assert sum(parts.values()) == pytest.approx(1)
    cells = 2 * ARCHITECTURES + ACTIVATIONS
    first, second = explained(points, ARCHITECTURES), explained(points, ACTIVATIONS)
    assert parts["architecture"] == pytest.approx(first)
    assert parts["activation"] == pytest.approx(second)
    assert parts["interactions"] == pytest.approx(explained(points, cells) - first - second)


def test_where_networks_are_missing_a_factor_has_what_it_adds_to_the_others():
    points = coordinates()[KEPT]
    parts = {name: part.r2 for name, part in partition(between(points), MISSING, 9).items()}
    assert list(parts) == ["architecture", "activation", "shared", "interactions", "seed"]
    assert sum(parts.values()) == pytest.approx(1)
    a, b = MISSING.values()
    both = explained(points, a, b)
    assert parts["architecture"] == pytest.approx(both - explained(points, b))
    assert parts["activation"] == pytest.approx(both - explained(points, a))
    assert parts["shared"] == pytest.approx(both - parts["architecture"] - parts["activation"])
    assert parts["interactions"] == pytest.approx(explained(points, 2 * a + b) - both)


def test_a_factor_that_others_determine_has_no_part():
    factors = {"architecture": ARCHITECTURES, "units": ARCHITECTURES // 2}
    parts = partition(between(coordinates()), factors, 9)
    assert list(parts) == ["architecture", "shared", "seed"]
    assert sum(part.r2 for part in parts.values()) == pytest.approx(1)


def test_without_seeds_the_rest_is_theirs_and_has_no_interval():
    one = {name: levels[::3] for name, levels in BALANCED.items()}
    parts = partition(between(coordinates()[::3]), one, 9)
    assert list(parts) == ["architecture", "activation", "seed"]
    assert sum(part.r2 for part in parts.values()) == pytest.approx(1)
    assert all(np.isnan(part.ends).all() for part in parts.values())


def test_distances_that_are_all_0_have_parts_of_0():
    parts = partition(np.zeros((24, 24)), BALANCED, 9)
    assert {name: (part.r2, *part.ends) for name, part in parts.items()} == dict.fromkeys(
        ("architecture", "activation", "seed"), (0, 0, 0)
    )


def test_weights_of_a_cell_have_the_mean_and_the_variance_of_a_sample():
    weights = cell_weights(np.array([3, 1, 10]), 20_000, 0)
    assert weights.mean(axis=0) == pytest.approx(np.ones(14), abs=0.03)
    values = np.random.default_rng(1).normal(size=3)
    assert (weights[:, :3] @ values / 3).var() == pytest.approx(values.var(ddof=1) / 3, rel=0.03)
    assert (weights[:, 3] == 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_intervals_are_possible_and_around_the_share(seed):
    """Of Euclidean distances a share lies in [0, 1], also with one network far from all others."""
    for points in (coordinates(seed), coordinates(seed, outlier=True)):
        for name, part in partition(between(points), BALANCED, 199).items():
            assert 0 <= part.ends.low <= part.r2 <= part.ends.high <= 1, name


def test_the_order_of_networks_does_not_matter():
    points = coordinates()
    for names in (BALANCED, MISSING):
        kept = np.arange(24) if names is BALANCED else KEPT
        shuffled = np.argsort(np.random.default_rng(1).random(len(kept)))
        first = partition(between(points[kept]), names, 9)
        second = partition(between(points[kept][shuffled]), {name: one[shuffled] for name, one in names.items()}, 9)
        assert {name: part.r2 for name, part in first.items()} == pytest.approx(
            {name: part.r2 for name, part in second.items()}
        )


@pytest.mark.parametrize("effect", [0.0, 1.5, 4.0])
def test_intervals_cover_the_mean_of_populations(effect):
    shares = [partition(between(coordinates(seed, effect)), BALANCED, 99) for seed in range(250)]
    for factor in BALANCED:
        truth = np.mean([parts[factor].r2 for parts in shares])
        covered = np.mean([parts[factor].ends.low <= truth <= parts[factor].ends.high for parts in shares])
        assert 0.88 <= covered <= 0.995, factor


def test_distances_that_are_not_euclidean_can_have_negative_shares():
    # Networks of the first level are far from each other, those of different levels are not.
    levels = np.repeat([0, 1], 6)
    distances = np.where(levels[:, None] + levels == 0, 3.0, 1.0)
    np.fill_diagonal(distances, 0)
    parts = partition(distances, {"activation": levels}, 99)
    assert parts["activation"].r2 < -0.4
    assert parts["activation"].ends.low <= parts["activation"].r2 <= parts["activation"].ends.high
    assert sum(part.r2 for part in parts.values()) == pytest.approx(1)
