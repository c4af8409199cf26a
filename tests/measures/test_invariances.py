"""What each measure of geometry does not see, and what it does."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas import distance, distance_matrix
from dynatlas.measures.findings import FINDING_MEASURES
from dynatlas.measures.geometry.cka import CKA
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import all_pairs, compare, in_groups
from dynatlas.measures.registry import MEASURES, measure_of, register_measure
from support.activities import CORRELATED, SCALED, VARIANTS, WHITENED, cka, networks, rotation

ROTATION_INVARIANT = ("svcca", "cca", "cka", "procrustes", "rsa", "rbf_cka", "predictivity")


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
    if options == CORRELATED or measure == "soft_matching":
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
@settings(max_examples=15)
def test_invariances(measure, options, seed, width, scale):
    random = np.random.default_rng(seed)
    X, Y = (random.normal(size=(40, units)) @ random.normal(size=(units, units)) for units in (width, 7))
    allowed = X[:, random.permutation(width)] + random.normal(size=width)
    if measure in ROTATION_INVARIANT and options != CORRELATED:
        allowed = allowed @ rotation(width, seed)
    if options in ({"regularization": 0}, {"variance": 1.0}, WHITENED):
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
    assert distance(X, part, variance=1.0) == pytest.approx(5 / 8, abs=1e-9)
    with pytest.warns(UserWarning, match="no measure of difference"):
        assert distance(X, part, variance=1.0, per_network=True) < 1e-9
    assert distance(X, part, "pwcca") < 1e-9
    for measure in ("cka", "procrustes", "rsa"):
        assert distance(X, part, measure) > 0.01


@pytest.mark.parametrize("euclidean", [False, True])
@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=60)
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
    labelled = distance_matrix([X, Y, Z, X @ rotation(8, 1), 3 * X], measure, **options)
    matrix = labelled.values
    # All networks share a number of components, which may be larger than the one of a pair.
    given = {"components": labelled.attrs["components"]} if measure == "svcca" else options
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diagonal(matrix), 0)
    assert (matrix >= 0).all()
    for i, first in enumerate((X, Y, Z)):
        for j, second in enumerate((X, Y, Z)):
            assert matrix[i, j] == pytest.approx(distance(first, second, measure, **given), abs=1e-9)


@pytest.mark.parametrize(("measure", "options"), VARIANTS)
def test_permuting_the_networks_permutes_the_matrix(measure, options):
    named = dict(zip("abcd", networks(8, 11, 5, 8), strict=True))
    matrix = distance_matrix(named, measure, **options)
    order = list("cadb")
    permuted = distance_matrix({name: named[name] for name in order}, measure, **options)
    assert permuted.network.values.tolist() == order
    np.testing.assert_allclose(permuted, matrix.sel(network=order, other_network=order), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("measure", "options"),
    [variant for variant in VARIANTS if "held_out" not in variant[1] and variant[0] != "predictivity"],
)
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
        for name in FINDING_MEASURES:
            with pytest.raises(ValueError, match=f"dynatlas has a measure {name!r} already"):
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
