import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas import statistics
from dynatlas.statistics import nearest_neighbour_accuracy, permanova, silhouette


def distances_between(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def population(seed, shift=0.0, n=24, levels=3):
    """Networks in a 4-dimensional space whose groups, of different sizes, lie ``shift`` apart."""
    random = np.random.default_rng(seed)
    groups = np.sort(
        np.concatenate([np.arange(levels), np.arange(levels), random.integers(levels, size=n - 2 * levels)])
    )
    places = random.normal(size=(n, 4))
    places[:, 0] += shift * groups
    return distances_between(places), groups


def pseudo_f(r2, levels, n):
    return (r2 / (levels - 1)) / ((1 - r2) / (n - levels))


# PERMANOVA.


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_r2_is_that_of_the_analysis_of_variance(seed, levels):
    # For Euclidean distances SS are sums of squares around centroids, which need no distances at all.
    random = np.random.default_rng(seed)
    places = random.normal(size=(15, 3))
    groups = np.concatenate([np.arange(levels), random.integers(levels, size=15 - levels)])
    total = ((places - places.mean(axis=0)) ** 2).sum()
    within = sum(((places[groups == g] - places[groups == g].mean(axis=0)) ** 2).sum() for g in range(levels))
    r2, _ = permanova(distances_between(places), groups, permutations=9)
    assert r2 == pytest.approx(1 - within / total, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_agrees_with_scikit_bio(shift):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, at import
        import skbio.stats.distance

    matrix, groups = population(3, shift)
    r2, p = permanova(matrix, groups, permutations=4999)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = skbio.stats.distance.permanova(
            skbio.stats.distance.DistanceMatrix(matrix), groups.astype(str), permutations=4999, seed=1
        )
    assert pseudo_f(r2, 3, 24) == pytest.approx(peer["test statistic"], rel=1e-9)
    # Two samples of 4,999 permutations: four standard errors of their difference.
    assert p == pytest.approx(peer["p-value"], abs=4 * np.sqrt(2 * max(p * (1 - p), 1e-3) / 4999))


def test_p_is_the_exact_one_where_all_permutations_can_be_counted():
    places = np.array([0.0, 1.1, 2.3, 5.2, 1.9, 9.7])[:, None]
    groups = np.array([0, 0, 0, 1, 1, 1])
    matrix = distances_between(places)
    shares = []
    for members in itertools.combinations(range(6), 3):
        labels = np.isin(np.arange(6), members).astype(int)
        shares.append(sum(places[labels == g].var() * 3 for g in (0, 1)))
    observed = sum(places[groups == g].var() * 3 for g in (0, 1))
    exact = np.mean(np.array(shares) <= observed + 1e-9)
    assert 0.05 < exact < 0.95
    assert permanova(matrix, groups, permutations=9999).p == pytest.approx(exact, abs=0.02)


def test_a_planted_effect_is_found():
    r2, p = permanova(*population(0, shift=3))
    assert r2 > 0.4
    assert p == 1 / 1000  # no permutation does as well: (1 + 0)/(1 + 999), never 0


def test_false_positives_are_nominal():
    hits = [permanova(*population(seed), permutations=99, seed=seed).p for seed in range(200)]
    # Under the null p is uniform. 200 × 0.05 = 10 ± 3.1 below 0.05; 200 × 0.5 = 100 ± 7 below 0.5.
    assert 1 <= np.sum(np.array(hits) <= 0.05) <= 22
    assert 72 <= np.sum(np.array(hits) <= 0.5) <= 128


def confounded(seed):
    """Strata lie far apart and hold different mixtures of the two groups; within a stratum, groups do not differ."""
    random = np.random.default_rng(seed)
    strata = np.repeat([0, 1], 20)
    groups = np.concatenate([np.repeat([0, 1], [16, 4]), np.repeat([0, 1], [4, 16])])
    return distances_between(random.normal(size=(40, 3)) + 4 * strata[:, None]), groups, strata


def test_an_effect_of_the_strata_is_not_the_factors():
    assert all(permanova(*confounded(seed)[:2], permutations=199).p <= 0.01 for seed in range(10))
    within = np.array([permanova(*confounded(seed), permutations=99, seed=seed).p for seed in range(100)])
    assert np.sum(within <= 0.05) <= 13  # 5 expected, sd 2.2
    assert 35 <= np.sum(within <= 0.5) <= 65


def test_an_effect_within_the_strata_is_found_although_they_differ_more():
    random = np.random.default_rng(0)
    strata, groups = np.repeat(["s", "t"], 20), np.tile(["a", "b"], 20)
    places = random.normal(size=(40, 2)) + 30 * (strata == "s")[:, None]
    places[:, 0] += 2.5 * (groups == "a")
    # Exchanged between strata, labels gain and lose by the strata's own distance, which drowns the factor.
    assert permanova(distances_between(places), groups, strata).p <= 0.01
    assert permanova(distances_between(places), groups).p > 0.01


def test_one_stratum_is_no_stratum():
    matrix, groups = population(1, shift=0.7)
    assert permanova(matrix, groups, np.zeros(24)) == permanova(matrix, groups)


def test_labels_stay_in_their_strata_and_every_order_is_as_likely():
    levels, blocks = np.array([0, 1, 2, 3, 4, 5]), np.array([1, 0, 1, 0, 1, 0])
    drawn = np.concatenate(list(statistics._permutations(levels, blocks, 3600, seed=0)))
    assert drawn.shape == (3600, 6)
    np.testing.assert_array_equal(np.sort(drawn[:, [0, 2, 4]], axis=1), np.tile([0, 2, 4], (3600, 1)))
    np.testing.assert_array_equal(np.sort(drawn[:, [1, 3, 5]], axis=1), np.tile([1, 3, 5], (3600, 1)))
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 36  # 3! orders in either stratum
    assert ((counts - 100) ** 2 / 100).sum() < 67  # χ² with 35 degrees of freedom, p = 0.001


def test_batches_of_permutations_change_no_number(monkeypatch):
    matrix, groups = population(2, shift=0.4)
    results = []
    for batch in (1, 7, 64, 1000):
        monkeypatch.setattr(statistics, "BATCH", batch)
        results.append((*permanova(matrix, groups, groups % 2 == 0), *nearest_neighbour_accuracy(matrix, groups)))
    assert results[1:] == results[:-1]


def test_results_are_reproducible_and_seeded():
    matrix, groups = population(5, shift=0.3)
    assert permanova(matrix, groups) == permanova(matrix, groups)
    assert len({permanova(matrix, groups, seed=seed).p for seed in range(5)}) > 1


def test_neither_names_of_levels_nor_order_of_networks_matter():
    matrix, groups = population(4, shift=0.6)
    order = np.random.default_rng(0).permutation(24)
    names = np.array(["tanh", "relu", "other"])[groups]
    shuffled = matrix[np.ix_(order, order)]
    assert permanova(shuffled, names[order]).r2 == pytest.approx(permanova(matrix, groups).r2, abs=1e-12)
    assert silhouette(shuffled, names[order]) == pytest.approx(silhouette(matrix, groups), abs=1e-12)
    accuracy = nearest_neighbour_accuracy(matrix, groups).accuracy
    assert nearest_neighbour_accuracy(shuffled, names[order]).accuracy == pytest.approx(accuracy, abs=1e-12)


def test_result_has_the_two_fields_of_the_contract():
    assert permanova(*population(0))._fields == ("r2", "p")


# Silhouette and nearest neighbours.


def test_silhouette_by_hand():
    # Points 0, 1 | 4, 6: a = 1, 1, 2, 2 and b = 5, 4, 3.5, 5.5.
    expected = np.mean([1 - 1 / 5, 1 - 1 / 4, 1 - 2 / 3.5, 1 - 2 / 5.5])
    matrix = distances_between(np.array([[0.0], [1], [4], [6]]))
    assert silhouette(matrix, ["a", "a", "b", "b"]) == pytest.approx(expected, abs=1e-12)
    assert silhouette(matrix, ["a", "b", "a", "b"]) < 0


def test_nearest_neighbours_by_hand():
    # 0 → 1, 1 → 0, 4 → 6 and 6 → 4; with the labels below only the first two are right.
    matrix = distances_between(np.array([[0.0], [1], [4], [6]]))
    assert nearest_neighbour_accuracy(matrix, ["a", "a", "b", "c"]).accuracy == 0.5
    assert nearest_neighbour_accuracy(matrix, ["a", "a", "b", "b"]).accuracy == 1
    assert nearest_neighbour_accuracy(matrix, ["a", "b", "a", "b"]).accuracy == 0


def test_equally_near_neighbours_share_the_vote():
    # All three others are equally near: each network of a pair has one of three votes.
    accuracy, p = nearest_neighbour_accuracy(1 - np.eye(4), ["a", "a", "b", "b"])
    assert accuracy == pytest.approx(1 / 3, abs=1e-12)
    assert p == 1  # every permutation does as well


def test_nearest_neighbours_agree_with_scikit_learn():
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    random = np.random.default_rng(0)
    groups = random.integers(3, size=40)
    places = random.normal(size=(40, 2)) + 1.5 * groups[:, None]
    expected = cross_val_score(KNeighborsClassifier(1), places, groups, cv=LeaveOneOut()).mean()
    accuracy, p = nearest_neighbour_accuracy(distances_between(places), groups)
    assert accuracy == pytest.approx(expected, abs=1e-12)
    assert p <= 0.01


def test_neighbours_of_unrelated_labels_are_not_significant_more_often_than_nominal():
    values = np.array([nearest_neighbour_accuracy(*population(seed), 99, seed).p for seed in range(200)])
    assert np.sum(values <= 0.05) <= 22  # at most 10 expected: ties make it conservative
    assert 72 <= np.sum(values <= 0.6) <= 145


# What the guards say.

MATRIX = population(0)[0]
HALVES = np.repeat([0, 1], 12)


@pytest.mark.parametrize("statistic", [permanova, silhouette, nearest_neighbour_accuracy])
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(24), "groups have 1 levels for 24 networks; expected at least 2"),
        (np.arange(24), "groups have 24 levels for 24 networks; .*at least one level with two networks"),
        (HALVES[:20], r"groups has shape \(20,\) for 24 networks; expected one label for each"),
        (HALVES[:, None], r"groups has shape \(24, 1\) for 24 networks"),
        ([None, "a", *"ab" * 11], r"groups has no label for 1 of 24 networks \(first: number 0\)"),
        (
            np.where(np.arange(24) > 20, np.nan, HALVES),
            r"groups has no label for 3 of 24 networks \(first: number 21\)",
        ),
    ],
)
def test_bad_groups_are_explained(statistic, groups, message):
    with pytest.raises(ValueError, match=message):
        statistic(MATRIX, groups)


@pytest.mark.parametrize("statistic", [permanova, silhouette, nearest_neighbour_accuracy])
def test_bad_distances_are_explained(statistic):
    with pytest.raises(ValueError, match="leave out 1 of 24 networks: 3"):
        statistic(np.where((np.arange(24) == 3) | (np.arange(24) == 3)[:, None], np.nan, MATRIX), HALVES)
    with pytest.raises(ValueError, match=r"expected 0\. Turn a similarity into a distance"):
        statistic(1 - MATRIX / MATRIX.max(), HALVES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strata": HALVES}, "within each of the 2 strata all networks have the same level, so that nothing can be"),
        ({"strata": np.arange(24)}, "within each of the 24 strata .* use coarser strata"),
        ({"strata": HALVES[:5]}, r"strata has shape \(5,\) for 24 networks"),
        ({"permutations": 0}, "permutations is 0; expected at least 1"),
    ],
)
def test_bad_permutations_are_explained(settings, message):
    with pytest.raises(ValueError, match=message):
        permanova(MATRIX, HALVES, **settings)


def test_no_variance_is_nothing_to_explain():
    with pytest.raises(ValueError, match="all distances are 0; there is no variance to explain"):
        permanova(np.zeros((24, 24)), HALVES)
