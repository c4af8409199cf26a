"""Activities that the measures of geometry accept, and those that they refuse."""

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from dynatlas import distance, distance_matrix
from dynatlas.measures.geometry.cca import SVCCA
from dynatlas.measures.geometry.rsa import RSA
from support.activities import CORRELATED, OF_SAMPLES, SCALED, VARIANTS, cka, networks


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_float32_gives_the_same(measure, options):
    X, Y = networks(8, 11)
    single = [activity.astype(np.float32) for activity in (X, Y)]
    result = distance(*single, measure, **options)
    assert result == pytest.approx(distance(X, Y, measure, **options), abs=1e-4)
    # Computed in float64 throughout: the rounding of the input is all the difference there is.
    assert result == distance(*(activity.astype(np.float64) for activity in single), measure, **options)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("measure", OF_SAMPLES)
def test_scale_neither_overflows_nor_vanishes(measure, scale):
    X, Y = networks(8, 11)
    assert distance(scale * X, Y, measure) == pytest.approx(distance(X, Y, measure), abs=1e-10)


@pytest.mark.parametrize(
    ("measure", "options"),
    [variant for variant in VARIANTS if variant[1] != CORRELATED and variant[0] != "soft_matching"],
)
def test_constant_units_do_not_matter(measure, options):
    X, Y = networks(8, 11)
    # The mean of so many 0.1 is not exactly 0.1.
    padded = np.insert(X, [0, 4, 8], [0.1, 1e6 / 3, -1 / 3], axis=1)
    assert distance(padded, Y, measure, **options) == pytest.approx(distance(X, Y, measure, **options), abs=1e-9)


@pytest.mark.parametrize("noise", [0, 1e-15, 1e-9, 1e-8])
def test_duplicate_units_add_no_dimension(noise):
    X, Y = networks(6, 5)
    twice = np.hstack([X, X + noise * np.random.default_rng(0).normal(size=X.shape)])
    assert SVCCA(variance=1.0).reduce(twice - twice.mean(axis=0))["basis"].shape == (120, 6)
    # Rotated and scaled alike, all else is as if each unit counted √2.
    tolerance = 1e-10 + 100 * noise
    for measure, options in VARIANTS:
        if options in (SCALED, CORRELATED):
            continue
        expected = distance(X, Y, measure, **options)
        # Noise above rounding may be activity: without a ridge, that is said.
        is_doubtful = noise > 1e-14 and options == {"regularization": 0}
        with pytest.warns(UserWarning, match="condition number") if is_doubtful else nullcontext():
            assert distance(twice, Y, measure, **options) == pytest.approx(expected, abs=tolerance), measure
            assert distance(twice, X, measure, **options) < tolerance, measure


def test_a_weak_dimension_above_rounding_counts():
    X, Y = networks(6, 5)
    # A difference of 1e-4 between two units is a dimension to CCA as good as any other: here, Y's first unit.
    weak = np.hstack([X, X[:, :1] + 1e-4 * Y[:, :1]])
    assert distance(weak, Y[:, :1], variance=1.0) == pytest.approx(6 / 7, abs=1e-9)  # one of seven is found again
    assert distance(weak, Y, variance=1.0) == pytest.approx(
        distance(np.hstack([X, Y[:, :1]]), Y, variance=1.0), abs=1e-9
    )
    assert distance(X, Y[:, :1], variance=1.0) > 5 / 6 + 0.003
    # The covariance knows that dimension's direction to few digits; the basis is orthonormal to the last nevertheless.
    weak = np.hstack([X, X[:, :1] + 1e-5 * Y[:, :1]])
    basis = SVCCA(variance=1.0).reduce(weak - weak.mean(axis=0))["basis"]
    np.testing.assert_allclose(basis.T @ basis, np.eye(7), rtol=0, atol=1e-13)


def test_an_iterable_is_read_once_and_one_network_at_a_time():
    activities = networks(8, 8, 8)
    expected = distance_matrix(activities, "cka")
    reads = []

    def stream():
        buffer = np.empty_like(activities[0])
        for position, activity in enumerate(activities):
            reads.append(position)
            # The same memory again: whoever kept the array and not what it says would compare a network with itself.
            buffer[:] = activity
            yield buffer

    for measure in OF_SAMPLES:
        reads.clear()
        streamed = distance_matrix(stream(), measure)
        assert reads == [0, 1, 2]
        np.testing.assert_array_equal(streamed, distance_matrix(activities, measure))
    assert expected.network.values.tolist() == ["0", "1", "2"]


def test_names_come_from_mappings_pairs_and_positions():
    activities = networks(8, 8, 8)
    expected = distance_matrix(activities, "procrustes").values
    for given_as, names in (
        (dict(zip("abc", activities, strict=True)), ["a", "b", "c"]),
        (zip("abc", activities, strict=True), ["a", "b", "c"]),
        ({7: activities[0], 8: activities[1], 9: activities[2]}, ["7", "8", "9"]),
        (np.stack(activities), ["0", "1", "2"]),
        (tuple(activity.tolist() for activity in activities), ["0", "1", "2"]),
    ):
        matrix = distance_matrix(given_as, "procrustes")
        np.testing.assert_array_equal(matrix, expected)
        assert matrix.network.values.tolist() == matrix.other_network.values.tolist() == names


def test_matrix_says_what_it_is():
    activities = dict(zip("ab", networks(8, 11), strict=True))
    matrix = distance_matrix(activities, "rsa", correlation="pearson")
    assert matrix.dims == ("network", "other_network")
    assert matrix.name == "rsa"
    assert matrix.attrs.items() >= {"measure": "rsa", "correlation": "pearson", "dissimilarity": "euclidean"}.items()
    assert distance_matrix(activities, "svcca", components=3).attrs["components"] == 3
    assert float(matrix.sel(network="b", other_network="a")) == pytest.approx(
        distance(*activities.values(), "rsa", correlation="pearson"), abs=1e-14
    )


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("measure", OF_SAMPLES)
def test_no_network_or_one(measure, count):
    matrix = distance_matrix(networks(*[5] * count), measure)
    assert matrix.shape == (count, count)
    assert not matrix.values.any()


def test_the_activity_given_is_not_changed():
    activities = networks(8, 11)
    before = [activity.copy() for activity in activities]
    for measure, options in VARIANTS:
        distance_matrix(activities, measure, **options)
    for activity, copy in zip(activities, before, strict=True):
        np.testing.assert_array_equal(activity, copy)


def test_whole_numbers_and_truth_values_are_numbers():
    X = np.random.default_rng(0).integers(-5, 5, size=(60, 4))
    Y = np.random.default_rng(1).random(size=(60, 3)) < 0.5
    assert distance(X, Y, "cka") == pytest.approx(cka(X.astype(float), Y.astype(float)), abs=1e-12)


def damaged(how):
    good = networks(4)[0]
    infinite = good.copy()
    infinite[5, 3] = -np.inf
    return {
        "flat": good[:, 0],
        "cube": good[None],
        "no units": good[:, :0],
        "NaN": np.where(np.arange(4) >= 2, np.nan, good),
        "infinite": infinite,
        "one sample": good[:1],
        "none": good[:0],
        "constant": np.full((120, 4), 0.1),
        "zero": np.zeros((120, 4)),
        "complex": good + 0j,
        "text": [["a", "b"], ["c", "d"]],
        "ragged": [[1.0, 2.0], [3.0]],
        "short": good[:100],
    }[how]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("flat", r"network bad has activity of shape \(120,\); expected \[samples, units\]"),
        ("cube", r"network bad has activity of shape \(1, 120, 4\); expected \[samples, units\]"),
        ("no units", r"network bad has activity of shape \(120, 0\); expected \[samples, units\]"),
        ("NaN", r"network bad has NaN or infinity in 2 of 4 units \(first: unit 2\); leave the network out"),
        ("infinite", r"network bad has NaN or infinity in 1 of 4 units \(first: unit 3\)"),
        ("one sample", "network bad has 1 samples; expected at least 2"),
        ("none", "network bad has 0 samples; expected at least 2"),
        ("constant", "network bad has constant activity in all 4 units; leave the network out"),
        ("zero", "network bad has constant activity in all 4 units"),
        ("complex", "network bad has activity that is not an array of real numbers: .*complex128"),
        ("text", "network bad has activity that is not an array of real numbers: .*could not convert"),
        ("ragged", "network bad has activity that is not an array of real numbers: .*inhomogeneous"),
        (
            "short",
            "network bad has 100 samples and network good has 120; show all networks the same samples in the same",
        ),
    ],
)
@pytest.mark.parametrize("measure", ["svcca", "procrustes"])
def test_bad_activity_is_named(measure, how, message):
    with pytest.raises(ValueError, match=message):
        distance_matrix({"good": networks(5)[0], "bad": damaged(how)}, measure)
    with pytest.raises(
        ValueError, match=message.replace("network bad", "network Y").replace("network good", "network X")
    ):
        distance(networks(5)[0], damaged(how), measure)


def test_two_networks_of_one_name():
    X, Y = networks(5, 6)
    with pytest.raises(ValueError, match="two networks are named a; names must differ"):
        distance_matrix([("a", X), ("a", Y)])
    with pytest.raises(ValueError, match="two networks are named 1"):
        distance_matrix({1: X, "1": Y})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("svca", "unknown measure 'svca'; did you mean 'svcca'"),
        ("CKA", "unknown measure 'CKA'; did you mean 'cka'"),
        ("procrustean", "did you mean 'procrustes'"),
        (
            "mutual information",
            "expected one of behavior, cca, cka, dsa, input_dsa, predictivity, procrustes, pwcca, rbf_cka, "
            "robustness, rsa, soft_matching, svcca, weights",
        ),
        ("weights", "the measure 'weights' compares weights, not activity; use dynatlas.weight_distance"),
        ("behavior", "compares errors under variations of the task, not activity; use dynatlas.profile_distance"),
        ("transition_graph", "compares transition graph, not activity$"),
    ],
)
def test_unknown_measure(name, message):
    X, Y = networks(5, 6)
    with pytest.raises(ValueError, match=message):
        distance(X, Y, name)
    with pytest.raises(ValueError, match=message):
        distance_matrix([X, Y], name)


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        ("svcca", {"varience": 0.9}, "svcca has no option 'varience'; it has: variance, components, per_network"),
        ("cka", {"variance": 0.9}, "cka has no option 'variance'; it has: debiased, tolerance"),
        ("rsa", {"max_samples": 9}, "rsa has no option 'max_samples'; it has: correlation, dissimilarity"),
        ("svcca", {"variance": 0}, r"variance is 0; expected a share in \(0, 1\]"),
        ("svcca", {"variance": -0.5}, "variance is -0.5; expected a share"),
        ("svcca", {"variance": 95}, "variance is 95; expected a share"),
        ("svcca", {"variance": float("nan")}, "variance is nan; expected a share"),
        ("svcca", {"components": 0}, "components is 0; expected a whole number of at least 1, or None"),
        ("svcca", {"components": -3}, "components is -3; expected a whole number"),
        ("cca", {"regularization": -1}, "regularization is -1; expected a number of at least 0"),
        ("cca", {"held_out": 1}, r"held_out is 1; expected a share in \[0, 1\)"),
        ("cka", {"tolerance": 1}, r"tolerance is 1; expected a number in \[0, 1\)"),
        ("cka", {"debiased": 1}, "debiased is 1; expected True or False"),
        ("procrustes", {"euclidean": "yes"}, "euclidean is 'yes'; expected True or False"),
        ("procrustes", {"alpha": 2}, r"alpha is 2; expected a number in \[0, 1\], or None"),
        ("rbf_cka", {"bandwidth": 0}, "bandwidth is 0; expected a number above 0"),
        ("rbf_cka", {"samples": 2}, "samples is 2; expected a whole number of at least 3, or None"),
        ("predictivity", {"held_out": 0}, r"held_out is 0; expected a share in \(0, 1\)"),
        ("predictivity", {"folds": 1}, "folds is 1; expected a whole number of at least 2"),
        ("predictivity", {"folds": 60}, "held_out=0.2 and folds=60 of 120 samples leave parts of less than 2 samples"),
        ("soft_matching", {"alpha": 1}, "soft_matching has no option 'alpha'; it has: none"),
        ("rsa", {"dissimilarity": "cosine"}, "dissimilarity is 'cosine'; expected 'euclidean' or 'correlation'"),
        ("rsa", {"correlation": "kendall"}, "correlation is 'kendall'; expected 'spearman', 'pearson' or 'cosine'"),
    ],
)
def test_bad_options(measure, options, message):
    X, Y = networks(5, 6)
    with pytest.raises(ValueError, match=message):
        distance(X, Y, measure, **options)
    with pytest.raises(ValueError, match=message):
        distance_matrix([X, Y], measure, **options)


def test_rsa_refuses_too_many_samples_before_it_allocates_them():
    X = np.random.default_rng(0).normal(size=(RSA.max_samples + 1, 2))
    with pytest.raises(ValueError, match="network a: rsa compares all pairs of samples, and 4001 samples are too many"):
        distance_matrix({"a": X}, "rsa")


@pytest.mark.parametrize("X", [[[0.0], [1.0]], np.eye(3)], ids=["two samples", "an equilateral triangle"])
def test_rsa_refuses_samples_that_are_all_equally_far_apart(X):
    with pytest.raises(
        ValueError, match="network X: rsa needs at least three samples that are not all equally far apart"
    ):
        distance(X, X, "rsa")


@pytest.mark.parametrize(("samples", "certain"), [(15, 5), (18, 2), (19, 1)])
@pytest.mark.parametrize(("measure", "options"), [("svcca", {"variance": 1.0}), ("pwcca", {})])
def test_too_few_samples_are_said(samples, certain, measure, options):
    # Noise that has nothing in common: 8 + 11 dimensions, of which samples − 1 have room.
    random = np.random.default_rng(0)
    narrow, wide, tiny = (random.normal(size=(samples, units)) for units in (8, 11, 2))
    message = rf"{samples} samples are few for networks n and w, which have 19 dimensions together: {certain} of their"
    with pytest.warns(UserWarning, match=message):
        result = distance_matrix({"t": tiny, "n": narrow, "w": wide}, measure, **options)
    assert np.isfinite(result).all()
    # The claim itself, by an independent computation: so many canonical correlations are 1.
    bases = [scipy.linalg.orth(activity - activity.mean(axis=0)) for activity in (narrow, wide)]
    assert (np.cos(scipy.linalg.subspace_angles(*bases)) > 1 - 1e-12).sum() == certain
    with pytest.warns(UserWarning, match=f"{samples} samples are few for networks X and Y"):
        distance(narrow, wide, measure, **options)


def test_enough_samples_are_not_warned_of():
    random = np.random.default_rng(0)
    narrow, wide = (random.normal(size=(20, units)) for units in (8, 11))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert distance(narrow, wide, variance=1.0) > 0.01
        for measure in ("cka", "procrustes", "rsa"):
            distance(narrow[:12], wide[:12], measure)
        distance(narrow[:9], wide[:9], components=3)
