"""Alignments are fitted to some samples and scored on others, and scikit-learn can clone, search and cross-validate."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from dynatlas import Alignment, distance, similarity
from dynatlas.measures import MEASURES
from dynatlas.measures.alignment.fitted import CommonSpace
from support.activities import SCALED, VARIANTS, networks, rotation

ALIGNED = ("svcca", "pwcca", "cca", "procrustes", "soft_matching", "predictivity")
N_FITTED = 70
OF_WHOLES = [
    (name, options)
    for name, options in VARIANTS
    if name not in ("cca", "predictivity")  # which have an option for samples that are held out
]


def parts(*widths, samples=120):
    """Two networks on the samples to fit, and on those to score."""
    both = networks(*widths, samples=samples)
    return [one[:N_FITTED] for one in both], [one[N_FITTED:] for one in both]


@pytest.mark.parametrize("widths", [(8, 11), (11, 8), (8, 8)])
@pytest.mark.parametrize(("measure", "options"), OF_WHOLES)
def test_on_the_samples_of_the_fit_it_is_the_distance(measure, options, widths):
    fitted, others = parts(*widths)
    found = Alignment(measure, **options).fit(*fitted)
    assert found.distance(*fitted) == pytest.approx(distance(*fitted, measure, **options), abs=1e-12)
    if measure in ALIGNED:
        assert found.distance(*others) != pytest.approx(distance(*others, measure, **options), rel=1e-3)
    else:
        assert found.fitted_ is None
        assert found.distance(*others) == distance(*others, measure, **options)


@pytest.mark.parametrize(
    ("measure", "options"),
    [("cca", {}), ("cca", {"regularization": 0}), ("predictivity", {}), ("predictivity", {"folds": 3})],
)
def test_fitted_to_the_first_part_it_is_the_distance_with_the_rest_held_out(measure, options):
    both = networks(8, 11)
    fitted, others = parts(8, 11)
    found = Alignment(measure, **options).fit(*fitted)
    held_out = len(others[0]) / len(both[0])
    assert found.distance(*others) == pytest.approx(distance(*both, measure, held_out=held_out, **options), abs=1e-9)


@pytest.mark.parametrize("measure", ALIGNED)
def test_copies_are_recognised_on_samples_that_were_not_fitted(measure):
    (X,) = networks(8)
    mixing = np.eye(8)[:, ::-1] if measure == "soft_matching" else rotation(8, 1)
    copy = 3e-3 * X @ mixing + np.arange(8)
    found = Alignment(measure).fit(X[:N_FITTED], copy[:N_FITTED])
    assert found.distance(X[N_FITTED:], copy[N_FITTED:]) < 1e-6
    assert found.score(X[N_FITTED:], copy[N_FITTED:]) > 1 - 1e-6


def test_procrustes_is_the_angle_after_the_rotation_of_other_samples():
    (X, Y), (x, y) = parts(8, 8)
    turn = scipy.linalg.orthogonal_procrustes(X - X.mean(axis=0), Y - Y.mean(axis=0))[0]
    a, b = (x - X.mean(axis=0)) @ turn, y - Y.mean(axis=0)
    found = Alignment("procrustes").fit(X, Y)
    cosine = np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    assert found.score(x, y) == pytest.approx(cosine)
    assert found.distance(x, y) == pytest.approx(np.arccos(cosine))
    root_mean_square = np.linalg.norm(a - b) / np.sqrt(len(a))
    assert Alignment("procrustes", euclidean=True).fit(X, Y).distance(x, y) == pytest.approx(root_mean_square)
    assert found.distance(x, y) > distance(x, y, "procrustes")  # the best rotation of these samples is another
    A, B = found.transform(x, y)
    assert np.vdot(A, B) / np.linalg.norm(A) / np.linalg.norm(B) == pytest.approx(cosine)
    np.testing.assert_allclose(A @ A.T * np.linalg.norm(X - X.mean(axis=0)) ** 2, a @ a.T, atol=1e-9)
    assert [np.linalg.norm(each) for each in found.transform(X, Y)] == pytest.approx([1, 1])


def test_a_different_mean_of_the_other_samples_is_a_difference():
    (X, Y), (x, y) = parts(8, 8)
    for measure in ("procrustes", "soft_matching", "predictivity"):
        found = Alignment(measure).fit(X, Y)
        assert found.distance(x, y + 5) > found.distance(x, y)


@pytest.mark.parametrize("alpha", [None, 1, 0.5])
def test_directions_that_were_silent_in_the_fit_count_as_different(alpha):
    random = np.random.default_rng(0)
    X, x = random.normal(size=(2, 50, 4))
    silent = np.hstack([X, np.ones((50, 2))])
    found = Alignment("procrustes", alpha=alpha).fit(silent, silent)
    assert found.distance(np.hstack([x, np.ones((50, 2))]), np.hstack([x, np.ones((50, 2))])) < 1e-9
    awake = np.hstack([x, 1 + random.normal(size=(50, 2))])
    assert found.distance(awake, awake) > 0.1


@pytest.mark.parametrize("measure", ["svcca", "pwcca", "cca", "procrustes"])
def test_chance_alignments_of_few_samples_do_not_survive(measure):
    X, Y = np.random.default_rng(0).normal(size=(2, 60, 20))
    found = Alignment(measure).fit(X[:30], Y[:30])
    assert found.score(X[:30], Y[:30]) > 0.6
    assert abs(found.score(X[30:], Y[30:])) < 0.25


def test_matched_units_are_in_the_same_columns():
    (X,) = networks(6)
    order = [3, 1, 5, 0, 2, 4]
    A, B = Alignment("soft_matching").fit(X[:60], 2 * X[:60, order]).transform(X[60:], 2 * X[60:, order])
    assert A.shape == (60, 6)
    np.testing.assert_allclose(A, B, atol=1e-12)
    Y = X @ rotation(6, 0)
    A, B = Alignment("svcca", variance=1.0).fit(X[:60], Y[:60]).transform(X[60:], Y[60:])
    np.testing.assert_allclose(A, B, atol=1e-9)


def test_measures_of_trials_fit_nothing():
    random = np.random.default_rng(0)
    X, Y, U = random.normal(size=(3, 6, 15, 3))
    dynamics = Alignment("dsa", score_method="angular").fit(X, Y)
    assert dynamics.score(Y, X) == similarity(Y, X, "dsa", score_method="angular")
    driven = Alignment("input_dsa").fit(X, Y, inputs=U)
    assert driven.distance(X, Y, inputs=U) == distance(X, Y, "input_dsa", inputs=U)
    with pytest.raises(ValueError, match="input_dsa also takes the inputs"):
        driven.distance(X, Y)


@pytest.mark.parametrize("measure", MEASURES)
def test_scikit_learn_clones_it(measure):
    options = {"components": 3} if measure == "svcca" else {}
    one = Alignment(measure, **options)
    copy = clone(one)
    assert copy is not one
    assert copy.get_params() == one.get_params() == {"measure": measure, **vars(MEASURES[measure](**options))}
    expected = f"Alignment({measure!r}, components=3)" if options else f"Alignment({measure!r})"
    assert repr(copy) == repr(one) == expected


def test_parameters_are_set_and_drop_what_was_fitted():
    (X, Y), (x, y) = parts(8, 11)
    one = Alignment("procrustes", alpha=0.5).fit(X, Y)
    assert one.set_params(euclidean=True) is one
    assert repr(one) == "Alignment('procrustes', euclidean=True, alpha=0.5)"
    with pytest.raises(ValueError, match="is not fitted; call fit"):
        one.distance(x, y)
    one.set_params(measure="svcca", components=2).fit(X, Y)
    assert one.get_params()["components"] == 2
    assert one.distance(X, Y) == pytest.approx(distance(X, Y, components=2))
    with pytest.raises(ValueError, match="svcca has no option 'alpha'"):
        one.set_params(alpha=0.5)
    with pytest.raises(ValueError, match="unknown measure 'ckaa'"):
        one.set_params(measure="ckaa")
    assert one.measure == "svcca"  # a refused change changes nothing


def test_scikit_learn_searches_and_cross_validates():
    (X, Y) = networks(8, 11)
    folds = KFold(4)
    one = Alignment("procrustes", alpha=0.5)
    scores = cross_val_score(one, X, Y, cv=folds)
    expected = [clone(one).fit(X[rest], Y[rest]).score(X[held], Y[held]) for rest, held in folds.split(X)]
    np.testing.assert_array_equal(scores, expected)
    search = GridSearchCV(Alignment("procrustes"), {"alpha": [0.0, 0.5, 1.0]}, cv=folds).fit(X, Y)
    assert search.best_params_ == {"alpha": 1.0}  # weak directions hold noise
    assert search.best_estimator_.score(X, Y) == pytest.approx(similarity(X, Y, "procrustes"))
    search = GridSearchCV(Alignment("cca"), {"regularization": [0.0, 0.01, 1.0]}, cv=folds).fit(X, Y)
    assert search.best_params_["regularization"] > 0


def test_a_fitted_alignment_can_be_stored():
    (X, Y), (x, y) = parts(8, 11)
    for measure in ALIGNED:
        one = Alignment(measure).fit(X, Y)
        assert pickle.loads(pickle.dumps(one)).distance(x, y) == one.distance(x, y)  # noqa: S301


def test_what_is_refused():
    (X, Y), (x, y) = parts(8, 11)
    with pytest.raises(ValueError, match="procrustes has no option 'rank'"):
        Alignment("procrustes", rank=2)
    with pytest.raises(ValueError, match=r"held_out is 0\.5; leave it out"):
        Alignment("cca", held_out=0.5).fit(X, Y)
    with pytest.raises(ValueError, match="network Y has 50 samples and network X has 70"):
        Alignment("procrustes").fit(X, y)
    found = Alignment("procrustes", euclidean=True).fit(X, Y)
    with pytest.raises(ValueError, match="have 11 and 8 units; expected those of the fit, 8 and 11"):
        found.distance(y, x)
    with pytest.raises(ValueError, match="Procrustes with euclidean=True has no similarity"):
        found.score(x, y)
    for measure in ("predictivity", "cka"):
        with pytest.raises(ValueError, match=f"{measure} maps activity into no common space"):
            Alignment(measure).fit(X, Y).transform(x, y)
    with pytest.raises(ValueError, match="folds=5 of 8 samples"):
        Alignment("predictivity").fit(X[:8], Y[:8])
    tables = pd.DataFrame(X, index=range(1, 71)), pd.DataFrame(Y, index=range(2, 72))
    with pytest.raises(ValueError, match="different labels"):
        Alignment("cka").fit(*tables)


def test_the_size_of_numbers_does_not_matter():
    (X, Y), (x, y) = parts(8, 11)
    for measure in ALIGNED:
        plain = Alignment(measure).fit(X, Y)
        large = Alignment(measure).fit(1e200 * X, 1e-200 * Y)
        assert large.distance(1e200 * x, 1e-200 * y) == pytest.approx(plain.distance(x, y), rel=1e-6), measure
        if isinstance(plain.fitted_, CommonSpace):
            assert np.isfinite(large.transform(1e200 * x, 1e-200 * y)).all()


def test_euclidean_distances_keep_the_units_of_the_activity():
    fitted, others = parts(8, 11)
    one = Alignment("procrustes", **SCALED).fit(*fitted).distance(*others)
    large = Alignment("procrustes", **SCALED).fit(*(7 * each for each in fitted))
    assert large.distance(*(7 * each for each in others)) == pytest.approx(7 * one)
