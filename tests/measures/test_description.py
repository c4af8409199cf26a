"""Numbers that describe activity: closed forms, scikit-learn, and the reference package of the dimension."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from dynatlas.measures.description import describe, intrinsic_dimension, participation_ratio, selectivity

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 6)) @ RANDOM.normal(size=(6, 6))
VARIABLES = RANDOM.normal(size=(300, 3))


def test_the_participation_ratio_is_that_of_the_eigenvalues_of_the_covariance():
    variances = np.linalg.eigvalsh(np.cov(X.T))
    assert participation_ratio(X) == pytest.approx(variances.sum() ** 2 / (variances**2).sum(), rel=1e-12)


def test_the_participation_ratio_does_not_depend_on_scale_place_and_rotation():
    rotation = np.linalg.qr(RANDOM.normal(size=(6, 6)))[0]
    assert participation_ratio(1e200 * (X @ rotation) + 1e200) == pytest.approx(participation_ratio(X), rel=1e-10)


@pytest.mark.parametrize(
    ("dimension", "expected"),
    # skdim.id.TwoNN(discard_fraction=0.1) of scikit-dimension 0.3.4, on these samples.
    [(1, 1.0221229407638215), (2, 2.229480010116189), (3, 2.813377604482648), (5, 5.364633427791895)],
)
def test_the_dimension_is_that_of_scikit_dimension(dimension, expected):
    random = np.random.default_rng(0)
    for each in (1, 2, 3, 5):
        samples = random.normal(size=(1000, each)) @ np.random.default_rng(each).normal(size=(each, 12))
        if each == dimension:
            assert intrinsic_dimension(samples) == pytest.approx(expected, rel=1e-6)


def test_the_dimension_is_that_of_the_manifold_and_not_of_the_space():
    """A torus in 20 dimensions is two-dimensional, though its variance fills four."""
    angles = RANDOM.uniform(0, 2 * np.pi, (1000, 2))
    torus = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) @ np.linalg.qr(RANDOM.normal(size=(20, 4)))[0].T
    assert intrinsic_dimension(torus) == pytest.approx(2, abs=0.15)
    assert participation_ratio(torus) == pytest.approx(4, abs=0.1)


def test_samples_that_repeat_count_once():
    samples = np.repeat(X[:100], 3, axis=0)
    assert intrinsic_dimension(samples) == pytest.approx(intrinsic_dimension(X[:100]), rel=1e-12)
    assert np.isnan(intrinsic_dimension([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))


def test_explained_shares_are_those_of_linear_regression():
    samples = VARIABLES @ RANDOM.normal(size=(3, 5)) + RANDOM.normal(size=(300, 5))
    centred = samples - samples.mean(axis=0)
    model = LinearRegression().fit(VARIABLES, samples)
    residuals = samples - model.predict(VARIABLES)
    share, of_units = selectivity(samples, VARIABLES)
    assert share == pytest.approx(1 - (residuals**2).sum() / (centred**2).sum(), rel=1e-10)
    together = 1 - (residuals**2).sum(axis=0) / (centred**2).sum(axis=0)
    single = np.array(
        [
            [LinearRegression().fit(VARIABLES[:, [j]], unit).score(VARIABLES[:, [j]], unit) for unit in samples.T]
            for j in range(3)
        ]
    )
    np.testing.assert_allclose(of_units, single.max(axis=0) / together, rtol=1e-9)


def test_variables_that_repeat_or_do_not_vary_change_nothing():
    samples = VARIABLES @ RANDOM.normal(size=(3, 5)) + RANDOM.normal(size=(300, 5))
    more = np.concatenate([VARIABLES, VARIABLES[:, :1], np.ones((300, 1))], axis=1)
    for expected, found in zip(selectivity(samples, VARIABLES), selectivity(samples, more), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_unit_of_which_nothing_is_explained_has_no_selectivity():
    time = np.arange(8)
    samples = np.stack([(-1.0) ** time, np.repeat([1.0, -1.0], 4)], axis=1)
    share, of_units = selectivity(samples, samples[:, 1:])
    assert share == pytest.approx(0.5, rel=1e-12)
    assert np.isnan(of_units[0])
    assert of_units[1] == pytest.approx(1, rel=1e-12)
    assert selectivity(samples, np.ones((8, 1)))[0] == 0
    assert np.isnan(describe(samples, np.ones((8, 1)))["selectivity"])


def test_another_number_of_samples_is_refused():
    for wrong in (np.zeros((2, 1)), np.zeros(300), np.full((300, 1), np.nan)):
        with pytest.raises(ValueError, match=r"expected \[samples, variables\] with 300 samples"):
            selectivity(X, wrong)
