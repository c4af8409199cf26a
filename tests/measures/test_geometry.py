import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import rsatoolbox
import scipy.linalg
import scipy.stats
import sklearn.cross_decomposition
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from dynatlas import distance, distance_matrix
from dynatlas.measures.aspects import TOPOLOGY
from dynatlas.measures.cca import SVCCA
from dynatlas.measures.cka import CKA
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import all_pairs, compare, in_groups
from dynatlas.measures.registry import MEASURES, measure_of, register_measure
from dynatlas.measures.rsa import RSA

ROTATION_INVARIANT = ("svcca", "cca", "cka", "procrustes", "rsa")
SCALED = {"euclidean": True}  # the one variant that minds the scale of activity
HELD_OUT = {"regularization": 0.3, "held_out": 0.4}  # the one that minds the order of samples
CORRELATED = {"correlation": "cosine", "dissimilarity": "correlation"}  # the one that minds the number of units
VARIANTS = [
    ("svcca", {}),
    ("svcca", {"variance": 0.8}),
    ("svcca", {"variance": 1.0}),
    ("svcca", {"components": 4}),
    ("pwcca", {}),
    ("cca", {}),
    ("cca", {"regularization": 0}),
    ("cca", HELD_OUT),
    ("cka", {}),
    ("cka", {"debiased": True}),
    ("procrustes", {}),
    ("procrustes", SCALED),
    ("rsa", {}),
    ("rsa", {"correlation": "pearson"}),
    ("rsa", CORRELATED),
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
    functions = {"svcca": svcca, "pwcca": pwcca, "cca": cca, "cka": cka, "procrustes": procrustes, "rsa": rsa}
    return functions[measure](X, Y, **options)


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


def cca(X, Y, regularization=0.01, held_out=0.0):
    """Whitening by matrix square roots; scikit-learn's ridge-free solver has its own test."""
    n_held = round(held_out * len(X))
    fits, tests = [], []
    for activity in (X, Y):
        fitted = activity[: len(activity) - n_held]
        mean = fitted.mean(axis=0)
        covariance = (fitted - mean).T @ (fitted - mean)
        kappa = regularization * np.linalg.norm(covariance, 2)
        white = scipy.linalg.inv(scipy.linalg.sqrtm(covariance + kappa * np.eye(len(covariance))).real)
        fits.append((fitted - mean) @ white)
        tests.append((activity[len(activity) - n_held :] - mean) @ white)
    left, values, right = np.linalg.svd(fits[0].T @ fits[1], full_matrices=False)
    if not held_out:
        return 1 - values.sum() / (np.linalg.norm(fits[0]) * np.linalg.norm(fits[1]))
    return 1 - np.mean(
        [scipy.stats.pearsonr(tests[0] @ left[:, i], tests[1] @ right[i]).statistic for i in range(len(values))]
    )


def cka(X, Y, debiased=False):
    """HSIC of samples × samples kernels; unbiased with the diagonals set to 0 (Song et al. 2012, equation 5)."""
    n = len(X)
    centring = np.eye(n) - 1 / n

    def hsic(A, B):
        if not debiased:
            return np.trace(A @ A.T @ centring @ B @ B.T @ centring)
        K, L = A @ A.T, B @ B.T
        np.fill_diagonal(K, 0)
        np.fill_diagonal(L, 0)
        ones = np.ones(n)
        return (
            np.trace(K @ L)
            + (ones @ K @ ones) * (ones @ L @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ K @ L @ ones)
        ) / (n * (n - 3))

    return 1 - hsic(X, Y) / np.sqrt(hsic(X, X) * hsic(Y, Y))


def procrustes(X, Y, euclidean=False):
    """The angle, or the distance, after rotation by SciPy's solution, between configurations as vectors."""
    width = max(X.shape[1], Y.shape[1])
    A, B = (np.pad(activity - activity.mean(axis=0), ((0, 0), (0, width - activity.shape[1]))) for activity in (X, Y))
    aligned = A @ scipy.linalg.orthogonal_procrustes(A, B)[0]
    if euclidean:
        return np.sqrt(((aligned - B) ** 2).sum(axis=1).mean())
    return np.arccos((aligned * B).sum() / (np.linalg.norm(A) * np.linalg.norm(B)))


def rsa(X, Y, correlation="spearman", dissimilarity="euclidean"):
    statistic = {
        "spearman": lambda a, b: scipy.stats.spearmanr(a, b).statistic,
        "pearson": lambda a, b: scipy.stats.pearsonr(a, b).statistic,
        "cosine": lambda a, b: 1 - scipy.spatial.distance.cosine(a, b),
    }[correlation]
    return 1 - statistic(*(pdist(activity - activity.mean(axis=0), dissimilarity) for activity in (X, Y)))


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


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"dissimilarity": "correlation", "correlation": "spearman"}, "spearman"),
        ({"dissimilarity": "correlation", "correlation": "pearson"}, "corr"),
        ({"dissimilarity": "correlation", "correlation": "cosine"}, "cosine"),
    ],
)
def test_rsa_agrees_with_rsatoolbox(options, method):
    activities = [activity - activity.mean(axis=0) for activity in networks(9, 14, samples=40)]
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(one), method="correlation") for one in activities]
    expected = 1 - rsatoolbox.rdm.compare(*rdms, method=method)[0, 0]
    assert distance(*activities, "rsa", **options) == pytest.approx(expected, abs=1e-9)


def test_rsa_of_euclidean_distances_agrees_with_rsatoolbox():
    # Its "euclidean" is the squared distance over the number of channels, which has the same ranks.
    X, Y = networks(9, 14, samples=40)
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(one), method="euclidean") for one in (X, Y)]
    expected = 1 - rsatoolbox.rdm.compare(*rdms, method="spearman")[0, 0]
    assert distance(X, Y, "rsa") == pytest.approx(expected, abs=1e-9)


def test_plain_cca_agrees_with_scikit_learn():
    X, Y = networks(6, 4, samples=300)
    scores = sklearn.cross_decomposition.CCA(n_components=4, scale=False, max_iter=5000, tol=1e-12).fit_transform(X, Y)
    correlations = [np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(4)]
    assert distance(X, Y, "cca", regularization=0) == pytest.approx(1 - sum(correlations) / np.sqrt(24), abs=1e-6)
    assert distance(X, Y, "svcca", variance=1.0) == pytest.approx(1 - np.mean(correlations), abs=1e-6)


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
        assert SVCCA(variance=variance).reduce(X - X.mean(axis=0))["basis"].shape == (60, kept)
        assert distance(X, Y, variance=variance) == pytest.approx(1 - 1 / kept, abs=1e-12)


def test_svcca_with_a_fixed_number_of_components():
    X, Y = networks(9, 14)
    # The number replaces the share, whichever would keep more.
    for variance in (0.01, 1.0):
        assert distance(X, Y, components=5, variance=variance) == distance(X, Y, components=5)
    # Fewer where the network has fewer; then all there are.
    assert distance(X, Y, components=1000) == pytest.approx(distance(X, Y, variance=1.0), abs=1e-12)
    assert SVCCA(components=5).reduce(X - X.mean(axis=0))["basis"].shape == (120, 5)
    assert SVCCA(components=50).reduce(X - X.mean(axis=0))["basis"].shape == (120, 9)
    assert distance(X, Y, components=1) == pytest.approx(svcca(X, Y, components=1), abs=1e-12)


def test_svcca_is_the_default_at_95_percent():
    X, Y = networks(9, 14)
    assert distance(X, Y) == distance(X, Y, "svcca", variance=0.95)
    about = {"long_name": "svcca distance between networks", "n_networks": 2}
    assert distance_matrix([X, Y]).attrs == {"measure": "svcca", "variance": 0.95} | about


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
    if options == SCALED:
        del copies["scaled"], copies["all of it"]
    if options == CORRELATED:
        del copies["rotated"], copies["all of it"], copies["with silent units"]
    for name, copy in copies.items():
        assert 0 <= distance(X, copy, measure, **options) < 1e-9, name
        if measure in ROTATION_INVARIANT or name not in ("rotated", "all of it"):
            assert distance(copy, Y, measure, **options) == pytest.approx(
                distance(X, Y, measure, **options), abs=1e-9
            ), name


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_a_network_is_exactly_0_from_itself(measure, options):
    X, Y = networks(8, 11)
    assert distance(X, X.copy(), measure, **options) == 0.0
    assert (np.diag(distance_matrix([X, Y], measure, **options)) == 0).all()


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(0.01, 100))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_invariances(measure, options, seed, width, scale):
    random = np.random.default_rng(seed)
    X, Y = (random.normal(size=(40, units)) @ random.normal(size=(units, units)) for units in (width, 7))
    allowed = X[:, random.permutation(width)] + random.normal(size=width)
    if measure in ROTATION_INVARIANT and options != CORRELATED:
        allowed = allowed @ rotation(width, seed)
    if options in ({"regularization": 0}, {"variance": 1.0}):
        allowed = allowed @ (np.eye(width) + 0.2 * random.normal(size=(width, width)) / np.sqrt(width))
    if options != SCALED:
        allowed = scale * allowed
    if options == CORRELATED and width == 2:
        return  # two units correlate perfectly
    assert distance(allowed, Y, measure, **options) == pytest.approx(distance(X, Y, measure, **options), abs=1e-7)


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


@pytest.mark.parametrize("euclidean", [False, True])
@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_procrustes_satisfies_the_triangle_inequality(euclidean, widths, seed, mixing):
    random = np.random.default_rng(seed)
    X, Y = (random.normal(size=(12, width)) for width in widths[:2])
    # Nearly between the other two, where the inequality is tight.
    padded = [np.pad(activity, ((0, 0), (0, 6 - activity.shape[1]))) for activity in (X, Y)]
    Z = ((1 - mixing) * padded[0] + mixing * padded[1]) @ random.normal(size=(6, widths[2]))
    d = distance_matrix({"X": X, "Y": Y, "Z": Z}, "procrustes", euclidean=euclidean).values
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert d[i, j] <= d[i, k] + d[k, j] + 1e-12
    assert euclidean or d.max() <= np.pi / 2


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


@pytest.mark.parametrize(("measure", "options"), [variant for variant in VARIANTS if variant[1] != HELD_OUT])
def test_the_order_of_samples_does_not_matter_if_it_is_the_same(measure, options):
    X, Y = networks(8, 11)
    order = np.random.default_rng(0).permutation(120)
    expected = distance(X, Y, measure, **options)
    assert distance(X[order], Y[order], measure, **options) == pytest.approx(expected, abs=1e-10)
    assert distance(X[order], Y, measure, **options) > expected + 0.05


@pytest.mark.parametrize("tolerance", [1e-6, 1e-3, 0.1])
def test_cka_leaves_out_what_its_tolerance_allows_and_no_more(tolerance):
    random = np.random.default_rng(0)
    decay = 0.5 ** np.arange(30)
    X, Y = (random.normal(size=(200, 30)) * decay @ rotation(30, seed) for seed in (0, 1))
    kept = [CKA(tolerance=chosen).reduce(X - X.mean(axis=0))["scores"].shape[1] for chosen in (0, tolerance)]
    assert kept[1] < kept[0]
    error = abs(distance(X, Y, "cka", tolerance=tolerance) - cka(X, Y))
    assert error <= tolerance
    assert error > 1e-14  # not for nothing


def test_debiased_cka_sees_nothing_where_there_is_nothing():
    random = np.random.default_rng(0)
    pairs = [random.normal(size=(2, 40, 30)) for _ in range(200)]
    assert np.mean([distance(*pair, "cka", debiased=True) for pair in pairs]) == pytest.approx(1, abs=0.02)
    assert np.mean([distance(*pair, "cka") for pair in pairs]) < 0.7  # which the biased one takes for likeness


def test_held_out_samples_show_what_too_few_samples_hide():
    X, Y = np.random.default_rng(0).normal(size=(2, 30, 20))
    with pytest.warns(UserWarning, match="held_out=0.5"):
        assert distance(X, Y, "cca", regularization=0) < 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert distance(X, Y, "cca", regularization=0.1, held_out=0.5) > 0.7


def test_euclidean_procrustes_worked_by_hand():
    # A unit square, and one twice as large and turned: corners √2/2 and √2 from the centre.
    square = np.array([[1.0, 1], [1, -1], [-1, -1], [-1, 1]]) / 2
    turned = 2 * square @ [[0, 1], [-1, 0]] + 3
    assert distance(square, turned, "procrustes", euclidean=True) == pytest.approx(np.sqrt(2) / 2, abs=1e-12)
    assert distance(square, turned, "procrustes") == pytest.approx(0, abs=1e-12)


def test_a_measure_of_ones_own():
    @dataclass(frozen=True)
    class Widths(Measure):
        factor: float = 1.0

        def reduce(self, activity):
            return {"width": np.asarray(activity.shape[1])}

        def between(self, first, second):
            return self.factor * abs(int(first["width"]) - int(second["width"]))

    try:
        register_measure("widths")(Widths)
        matrix = distance_matrix(networks(4, 9, 6), "widths", factor=2.0)
        assert matrix.values.tolist() == [[0, 10, 4], [10, 0, 6], [4, 6, 0]]
        assert matrix.attrs.items() >= {"measure": "widths", "factor": 2.0}.items()
        with pytest.raises(ValueError, match="the measure 'cka' is already CKA; choose another name"):
            register_measure("cka")(Widths)
        with pytest.raises(ValueError, match="is not a dataclass that derives from"):
            register_measure("other")(dict)
        for name in ("two words", "widths-controls", "Widths"):
            with pytest.raises(ValueError, match="cannot name a measure; expected a lowercase letter"):
                register_measure(name)(Widths)
        for name in TOPOLOGY:
            with pytest.raises(ValueError, match=f"{name!r} is one of topology already"):
                register_measure(name)(Widths)
    finally:
        MEASURES.pop("widths", None)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_tiles_and_threads_change_no_digit(measure, options, monkeypatch):
    # More than two groups; widths differ, so that some are kept with more components than others.
    activities = networks(*([5, 8, 6] * 25), samples=60)
    chosen = measure_of(measure, options)
    reduced = [chosen.reduce(activity - activity.mean(axis=0)) for activity in activities]
    whole = all_pairs(reduced, chosen, threads=1)
    assert (whole == all_pairs(reduced, chosen, threads=3)).all()
    groups = in_groups(reduced)
    assert [len(group) for group in groups] == [32, 32, 11]
    parts = [[compare([row], [column], chosen) for column in groups] for row in groups]
    lower = np.tril(np.block(parts), -1)
    assert (lower + lower.T == whole).all()
    assert (compare(groups[1:], groups[:1], chosen) == whole[32:, :32]).all()
    expected = [[chosen.between(reduced[i], reduced[j]) for j in (3, 40)] for i in (70, 33)]
    np.testing.assert_allclose(whole[np.ix_([70, 33], [3, 40])], expected, rtol=0, atol=1e-12)


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


@pytest.mark.parametrize(("measure", "options"), [variant for variant in VARIANTS if variant[1] != CORRELATED])
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
    assert matrix.attrs.items() >= {"measure": "rsa", "correlation": "pearson", "dissimilarity": "euclidean"}.items()
    assert distance_matrix(activities, "svcca", components=3).attrs["components"] == 3
    assert float(matrix.sel(network="b", other_network="a")) == pytest.approx(
        distance(*activities.values(), "rsa", correlation="pearson"), abs=1e-14
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
        ("mutual information", "expected one of cca, cka, procrustes, pwcca, rsa, svcca"),
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
            distance(narrow[:9], wide[:9], measure)
        distance(narrow[:9], wide[:9], components=3)
