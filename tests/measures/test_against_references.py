"""Each measure of geometry gives the numbers of an independent computation."""

from contextlib import nullcontext

import numpy as np
import pytest
import rsatoolbox
import scipy.linalg
import scipy.stats
import sklearn.cross_decomposition
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
from scipy.spatial.distance import pdist

from dynatlas import distance, distance_matrix
from dynatlas.measures.geometry.cca import SVCCA
from support.activities import VARIANTS, cka, networks, rotation


def independent(X, Y, measure, **options):
    functions = {
        "svcca": svcca,
        "pwcca": pwcca,
        "cca": cca,
        "cka": cka,
        "procrustes": procrustes,
        "rsa": rsa,
        "rbf_cka": rbf_cka,
        "soft_matching": soft_matching,
        "predictivity": predictivity,
    }
    return functions[measure](X, Y, **options)


def svcca(X, Y, variance=0.95, components=None, per_network=False):
    """SVD of samples × units, and angles between subspaces."""
    scores = [np.linalg.svd(activity - activity.mean(axis=0), full_matrices=False)[:2] for activity in (X, Y)]
    counts = []
    for _, singular in scores:
        held, kept = 0.0, 0
        while kept < len(singular) and held < variance - 1e-9:
            held += singular[kept] ** 2 / (singular**2).sum()
            kept += 1
        counts.append(kept)
    if not per_network:
        counts = [components or max(counts)] * 2
    bases = [left[:, :count] for (left, _), count in zip(scores, counts, strict=True)]
    widths = [basis.shape[1] for basis in bases]
    return 1 - np.cos(scipy.linalg.subspace_angles(*bases)).sum() / (min(widths) if per_network else max(widths))


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


def whitened(activity, alpha):
    """Partial whitening by a matrix function of the covariance, as in netrep, of activity of norm 1."""
    size = np.linalg.norm(activity)
    root = scipy.linalg.sqrtm(activity.T @ activity / size**2).real
    mapped = activity @ (alpha * np.eye(len(root)) + (1 - alpha) * np.linalg.inv(root))
    return mapped * (size / np.linalg.norm(mapped))


def procrustes(X, Y, euclidean=False, alpha=1):
    """The angle, or the distance, after rotation by SciPy's solution, between configurations as vectors."""
    width = max(X.shape[1], Y.shape[1])
    centred = (whitened(activity - activity.mean(axis=0), alpha) for activity in (X, Y))
    A, B = (np.pad(activity, ((0, 0), (0, width - activity.shape[1]))) for activity in centred)
    aligned = A @ scipy.linalg.orthogonal_procrustes(A, B)[0]
    if euclidean:
        return np.sqrt(((aligned - B) ** 2).sum(axis=1).mean())
    return np.arccos((aligned * B).sum() / (np.linalg.norm(A) * np.linalg.norm(B)))


def rsa(X, Y, correlation="spearman", dissimilarity="euclidean", centered=False):
    statistic = {
        "spearman": lambda a, b: scipy.stats.spearmanr(a, b).statistic,
        "pearson": lambda a, b: scipy.stats.pearsonr(a, b).statistic,
        "cosine": lambda a, b: 1 - scipy.spatial.distance.cosine(a, b),
    }[correlation]
    patterns = [activity - centered * activity.mean(axis=0) for activity in (X, Y)]
    return 1 - statistic(*(pdist(activity, dissimilarity) for activity in patterns))


def rbf_cka(X, Y, bandwidth=0.8):
    """CKA from n × n kernels, centred by products with I − 1/n."""
    centring = np.eye(len(X)) - 1 / len(X)
    kernels = []
    for activity in (X, Y):
        away = scipy.spatial.distance.cdist(activity, activity)
        sigma = bandwidth * np.median(away[np.triu_indices(len(activity), 1)])
        kernels.append(np.exp(-((away / sigma) ** 2) / 2))
    K, L = (centring @ kernel @ centring for kernel in kernels)
    return 1 - np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L))


def soft_matching(X, Y):
    """The transport polytope as a linear programme."""
    units = []
    for activity in (X, Y):
        moved = activity - activity.mean(axis=0)
        units.append((moved / np.sqrt((moved**2).sum(axis=0).mean())).T)
    costs = scipy.spatial.distance.cdist(*units, "sqeuclidean")
    n, m = costs.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    shares = np.append(np.full(n, 1 / n), np.full(m, 1 / m))
    return np.sqrt(scipy.optimize.linprog(costs.ravel(), A_eq=np.vstack([rows, columns]), b_eq=shares).fun)


def predictivity(X, Y, held_out=0.2, folds=5):
    """scikit-learn's ridge regression, its search over ridges, and its R²."""
    n_fitted = len(X) - round(held_out * len(X))
    scores = []
    for predictor, target in ((X, Y), (Y, X)):
        fitted = predictor[:n_fitted] - predictor[:n_fitted].mean(axis=0)
        largest = np.linalg.norm(fitted, 2) ** 2
        search = sklearn.model_selection.GridSearchCV(
            sklearn.linear_model.Ridge(solver="svd"),
            {"alpha": largest * 10.0 ** np.arange(-8, 3)},
            cv=sklearn.model_selection.KFold(folds),
            scoring=lambda model, inputs, wanted: -((model.predict(inputs) - wanted) ** 2).sum(),
        )
        search.fit(predictor[:n_fitted], target[:n_fitted])
        predicted = search.predict(predictor[n_fitted:])
        held = target[n_fitted:]
        scores.append(sklearn.metrics.r2_score(held, predicted, multioutput="variance_weighted"))
    return 1 - np.mean(scores)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_agrees_with_an_independent_computation(measure, options):
    activities = networks(9, 9, 14, 5)
    matrix = distance_matrix(activities, measure, **options)
    # All four networks share a number of components, which may be larger than the one of a pair.
    given = {"components": matrix.attrs["components"]} if measure == "svcca" else options
    expected = [
        [0.0 if i == j else independent(X, Y, measure, **given) for j, Y in enumerate(activities)]
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
    activities = [activity + np.arange(activity.shape[1]) for activity in networks(9, 14, samples=40)]
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(one), method="correlation") for one in activities]
    expected = 1 - rsatoolbox.rdm.compare(*rdms, method=method)[0, 0]
    assert distance(*activities, "rsa", **options) == pytest.approx(expected, abs=1e-9)
    assert distance(*activities, "rsa", centered=True, **options) != pytest.approx(expected, abs=1e-3)


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
    assert distance(X, Y, "svcca", variance=1.0) == pytest.approx(1 - sum(correlations) / 6, abs=1e-6)


@pytest.mark.parametrize("measure", ["svcca", "cka", "procrustes", "rsa"])
def test_agrees_with_an_independent_computation_when_units_outnumber_samples(measure):
    X, Y = networks(70, 50, samples=40)
    options = {"components": 8} if measure == "svcca" else {}
    with pytest.warns(UserWarning, match="fewer than the units") if measure in ("cka", "procrustes") else nullcontext():
        found = distance(X, Y, measure, **options)
    assert found == pytest.approx(independent(X, Y, measure, **options), abs=1e-10)


@pytest.mark.parametrize(("weakest", "warns"), [(1e-5, False), (1e-7, True)])
def test_cca_without_a_ridge_warns_of_directions_near_rounding(weakest, warns):
    X, Y = networks(6, 6, samples=200)
    X = np.linalg.qr(X)[0] * [1, 1, 1, 1, 1, weakest]
    told = pytest.warns(UserWarning, match="network X: the activity has condition number 1e")
    with told if warns else nullcontext():
        distance(X, Y, "cca", regularization=0)
    distance(X, Y, "cca")


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


def test_svcca_takes_one_number_of_components_for_all_networks():
    """The largest that a network needs, so that a network is not at 0 from one that contains it."""
    axes = np.random.default_rng(3).normal(size=(60, 6))
    axes = np.linalg.qr(axes - axes.mean(axis=0))[0]
    line, space = axes[:, :2] * np.sqrt([96, 4]), axes[:, :3] * np.sqrt([40, 30, 30])
    # The line needs 1 component of 2, the space 3: of these the line lacks one, and the other two agree.
    assert distance(line, space) == pytest.approx(1 / 3, abs=1e-12)
    with pytest.warns(UserWarning, match="no measure of difference"):
        assert distance(line, space, per_network=True) == pytest.approx(0, abs=1e-12)
    # A third network changes the number for all.
    wide = axes * np.sqrt([20, 20, 20, 20, 10, 10])
    matrix = distance_matrix({"line": line, "space": space, "wide": wide})
    assert matrix.attrs["components"] == 6
    assert matrix.sel(network="line", other_network="space") == pytest.approx(1 / 3, abs=1e-12)
    assert matrix.sel(network="space", other_network="wide") == pytest.approx(1 / 2, abs=1e-12)


def test_an_iterator_that_reuses_its_buffer_gives_the_same_distances():
    activities = [*networks(9, 14), networks(5, 5)[0]]
    buffers = {}

    def reused():
        for activity in activities:
            buffer = buffers.setdefault(activity.shape, np.empty(activity.shape))
            buffer[:] = activity
            yield buffer

    np.testing.assert_array_equal(distance_matrix(reused()).values, distance_matrix(activities).values)


def test_svcca_per_network_and_with_a_fixed_number_contradict_each_other():
    with pytest.raises(ValueError, match="components is 3 with per_network=True"):
        SVCCA(components=3, per_network=True)
    with pytest.raises(ValueError, match="per_network is 1; expected true or false"):
        SVCCA(per_network=1)


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
    kept = max(SVCCA().components_of(activity - activity.mean(axis=0)) for activity in (X, Y))
    settings = {"variance": 0.95, "components": kept, "per_network": 0}
    assert distance_matrix([X, Y]).attrs == {"measure": "svcca"} | settings | about
