import itertools
import warnings

import jax
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import sklearn.model_selection
import sklearn.neighbors
from scipy.spatial.distance import pdist, squareform

from dynatlas import permanova
from dynatlas.statistics.neighbours import (
    accuracy_without_each,
    nearest_neighbour_accuracy,
    silhouette,
    silhouette_without_each,
)
from dynatlas.statistics.permanova import factor_test

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from skbio import DistanceMatrix
    from skbio.stats.distance import permanova as skbio_permanova
# Importing it turns on float64 for all of JAX, and so for every test after.
jax.config.update("jax_enable_x64", False)

SQUARE = [[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]]


def between(points):
    return squareform(pdist(points))


def population(sizes, shift, seed=0, dims=3):
    """Groups of these sizes around centres that are ``shift`` apart, in random order: distances and labels."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat([f"group {k}" for k in range(len(sizes))], sizes))
    centres = dict(zip(np.unique(labels), shift * np.eye(max(dims, len(sizes)))[:, :dims], strict=False))
    points = np.array([centres[label] for label in labels]) + random.normal(size=(len(labels), dims))
    return points, labels


def r2_of(distances, labels):
    """Anderson's sums of squares, pair by pair."""
    labels = list(labels)

    def sum_of_squares(members):
        return sum(distances[i][j] ** 2 for i, j in itertools.combinations(members, 2)) / len(members)

    groups = [[i for i, label in enumerate(labels) if label == level] for level in sorted(set(labels))]
    return 1 - sum(map(sum_of_squares, groups)) / sum_of_squares(range(len(labels)))


def residuals(points, *factors):
    """What a least-squares fit of the main effects leaves, and the leverages."""
    columns = np.column_stack([np.ones(len(points)), *(np.equal.outer(one, sorted(set(one))) for one in factors)])
    hat = columns @ np.linalg.pinv(columns.astype(float))
    return points - hat @ points, np.diagonal(hat)


def f2_of(points, labels, strata):
    """F₂ of labels after strata from coordinates: sums of squares of least-squares fits, and variances within cells."""
    labels, strata = np.array(labels), np.array(strata)
    (without, low), (within, high) = residuals(points, strata), residuals(points, strata, labels)
    noise = 0.0
    for label in set(labels.tolist()):
        cells = [points[(labels == label) & (strata == stratum)] for stratum in set(strata[labels == label].tolist())]
        squares = sum(((cell - cell.mean(axis=0)) ** 2).sum() for cell in cells)
        freedom = sum(len(cell) - 1 for cell in cells)
        noise += (high - low)[labels == label].sum() * squares / freedom
    return ((without**2).sum() - (within**2).sum()) / noise


def exact_p(points, labels, strata):
    """The share of all orders that keep the strata and have as large an F₂."""
    observed = f2_of(points, labels, strata)
    blocks = [[i for i, stratum in enumerate(strata) if stratum == block] for block in sorted(set(strata))]
    as_good = []
    for orders in itertools.product(*(itertools.permutations(block) for block in blocks)):
        permuted = list(labels)
        for block, order in zip(blocks, orders, strict=True):
            for target, source in zip(block, order, strict=True):
                permuted[target] = labels[source]
        as_good.append(f2_of(points, permuted, strata) >= observed * (1 - 1e-9))
    return np.mean(as_good)


# ---- R²: three independent computations ----


@pytest.mark.parametrize("sizes", [(10, 10), (4, 9, 7), (1, 5, 3, 6)])
@pytest.mark.parametrize("shift", [0, 1.5])
def test_agrees_with_scikit_bio(sizes, shift):
    points, labels = population(sizes, shift)
    distances = between(points)
    r2, p = permanova(distances, labels, permutations=999)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = skbio_permanova(DistanceMatrix(distances), labels, permutations=999, seed=1)
    n, k = len(labels), len(sizes)
    pseudo_F = (r2 / (k - 1)) / ((1 - r2) / (n - k))
    assert pseudo_F == pytest.approx(theirs["test statistic"], rel=1e-9)
    if len(set(sizes)) == 1:  # F₂ orders the permutations as F does
        # Two estimates of one p, each of 999 draws.
        assert abs(p - theirs["p-value"]) <= 4 * np.sqrt(2 * max(p, theirs["p-value"]) / 999)


def test_of_euclidean_distances_is_the_analysis_of_variance():
    points, labels = population((4, 9, 7), 1.0)
    residual = sum(
        ((points[labels == label] - points[labels == label].mean(axis=0)) ** 2).sum() for label in set(labels)
    )
    total = ((points - points.mean(axis=0)) ** 2).sum()
    assert permanova(between(points), labels, permutations=1).r2 == pytest.approx(1 - residual / total, rel=1e-12)


def test_in_one_dimension_is_fishers_ratio():
    points, labels = population((4, 9, 7), 1.0, dims=1)
    r2, p = permanova(between(points), labels, permutations=4999)
    F, p_F = scipy.stats.f_oneway(*(points[labels == label, 0] for label in np.unique(labels)))
    assert (r2 / 2) / ((1 - r2) / 17) == pytest.approx(F, rel=1e-9)
    assert p == pytest.approx(p_F, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_of_distances_that_are_not_euclidean(seed):
    random = np.random.default_rng(seed)
    distances = squareform(random.uniform(0.1, 4, size=45))
    labels = random.integers(3, size=10)
    assert permanova(distances, labels, permutations=1).r2 == pytest.approx(r2_of(distances, labels), rel=1e-12)


def test_worked_by_hand():
    # Σd² = 1 + 1 + 4·81 over 4 networks, and 1 over 2 within each group.
    assert permanova(SQUARE, ["a", "a", "b", "b"]).r2 == pytest.approx(1 - (1 / 2 + 1 / 2) / (326 / 4), abs=1e-12)
    # Groups without any distance within explain all of it.
    points = np.repeat([[0.0], [1.0], [5.0]], 4, axis=0)
    r2, p = permanova(between(points), np.repeat(list("xyz"), 4))
    assert r2 == pytest.approx(1, abs=1e-12)
    # 3! of the 34,650 orders are as good.
    assert p <= 3 / 1000


def test_f2_in_one_dimension_is_brown_and_forsythes():
    points, labels = population((4, 9, 7), 1.0, dims=1)
    samples = [points[labels == label, 0] for label in np.unique(labels)]
    among = sum(len(sample) * (sample.mean() - points.mean()) ** 2 for sample in samples)
    expected = among / sum((1 - len(sample) / 20) * sample.var(ddof=1) for sample in samples)
    levels = np.unique(labels, return_inverse=True)[1]
    assert factor_test(between(points), levels, [], 1).f2 == pytest.approx(expected, rel=1e-9)
    # Of two groups: the square of Welch's t.
    two = levels < 2
    t = scipy.stats.ttest_ind(*samples[:2], equal_var=False).statistic
    assert factor_test(between(points[two]), levels[two], [], 1).f2 == pytest.approx(t**2, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_f2_after_other_factors_is_that_of_least_squares(seed):
    random = np.random.default_rng(seed)
    points = random.normal(size=(24, 3))
    levels, strata = random.integers(2, size=24), random.integers(3, size=24)
    test = factor_test(between(points), levels, [strata], 1)
    assert test.f2 == pytest.approx(f2_of(points, levels, strata), rel=1e-9)
    without, within = residuals(points, strata)[0], residuals(points, strata, levels)[0]
    total = ((points - points.mean(axis=0)) ** 2).sum()
    assert test.r2 == pytest.approx(((without**2).sum() - (within**2).sum()) / total, rel=1e-9)


def test_spread_is_not_place():
    """Groups of 5 and 2 for each of four strata, the small ones three times as dispersed: Anderson's F takes that
    for an effect in half of all populations."""
    labels = np.tile([0, 0, 0, 0, 0, 1, 1], 4)
    found = []
    for seed in range(300):
        points = np.random.default_rng(seed).normal(size=(28, 10)) * np.where(labels, 3, 1)[:, None]
        found.append(permanova(between(points), labels, np.repeat(range(4), 7), 199, seed).p < 0.05)
    assert np.mean(found) < 0.1


def test_more_alike_between_than_within_is_in_the_lower_tail():
    # Pairs of one network of each level lie together: nothing separates the levels less.
    points = np.repeat(np.random.default_rng(0).normal(size=(12, 10)), 2, axis=0) + np.tile([0, 0.01], 12)[:, None]
    test = factor_test(between(points), np.tile([0, 1], 12), [], 999)
    assert test.p > 0.9
    assert test.p_lower < 0.05
    assert test.p + test.p_lower > 1  # the observed order counts in both


def test_chance_is_the_mean_of_all_orders():
    points = np.random.default_rng(0).normal(size=(6, 2))
    labels, strata = [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    total = ((points - points.mean(axis=0)) ** 2).sum()
    orders = [
        (residuals(points, strata)[0] ** 2).sum() - (residuals(points, strata, [*first, *second])[0] ** 2).sum()
        for first in itertools.permutations(labels[:3])
        for second in itertools.permutations(labels[3:])
    ]
    test = factor_test(between(points), np.array(labels), [np.array(strata)], 20_000)
    assert test.chance == pytest.approx(np.mean(orders) / total, rel=0.02)


# ---- p ----


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strata", [[0] * 8, [0, 0, 0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1, 0, 0]])
def test_p_is_the_share_of_all_orders(strata, seed):
    points = np.random.default_rng(seed).normal(size=(8, 2))
    labels = ["a", "a", "b", "b", "a", "b", "b", "b"]
    expected = exact_p(points, labels, strata)
    p = permanova(between(points), labels, strata=strata, permutations=3000, seed=seed).p
    assert abs(p - expected) <= 4 * np.sqrt(expected * (1 - expected) / 3000) + 1 / 3000


def test_ties_count_as_explaining_as_much():
    # All networks equally far apart: no order explains more than another, whatever rounding says.
    distances = 0.1 * (1 - np.eye(9))
    assert permanova(distances, list("aabbbcccc"), permutations=200).p == 1


@pytest.mark.parametrize("seed", range(3))
def test_an_order_that_only_renames_the_groups_explains_as_much(seed):
    # Three tight pairs: 3!·2³ of the 720 orders keep them, though their sums are rounded in another order.
    points = np.random.default_rng(seed).normal(size=(6, 2)) + 10 * np.repeat([[0, 0], [0, 1], [1, 0]], 2, axis=0)
    p = permanova(between(points), list("aabbcc"), permutations=20_000).p
    assert p == pytest.approx(48 / 720, abs=4 * np.sqrt(48 / 720 / 20_000))


def test_a_planted_effect_is_found():
    points, labels = population((8, 8, 8), 3.0)
    r2, p = permanova(between(points), labels, permutations=999)
    assert r2 > 0.4
    # The least there can be: the observed order counts as one of 1,000.
    assert p == 1 / 1000
    assert permanova(between(points), labels, permutations=99).p == 1 / 100


@pytest.mark.parametrize("stratified", [False, True])
def test_without_an_effect_p_is_uniform(stratified):
    # Strata with large effects of their own, and with different shares of the levels.
    strata = np.repeat([0, 1, 2], [6, 4, 6]) if stratified else None
    levels = np.array([0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1])
    random = np.random.default_rng(0)
    ps = []
    for _ in range(200):
        points = random.normal(size=(16, 2))
        if stratified:
            points[:, 0] += 5 * strata
        else:
            levels = random.permutation(levels)
        ps.append(permanova(between(points), levels, strata=strata, permutations=59, seed=int(random.integers(1e6))).p)
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        rate, spread = np.mean(np.array(ps) <= level + 1e-9), np.sqrt(level * (1 - level) / 200)
        assert abs(rate - level) < 3 * spread + 0.01, level


def test_what_the_strata_explain_is_not_credited():
    # The levels go along with the strata but for one network in eight.
    strata = np.repeat([0, 1], 16)
    levels = np.where(np.arange(32) % 8 == 0, 1 - strata, strata)
    random = np.random.default_rng(0)
    alone, within, both = [], [], []
    for seed in range(20):
        # Distances that depend on the stratum alone, and distances to which the levels add a little.
        points = random.normal(size=(32, 3)) + 4 * strata[:, None]
        alone.append(permanova(between(points), levels, permutations=199, seed=seed).p)
        within.append(permanova(between(points), levels, strata=strata, permutations=199, seed=seed).p)
        points += 3 * levels[:, None]
        both.append(permanova(between(points), levels, strata=strata, permutations=199, seed=seed).p)
    assert max(alone) <= 0.01
    # Twenty draws of a uniform p: more than five at or below 0.1 happen once in a hundred.
    assert np.sum(np.array(within) <= 0.1) <= 5
    assert 0.3 < np.mean(within) < 0.7
    assert max(both) <= 0.05


def test_strata_do_not_change_the_share_explained():
    points, labels = population((4, 9, 7), 1.0)
    strata = np.arange(20) % 2
    assert permanova(between(points), labels).r2 == permanova(between(points), labels, strata=strata).r2
    # One stratum for all is no stratum.
    assert permanova(between(points), labels) == permanova(between(points), labels, strata=["all"] * 20)


# ---- what does not matter ----


def test_names_of_levels_units_and_order_of_networks_do_not_matter():
    points, labels = population((4, 9, 7), 0.6)
    distances = between(points)
    expected = permanova(distances, labels, seed=3)
    assert expected == permanova(distances, labels, seed=3)
    assert 0.001 < expected.p < 0.9
    numbers = np.array([int(label[-1]) for label in labels])
    for renamed in (numbers, numbers / 7 + 1e-9, [str(number) for number in numbers], list(labels)):
        assert permanova(distances, renamed, seed=3) == expected
    assert permanova(distances, numbers == 0, seed=3) == permanova(distances, numbers == 0, seed=3)
    scaled = permanova(1e6 * distances, labels, seed=3)
    assert (scaled.r2, scaled.p) == (pytest.approx(expected.r2, rel=1e-12), expected.p)
    order = np.random.default_rng(1).permutation(20)
    reordered = permanova(distances[np.ix_(order, order)], labels[order], permutations=4999)
    assert reordered.r2 == pytest.approx(expected.r2, rel=1e-12)
    assert reordered.p == pytest.approx(permanova(distances, labels, permutations=4999).p, abs=0.04)


def test_the_seed_draws_the_permutations():
    points, labels = population((4, 9, 7), 0.3)
    ps = {permanova(between(points), labels, permutations=199, seed=seed).p for seed in range(8)}
    assert len(ps) > 1
    assert max(ps) - min(ps) < 0.2
    assert all(round(p * 200) == pytest.approx(p * 200) for p in ps)


# ---- silhouette ----


def test_silhouette_worked_by_hand():
    # At 0, 1 | 4, 6: a = 1, 1, 2, 2 and b = 5, 4, 3½, 5½.
    distances = between([[0.0], [1], [4], [6]])
    members = [4 / 5, 3 / 4, 1.5 / 3.5, 3.5 / 5.5]
    assert silhouette(distances, ["u", "u", "v", "v"]) == pytest.approx(np.mean(members), abs=1e-12)
    # A network alone in its group counts 0.
    distances = between([[0.0], [1], [4], [6], [100]])
    assert silhouette(distances, [0, 0, 1, 1, 2]) == pytest.approx(sum(members) / 5, abs=1e-12)
    # Misassigned: 0, 4 | 1, 6, with a = 4, 4, 5, 5 and b = 3½, 2½, 2, 4.
    distances = between([[0.0], [4], [1], [6]])
    assert silhouette(distances, list("uuvv")) == pytest.approx(
        np.mean([-0.5 / 4, -1.5 / 4, -3 / 5, -1 / 5]), abs=1e-12
    )


def test_silhouette_is_scikit_learns_of_the_points():
    points, labels = population((4, 9, 7), 2.0)
    assert silhouette(between(points), labels) == pytest.approx(
        sklearn.metrics.silhouette_score(points, labels), abs=1e-12
    )
    assert silhouette(between(population((9, 9), 50.0)[0]), population((9, 9), 50.0)[1]) > 0.9


def test_silhouette_and_accuracy_without_each_network():
    points, labels = population((4, 9, 7), 1.0)
    points[3] = points[4]  # neighbours that share a vote
    levels, distances = np.unique(labels, return_inverse=True)[1], between(points)
    for network in range(20):
        rest = np.delete(np.arange(20), network)
        some = distances[np.ix_(rest, rest)]
        assert silhouette_without_each(distances, levels)[network] == pytest.approx(silhouette(some, levels[rest]))
        expected = nearest_neighbour_accuracy(some, levels[rest], 1).accuracy
        assert accuracy_without_each(distances, levels)[network] == pytest.approx(expected)


# ---- nearest neighbours ----


def test_nearest_neighbours_worked_by_hand():
    # At 0, 1, 3, 7: the nearest are 1, 0, 1, 3.
    distances = between([[0.0], [1], [3], [7]])
    assert nearest_neighbour_accuracy(distances, list("aabb")).accuracy == pytest.approx(3 / 4, abs=1e-12)
    assert nearest_neighbour_accuracy(distances, list("abaa")).accuracy == pytest.approx(1 / 4, abs=1e-12)
    # At 0, 1, 2: the middle one's vote is shared.
    distances = between([[0.0], [1], [2]])
    assert nearest_neighbour_accuracy(distances, list("aab")).accuracy == pytest.approx((1 + 1 / 2) / 3, abs=1e-12)
    assert nearest_neighbour_accuracy(distances, list("baa")).accuracy == pytest.approx((1 + 1 / 2) / 3, abs=1e-12)
    # However rounding has it: 0.3 − 0.2 < 0.2 − 0.1.
    distances = between([[0.1], [0.2], [0.3]])
    assert nearest_neighbour_accuracy(distances, list("aab")).accuracy == pytest.approx((1 + 1 / 2) / 3, abs=1e-12)
    # All equally near: each network's accuracy is the share of its label among the others.
    expected = (2 * (1 / 4) + 3 * (2 / 4)) / 5
    accuracy, p = nearest_neighbour_accuracy(0.1 * (1 - np.eye(5)), list("ababb"))
    assert (accuracy, p) == (pytest.approx(expected, abs=1e-12), 1)


def test_nearest_neighbours_are_scikit_learns_leaving_one_out():
    points, labels = population((4, 9, 7), 1.5)
    one = sklearn.neighbors.KNeighborsClassifier(n_neighbors=1)
    scores = sklearn.model_selection.cross_val_score(one, points, labels, cv=sklearn.model_selection.LeaveOneOut())
    accuracy, p = nearest_neighbour_accuracy(between(points), labels)
    assert accuracy == pytest.approx(scores.mean(), abs=1e-12)
    assert p < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_nearest_neighbours_p_is_the_share_of_all_orders(seed):
    distances = between(np.random.default_rng(seed).normal(size=(6, 2)))
    labels = np.array(list("aabbab"))
    nearest = (distances + np.diag([np.inf] * 6)).argmin(axis=1)
    accuracies = [(np.array(order) == np.array(order)[nearest]).mean() for order in itertools.permutations(labels)]
    expected = np.mean(np.array(accuracies) >= (labels == labels[nearest]).mean() - 1e-9)
    accuracy, p = nearest_neighbour_accuracy(distances, labels, permutations=3000, seed=seed)
    assert accuracy == pytest.approx((labels == labels[nearest]).mean(), abs=1e-12)
    assert abs(p - expected) <= 4 * np.sqrt(expected * (1 - expected) / 3000) + 1 / 3000


def test_nearest_neighbours_p_within_strata_is_the_share_of_all_orders_there():
    random = np.random.default_rng(2)
    distances = squareform(pdist(random.normal(size=(8, 2))))
    groups, strata = list("abababab"), list("xxxxyyyy")
    accuracy, p = nearest_neighbour_accuracy(distances, groups, 20_000, strata=strata)
    orders = [
        nearest_neighbour_accuracy(distances, [*first, *second], 1).accuracy
        for first in itertools.permutations(groups[:4])
        for second in itertools.permutations(groups[4:])
    ]
    assert p == pytest.approx(np.mean(np.array(orders) >= accuracy - 1e-12), abs=0.015)


def test_nearest_neighbours_find_chance_without_an_effect():
    # (m − 1)/(n − 1) for groups of m, and p at its nominal rate at most, for accuracies tie.
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 6)
    results = [
        nearest_neighbour_accuracy(between(random.normal(size=(18, 3))), labels, permutations=59, seed=seed)
        for seed in range(200)
    ]
    spread = np.std([result.accuracy for result in results]) / np.sqrt(200)
    assert abs(np.mean([result.accuracy for result in results]) - 5 / 17) < 4 * spread
    for level in (0.05, 0.1, 0.25):
        assert np.mean([result.p <= level + 1e-9 for result in results]) < level + 3 * np.sqrt(level / 200)


@pytest.mark.parametrize("permutations", [0, -1])
def test_nearest_neighbours_need_a_permutation(permutations):
    with pytest.raises(ValueError, match=f"permutations is {permutations}; expected at least 1"):
        nearest_neighbour_accuracy(SQUARE, list("aabb"), permutations=permutations)


# ---- what does not depend on how it is computed ----


@pytest.mark.parametrize("statistic", [permanova, nearest_neighbour_accuracy])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_size_of_the_batches_changes_no_number(statistic, batch, monkeypatch):
    points, labels = population((4, 9, 7), 0.4)
    expected = statistic(between(points), labels, permutations=200)
    monkeypatch.setattr("dynatlas.statistics.permanova.BATCH", batch)
    assert statistic(between(points), labels, permutations=200) == expected


# ---- what they refuse ----


@pytest.mark.parametrize(
    ("distances", "groups", "message"),
    [
        (SQUARE, list("aab"), r"groups has shape \(3,\) for 4 networks; expected one label for each network"),
        (SQUARE, [["a"], ["a"], ["b"], ["b"]], r"groups has shape \(4, 1\) for 4 networks"),
        (SQUARE, "aabb", r"groups has shape \(\) for 4 networks"),
        (SQUARE, list("aaaa"), "groups have 1 levels for 4 networks; expected at least 2 levels"),
        (SQUARE, list("abcd"), "groups have 4 levels for 4 networks; .* at least one level with two networks"),
        (
            SQUARE,
            ["a", None, None, "b"],
            r"groups has no label for 2 of 4 networks \(first: number 1\); leave those out",
        ),
        (SQUARE, [1.0, 1.0, 2.0, np.nan], r"groups has no label for 1 of 4 networks \(first: number 3\)"),
        (SQUARE, ["a", "a", "b", np.nan], r"groups has no label for 1 of 4 networks \(first: number 3\)"),
        (np.zeros((0, 0)), [], "groups have 0 levels for 0 networks"),
        (SQUARE[:3], list("aab"), r"distances have shape \(3, 4\); expected a square matrix"),
        (-np.array(SQUARE), list("aabb"), "distances go down to -9"),
        (np.triu(SQUARE), list("aabb"), "distances differ from their transpose by 9"),
        (np.eye(4), list("aabb"), "network 0 has distance 1 from itself"),
        (np.where(np.eye(4), 0, np.nan), list("aabb"), "distances are NaN or infinite; leave out 3 of 4 networks"),
    ],
)
@pytest.mark.parametrize("statistic", [permanova, silhouette, nearest_neighbour_accuracy])
def test_bad_distances_and_groups(statistic, distances, groups, message):
    with pytest.raises(ValueError, match=message):
        statistic(distances, groups)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permutations": 0}, "permutations is 0; expected at least 1"),
        ({"permutations": -5}, "permutations is -5; expected at least 1"),
        ({"strata": [0, None, 0, 1]}, r"strata has no label for 1 of 4 networks \(first: number 1\)"),
        ({"strata": [0, 0, 1]}, r"strata has shape \(3,\) for 4 networks; expected one label for each network"),
        ({"strata": [0, 0, 1, 1]}, "within each of the 2 strata all networks have the same level, so that nothing can"),
        ({"strata": [0, 1, 2, 3]}, "within each of the 4 strata all networks have the same level.* use coarser strata"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        permanova(SQUARE, list("aabb"), **settings)


def test_no_variance_to_explain():
    with pytest.raises(ValueError, match="all distances are 0; there is no variance to explain"):
        permanova(np.zeros((4, 4)), list("aabb"))
