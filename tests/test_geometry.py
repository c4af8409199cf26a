import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from dynatlas import distance, distance_matrix
from dynatlas.geometry import MEASURES, RSA, SVCCA

ROTATION_INVARIANT = ("svcca", "cka", "procrustes", "rsa")
VARIANTS = [
    ("svcca", {}),
    ("svcca", {"variance": 0.8}),
    ("svcca", {"variance": 1.0}),
    ("svcca", {"components": 4}),
    ("pwcca", {}),
    ("cka", {}),
    ("procrustes", {}),
    ("rsa", {}),
    ("rsa", {"correlation": "pearson"}),
]


def networks(*widths, seed=0, samples=120):
    """Networks that share six latent variables, so that no distance is near 0 or near its largest value."""
    random = np.random.default_rng(seed)
    latents = random.normal(size=(samples, 6)) * [3, 2, 1.5, 1, 0.7, 0.5]
    return [
        np.tanh(latents @ random.normal(size=(6, width)) / 2)
        + 0.3 * random.normal(size=(samples, width))
        + random.normal(size=width)
        for width in widths
    ]


def rotation(units, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]


# ---- the same numbers, computed another way ----


def independent(X, Y, measure, **options):
    return {"svcca": svcca, "pwcca": pwcca, "cka": cka, "procrustes": procrustes, "rsa": rsa}[measure](X, Y, **options)


def svcca(X, Y, variance=0.95, components=None):
    """SVD of samples × units, and angles between subspaces."""
    bases = []
    for activity in (X, Y):
        left, singular, _ = np.linalg.svd(activity - activity.mean(axis=0), full_matrices=False)
        held = 0.0
        kept = 0
        while kept < len(singular) and (held < variance - 1e-9 if components is None else kept < components):
            held += singular[kept] ** 2 / (singular**2).sum()
            kept += 1
        bases.append(left[:, :kept])
    return 1 - np.cos(scipy.linalg.subspace_angles(*bases)).mean()


def pwcca(X, Y):
    """CCA by whitening: the SVD of C_xx^(−1/2) C_xy C_yy^(−1/2)."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    white_X, white_Y = (scipy.linalg.inv(scipy.linalg.sqrtm(activity.T @ activity).real) for activity in (X, Y))
    left, correlations, right = np.linalg.svd(white_X @ (X.T @ Y) @ white_Y, full_matrices=False)
    shares = []
    for variables, activity in ((X @ white_X @ left, X), (Y @ white_Y @ right.T, Y)):
        alpha = [
            sum(abs(variables[:, i] @ activity[:, j]) for j in range(activity.shape[1]))
            for i in range(len(correlations))
        ]
        shares.append(np.average(correlations, weights=alpha))
    return 1 - (shares[0] + shares[1]) / 2


def cka(X, Y):
    """HSIC of samples × samples kernels."""
    centring = np.eye(len(X)) - 1 / len(X)

    def hsic(A, B):
        return np.trace(A @ A.T @ centring @ B @ B.T @ centring)

    return 1 - hsic(X, Y) / np.sqrt(hsic(X, X) * hsic(Y, Y))


def procrustes(X, Y):
    """The angle, after rotation by SciPy's solution, between configurations as vectors."""
    width = max(X.shape[1], Y.shape[1])
    A, B = (np.pad(activity - activity.mean(axis=0), ((0, 0), (0, width - activity.shape[1]))) for activity in (X, Y))
    aligned = A @ scipy.linalg.orthogonal_procrustes(A, B)[0]
    return np.arccos((aligned * B).sum() / (np.linalg.norm(A) * np.linalg.norm(B)))


def rsa(X, Y, correlation="spearman"):
    statistic = scipy.stats.spearmanr if correlation == "spearman" else scipy.stats.pearsonr
    return 1 - statistic(pdist(X), pdist(Y)).statistic


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_agrees_with_an_independent_computation(measure, options):
    activities = networks(9, 9, 14, 5)
    matrix = distance_matrix(activities, measure, **options)
    expected = [
        [0.0 if i == j else independent(X, Y, measure, **options) for j, Y in enumerate(activities)]
        for i, X in enumerate(activities)
    ]
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-10)
    assert matrix.values[~np.eye(4, dtype=bool)].min() > 0.02
    for X, Y in ((activities[0], activities[2]), (activities[2], activities[0])):
        assert distance(X, Y, measure, **options) == pytest.approx(independent(X, Y, measure, **options), abs=1e-10)


@pytest.mark.parametrize("measure", ["svcca", "cka", "procrustes", "rsa"])
def test_agrees_with_an_independent_computation_when_units_outnumber_samples(measure):
    X, Y = networks(70, 50, samples=40)
    options = {"components": 8} if measure == "svcca" else {}
    assert distance(X, Y, measure, **options) == pytest.approx(independent(X, Y, measure, **options), abs=1e-10)


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 0.3, 1.2, np.pi / 2])
def test_two_directions_at_a_known_angle(angle):
    axes = np.random.default_rng(3).normal(size=(50, 2))
    first, second = np.linalg.qr(axes - axes.mean(axis=0))[0].T
    X = first[:, None]
    Y = (np.cos(angle) * first + np.sin(angle) * second)[:, None]
    assert distance(X, Y, "procrustes") == pytest.approx(angle, rel=1e-8)
    assert distance(X, Y, "svcca") == pytest.approx(1 - np.cos(angle), abs=1e-14)
    assert distance(X, Y, "pwcca") == pytest.approx(1 - np.cos(angle), abs=1e-14)
    assert distance(X, Y, "cka") == pytest.approx(np.sin(angle) ** 2, abs=1e-14)


def test_rsa_worked_by_hand():
    # Dissimilarities (1, 3, 2) and (2, 1, 1), centred (−1, 1, 0) and (2, −1, −1)/3: the correlation is −√3/2. Their
    # ranks (1, 3, 2) and (3, 1½, 1½) are proportional to them.
    X, Y = np.array([[0.0], [1], [3]]), np.array([[0.0], [2], [1]])
    for correlation in ("spearman", "pearson"):
        assert distance(X, Y, "rsa", correlation=correlation) == pytest.approx(1 + np.sqrt(3) / 2, abs=1e-11)
    assert distance(X, Y, "rsa") == distance(X, Y, "rsa", correlation="spearman")
    # (1, 9, 8) has the same ranks, and another correlation with (2, 1, 1).
    X = np.array([[0.0], [1], [9]])
    assert distance(X, Y, "rsa") == pytest.approx(1 + np.sqrt(3) / 2, abs=1e-11)
    assert distance(X, Y, "rsa", correlation="pearson") == pytest.approx(1 + 5 / np.sqrt(38 * 2 / 3), abs=1e-11)


def test_pwcca_worked_by_hand():
    # X = (3a, b) and Y = (a, c): ρ = 1 along a, which holds 3 of X's 4 and 1 of Y's 2, and 0 between b and c.
    axes = np.random.default_rng(3).normal(size=(50, 3))
    a, b, c = np.linalg.qr(axes - axes.mean(axis=0))[0].T
    X, Y = np.stack([3 * a, b], axis=1), np.stack([a, c], axis=1)
    assert distance(X, Y, "pwcca") == pytest.approx(1 - (3 / 4 + 1 / 2) / 2, abs=1e-12)
    assert distance(Y, X, "pwcca") == pytest.approx(1 - (3 / 4 + 1 / 2) / 2, abs=1e-12)
    assert distance(X, Y, "svcca", variance=1) == pytest.approx(1 / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("variance", "kept"), [(1e-6, 1), (0.9, 1), (0.9001, 2), (0.95, 2), (0.96, 2), (0.961, 3), (1.0, 3), (1, 3)]
)
def test_svcca_keeps_the_fewest_components_that_hold_the_variance(variance, kept):
    axes = np.random.default_rng(3).normal(size=(60, 6))
    axes = np.linalg.qr(axes - axes.mean(axis=0))[0]
    # Shares of 90, 6 and 4 % in both; they have the first component in common, and no other.
    Y = axes[:, [0, 3, 4]] * np.sqrt([90, 6, 4])
    # Rounding, which differs with the rotation, does not decide what exactly 90 % are.
    for seed in range(20):
        X = axes[:, :3] * np.sqrt([90, 6, 4]) @ rotation(5, seed)[:3] + 7
        assert SVCCA(variance=variance).reduce(X - X.mean(axis=0)).shape == (60, kept)
        assert distance(X, Y, variance=variance) == pytest.approx(1 - 1 / kept, abs=1e-12)


def test_svcca_with_a_fixed_number_of_components():
    X, Y = networks(9, 14)
    # The number replaces the share, whichever would keep more.
    for variance in (0.01, 1.0):
        assert distance(X, Y, components=5, variance=variance) == distance(X, Y, components=5)
    # Fewer where the network has fewer; then all there are.
    assert distance(X, Y, components=1000) == pytest.approx(distance(X, Y, variance=1.0), abs=1e-12)
    assert SVCCA(components=5).reduce(X - X.mean(axis=0)).shape == (120, 5)
    assert SVCCA(components=50).reduce(X - X.mean(axis=0)).shape == (120, 9)
    assert distance(X, Y, components=1) == pytest.approx(svcca(X, Y, components=1), abs=1e-12)


def test_svcca_is_the_default_at_95_percent():
    X, Y = networks(9, 14)
    assert distance(X, Y) == distance(X, Y, "svcca", variance=0.95)
    assert distance_matrix([X, Y]).attrs == {"measure": "svcca", "variance": 0.95}


# ---- what each measure does not see, and what it does ----


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_rotated_scaled_shifted_copies_are_the_same_network(measure, options):
    X, Y = networks(8, 11)
    copies = {
        "itself": X,
        "rotated": X @ rotation(8, 1),
        "scaled": 1e-3 * X,
        "shifted": X + np.linspace(-50, 50, 8),
        "reordered": X[:, ::-1],
        "all of it": 40 * X @ rotation(8, 2) - np.arange(8),
        "with silent units": np.hstack([X, np.full((120, 3), 2.5)]),
    }
    for name, copy in copies.items():
        assert 0 <= distance(X, copy, measure, **options) < 1e-9, name
        if measure in ROTATION_INVARIANT or name not in ("rotated", "all of it"):
            assert distance(copy, Y, measure, **options) == pytest.approx(
                distance(X, Y, measure, **options), abs=1e-9
            ), name


def test_rotation_changes_what_pwcca_weights():
    X, Y = networks(8, 11)
    assert distance(X @ rotation(8, 1), X, "pwcca") < 1e-9
    assert abs(distance(X @ rotation(8, 1), Y, "pwcca") - distance(X, Y, "pwcca")) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_an_invertible_map_is_invisible_to_cca_alone(seed):
    X, Y = networks(8, 11)
    mapped = X @ np.random.default_rng(seed).normal(size=(8, 8))
    assert distance(mapped, X, variance=1.0) < 1e-9
    assert distance(mapped, X, "pwcca") < 1e-9
    assert distance(mapped, Y, variance=1.0) == pytest.approx(distance(X, Y, variance=1.0), abs=1e-9)
    for measure in ("cka", "procrustes", "rsa"):
        assert distance(mapped, X, measure) > 0.01
        assert abs(distance(mapped, Y, measure) - distance(X, Y, measure)) > 1e-3
    assert distance(mapped, X, variance=0.8) > 0.01


def test_cca_finds_a_subspace_within_another():
    (X,) = networks(8)
    part = X[:, :3] @ np.random.default_rng(0).normal(size=(3, 3))
    assert distance(X, part, variance=1.0) < 1e-9
    assert distance(X, part, "pwcca") < 1e-9
    for measure in ("cka", "procrustes", "rsa"):
        assert distance(X, part, measure) > 0.01


@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_procrustes_satisfies_the_triangle_inequality(widths, seed, mixing):
    random = np.random.default_rng(seed)
    X, Y = (random.normal(size=(12, width)) for width in widths[:2])
    # Nearly between the other two, where the inequality is tight.
    padded = [np.pad(activity, ((0, 0), (0, 6 - activity.shape[1]))) for activity in (X, Y)]
    Z = ((1 - mixing) * padded[0] + mixing * padded[1]) @ random.normal(size=(6, widths[2]))
    d = distance_matrix({"X": X, "Y": Y, "Z": Z}, "procrustes").values
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert d[i, j] <= d[i, k] + d[k, j] + 1e-12
    assert d.max() <= np.pi / 2


def test_procrustes_is_additive_along_a_geodesic():
    axes = np.random.default_rng(3).normal(size=(50, 2))
    first, second = np.linalg.qr(axes - axes.mean(axis=0))[0].T
    points = [(np.cos(angle) * first + np.sin(angle) * second)[:, None] for angle in (0, 0.4, 1.1)]
    d = distance_matrix(points, "procrustes").values
    assert d[0, 2] == pytest.approx(d[0, 1] + d[1, 2], abs=1e-12)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_matrix_is_symmetric_and_zero_on_the_diagonal_exactly(measure, options):
    X, Y, Z = networks(8, 11, 8)
    matrix = distance_matrix([X, Y, Z, X @ rotation(8, 1), 3 * X], measure, **options).values
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diagonal(matrix), 0)
    assert (matrix >= 0).all()
    for i, first in enumerate((X, Y, Z)):
        for j, second in enumerate((X, Y, Z)):
            assert matrix[i, j] == pytest.approx(distance(first, second, measure, **options), abs=1e-9)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_permuting_the_networks_permutes_the_matrix(measure, options):
    named = dict(zip("abcd", networks(8, 11, 5, 8), strict=True))
    matrix = distance_matrix(named, measure, **options)
    order = list("cadb")
    permuted = distance_matrix({name: named[name] for name in order}, measure, **options)
    assert permuted.network.values.tolist() == order
    np.testing.assert_allclose(permuted, matrix.sel(network=order, other_network=order), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_the_order_of_samples_does_not_matter_if_it_is_the_same(measure, options):
    X, Y = networks(8, 11)
    order = np.random.default_rng(0).permutation(120)
    expected = distance(X, Y, measure, **options)
    assert distance(X[order], Y[order], measure, **options) == pytest.approx(expected, abs=1e-10)
    assert distance(X[order], Y, measure, **options) > expected + 0.05


# ---- what it accepts ----


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_float32_gives_the_same(measure, options):
    X, Y = networks(8, 11)
    single = [activity.astype(np.float32) for activity in (X, Y)]
    result = distance(*single, measure, **options)
    assert result == pytest.approx(distance(X, Y, measure, **options), abs=1e-4)
    # Computed in float64 throughout: the rounding of the input is all the difference there is.
    assert result == distance(*(activity.astype(np.float64) for activity in single), measure, **options)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("measure", MEASURES)
def test_scale_neither_overflows_nor_vanishes(measure, scale):
    X, Y = networks(8, 11)
    assert distance(scale * X, Y, measure) == pytest.approx(distance(X, Y, measure), abs=1e-10)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_constant_units_do_not_matter(measure, options):
    X, Y = networks(8, 11)
    # The mean of so many 0.1 is not exactly 0.1.
    padded = np.insert(X, [0, 4, 8], [0.1, 1e6 / 3, -1 / 3], axis=1)
    assert distance(padded, Y, measure, **options) == pytest.approx(distance(X, Y, measure, **options), abs=1e-9)


@pytest.mark.parametrize("noise", [0, 1e-15, 1e-9, 1e-8])
def test_duplicate_units_add_no_dimension(noise):
    X, Y = networks(6, 5)
    twice = np.hstack([X, X + noise * np.random.default_rng(0).normal(size=X.shape)])
    assert SVCCA(variance=1.0).reduce(twice - twice.mean(axis=0)).shape == (120, 6)
    # Rotated and scaled alike, all else is as if each unit counted √2.
    tolerance = 1e-10 + 100 * noise
    for measure, options in VARIANTS:
        expected = distance(X, Y, measure, **options)
        assert distance(twice, Y, measure, **options) == pytest.approx(expected, abs=tolerance), measure
        assert distance(twice, X, measure, **options) < tolerance, measure


def test_a_weak_dimension_above_rounding_counts():
    X, Y = networks(6, 5)
    # A difference of 1e-4 between two units is a dimension to CCA as good as any other: here, Y's first unit.
    weak = np.hstack([X, X[:, :1] + 1e-4 * Y[:, :1]])
    assert distance(weak, Y[:, :1], variance=1.0) < 1e-9
    assert distance(weak, Y, variance=1.0) == pytest.approx(
        distance(np.hstack([X, Y[:, :1]]), Y, variance=1.0), abs=1e-9
    )
    assert distance(X, Y[:, :1], variance=1.0) > 0.02
    # The covariance knows that dimension's direction to few digits; the basis is orthonormal to the last nevertheless.
    weak = np.hstack([X, X[:, :1] + 1e-5 * Y[:, :1]])
    basis = SVCCA(variance=1.0).reduce(weak - weak.mean(axis=0))
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

    for measure in MEASURES:
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
    assert matrix.attrs == {"measure": "rsa", "correlation": "pearson"}
    assert distance_matrix(activities, "svcca", components=3).attrs["components"] == 3
    assert float(matrix.sel(network="b", other_network="a")) == distance(
        *activities.values(), "rsa", correlation="pearson"
    )


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("measure", MEASURES)
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


# ---- what it refuses ----


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
        ("mutual information", "expected one of svcca, pwcca, cka, procrustes, rsa"),
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
        ("svcca", {"varience": 0.9}, "svcca has no option 'varience'; it has: variance, components"),
        ("cka", {"variance": 0.9}, "cka has no option 'variance'; it has: none"),
        ("rsa", {"max_samples": 9}, "rsa has no option 'max_samples'; it has: correlation"),
        ("svcca", {"variance": 0}, r"variance is 0; expected a share in \(0, 1\]"),
        ("svcca", {"variance": -0.5}, "variance is -0.5; expected a share"),
        ("svcca", {"variance": 95}, "variance is 95; expected a share"),
        ("svcca", {"variance": float("nan")}, "variance is nan; expected a share"),
        ("svcca", {"components": 0}, "components is 0; expected a whole number of at least 1, or None"),
        ("svcca", {"components": -3}, "components is -3; expected a whole number"),
        ("rsa", {"correlation": "kendall"}, "correlation is 'kendall'; expected 'spearman' or 'pearson'"),
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
            distance(narrow[:9], wide[:9], measure)
        distance(narrow[:9], wide[:9], components=3)
