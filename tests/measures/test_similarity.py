"""Similarities: each is the number that the literature reports, 1 for the same network, or refused with a reason."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from sklearn.cross_decomposition import CCA

from dynatlas import distance, similarity
from dynatlas.measures import MEASURES, Measure, register_measure
from support.activities import SCALED, VARIANTS, cka, networks, rotation

BOUNDED = [(name, options) for name, options in VARIANTS if options != SCALED]
OF_TRIALS = [(name, {"score_method": form}) for name in ("dsa", "input_dsa") for form in ("angular", "euclidean")]


def trials(seed):
    """Activity of a linear map, [8 trials, 20 steps, 3 units], and the inputs that drive it."""
    random = np.random.default_rng(seed)
    inputs, step = random.normal(size=(8, 20, 2)), 0.8 * rotation(3, seed)
    states, into = [random.normal(size=(8, 3))], random.normal(size=(2, 3))
    for now in range(1, 20):
        states.append(states[-1] @ step + inputs[:, now] @ into)
    return np.stack(states, axis=1), inputs


def test_every_measure_has_a_similarity_or_a_reason():
    tested = {name for name, _ in BOUNDED + OF_TRIALS}
    assert tested == set(MEASURES)


@pytest.mark.parametrize(("measure", "options"), BOUNDED)
def test_a_network_is_exactly_1_to_itself_and_less_to_another(measure, options):
    X, Y = networks(8, 11)
    assert similarity(X, X.copy(), measure, **options) == 1.0
    between = similarity(X, Y, measure, **options)
    assert -1 < between < 1
    assert between == pytest.approx(similarity(Y, X, measure, **options), abs=1e-12)
    nearer = X + 0.2 * np.random.default_rng(0).normal(size=X.shape)
    assert similarity(X, nearer, measure, **options) > similarity(X, X + 9 * (nearer - X), measure, **options)


@pytest.mark.parametrize(("measure", "options"), OF_TRIALS)
def test_aligned_dynamics_are_1_to_themselves(measure, options):
    (X, inputs), (Y, _) = trials(0), trials(1)
    more = {"inputs": inputs} if measure == "input_dsa" else {}
    assert similarity(X, X.copy(), measure, **options, **more) == 1.0
    assert -1 < similarity(X, Y, measure, **options, **more) < 0.99
    both = [similarity(X, Y, measure, score_method=form, **more) for form in ("angular", "euclidean")]
    assert both[0] == pytest.approx(both[1], abs=1e-9)  # the cosine of one angle, from the angle and from its chord


def test_similarities_are_what_the_literature_reports():
    X, Y = networks(8, 11)
    A, B = X - X.mean(axis=0), Y - Y.mean(axis=0)
    norms = np.linalg.norm(A) * np.linalg.norm(B)
    assert similarity(X, Y, "cka") == pytest.approx(1 - cka(X, Y), abs=1e-7)
    assert similarity(X, Y, "procrustes") == pytest.approx(np.linalg.norm(A.T @ B, "nuc") / norms)
    assert similarity(X, Y, "rsa") == pytest.approx(scipy.stats.spearmanr(pdist(X), pdist(Y)).statistic)
    Z = networks(8, 8)[1]
    C = Z - Z.mean(axis=0)
    rows, columns = linear_sum_assignment(A.T @ C, maximize=True)  # of networks scaled to one norm
    matched = (A.T @ C)[rows, columns].sum() / (np.linalg.norm(A) * np.linalg.norm(C))
    assert similarity(X, Z, "soft_matching") == pytest.approx(matched)
    ours = similarity(X, Z, "cca", regularization=0)
    variables = CCA(n_components=8, scale=False, max_iter=5000, tol=1e-12).fit(X, Z).transform(X, Z)
    theirs = [np.corrcoef(x, z)[0, 1] for x, z in zip(variables[0].T, variables[1].T, strict=True)]
    assert ours == pytest.approx(np.mean(theirs), abs=1e-6)
    assert similarity(X, Z, variance=1.0) == pytest.approx(ours, abs=1e-9)


def test_worse_than_the_mean_is_negative():
    X, Y = np.random.default_rng(0).normal(size=(2, 30, 6))
    assert similarity(X, Y, "predictivity") < 0


@pytest.mark.parametrize(
    ("measure", "options", "option"),
    [("procrustes", SCALED, "euclidean=False"), ("dsa", {}, "angular"), ("input_dsa", {}, "angular")],
)
def test_distances_without_an_upper_limit_are_refused_before_they_are_computed(measure, options, option):
    inputs = {"inputs": np.zeros((1, 1, 1))} if measure == "input_dsa" else {}
    with pytest.raises(ValueError, match=f"has no similarity: its distances have no upper limit; use .*{option}"):
        similarity(np.zeros((2, 2)), np.zeros((2, 2)), measure, **options, **inputs)


@pytest.mark.usefixtures("forgotten")
def test_a_registered_measure_states_its_own_or_has_none():
    @register_measure("offset")
    @dataclass(frozen=True)
    class Offset(Measure):
        def reduce(self, activity):
            return {"size": np.asarray(np.abs(activity).max())}

        def between(self, first, second):
            return float(abs(first["size"] - second["size"]))

    X, Y = networks(8, 11)
    with pytest.raises(ValueError, match=r"Offset has no similarity: its class defines none \(Measure\.similarity\)"):
        similarity(X, Y, "offset")
    Offset.similarity = lambda self, distance: 1 / (1 + distance)
    assert similarity(X, Y, "offset") == 1 / (1 + distance(X, Y, "offset"))


def test_warnings_point_at_the_caller(pytestconfig):
    if pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("wrappers that check types stand between the caller and the function")
    X, Y = np.random.default_rng(0).normal(size=(2, 10, 20))
    with pytest.warns(UserWarning, match="fewer than the units") as seen:
        similarity(X, Y, "cka")
    assert {each.filename for each in seen} == {__file__}
    with pytest.warns(UserWarning, match="fewer than the units") as seen:
        distance(X, Y, "cka")
    assert {each.filename for each in seen} == {__file__}
