"""Growth at infinity, and the sum of the indices of all solutions, beside all 2^m patterns."""

import itertools

import numpy as np
import pytest

from dynatlas.dynamics.piecewise_linear.growth import growth


def random_weights(count, most=6, seed=0):
    """Weights of one to six relus, of three strengths, and constants."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        size = int(random.integers(1, most + 1))
        yield random.normal(size=(size, size)) * random.choice([0.5, 1, 2]), random.normal(size=size)


def indices_of_all(weights, constant):
    """The indices sign det(I − S M) of all solutions of z = relu(M z + e)."""
    size, found = len(constant), []
    for pattern in itertools.product((0.0, 1.0), repeat=size):
        on = np.array(pattern)
        matrix = np.eye(size) - on[:, None] * weights
        z = np.linalg.solve(matrix, on * constant)
        driven = weights @ z + constant
        if (z[on > 0] > 0).all() and (driven[on == 0] < 0).all():
            found.append(int(np.sign(np.linalg.det(matrix))))
    return found


@pytest.mark.parametrize("constant", [1.0, -1.0])
@pytest.mark.parametrize(("slope", "total"), [(0.5, 1), (-3.0, 1), (2.0, 0)])
def test_one_unit(slope, total, constant):
    """h = relu(a h + b): one root for a < 1; for a > 1 two for b < 0 (0 and b/(1 − a)), none for b > 0."""
    found = growth(np.array([[slope]]))
    assert found.index_sum == total == sum(indices_of_all(np.array([[slope]]), np.array([constant])))
    assert [each.factor for each in found.directions] == ([slope] if slope > 1 else [])
    assert found.is_proven == (slope < 1)


def test_a_unit_that_only_just_does_not_decay_has_no_sum():
    found = growth(np.array([[1.0]]))
    assert [each.sign for each in found.directions] == [0]
    assert found.index_sum is None


def test_the_sum_of_random_maps_follows_from_their_growth():
    """1 where no direction is found, and 1 − Σ s where some are: the sum over all 2^m patterns agrees each time."""
    grown = supported = 0
    for weights, constant in random_weights(150):
        found = growth(weights)
        assert found.index_sum == sum(indices_of_all(weights, constant))
        grown += bool(found.directions)
        supported += not found.directions and not found.is_proven
    assert grown > 30
    assert supported > 10


def test_each_direction_is_one():
    for weights, _ in random_weights(100, seed=1):
        for each in growth(weights).directions:
            np.testing.assert_allclose(np.maximum(weights @ each.vector, 0), each.factor * each.vector, atol=1e-9)
            assert each.factor >= 1
            assert each.vector.min() >= 0
            assert each.vector.max() == pytest.approx(1)


def test_an_attracting_direction_is_where_runs_go():
    """Each of two units excites itself and inhibits the other: along each it grows; along the sum it does too, but not
    stably.
    """
    weights = np.array([[2.0, -0.5], [-0.5, 2.0]])
    found = growth(weights)
    by_factor = {round(each.factor, 9): each for each in found.directions}
    assert sorted(round(each.factor, 9) for each in found.directions) == [1.5, 2.0, 2.0]
    assert not by_factor[1.5].attracts
    assert by_factor[2.0].attracts
    assert [by_factor[1.5].sign, by_factor[2.0].sign] == [-1, 1]
    assert found.index_sum == 0
    state = np.array([1.0, 0.9])
    for _ in range(40):
        state = np.maximum(weights @ state, 0)
    np.testing.assert_allclose(state / state.max(), [1, 0], atol=1e-12)


def test_what_is_proven_shrinks_in_all_directions():
    """Where a norm proves that nothing grows, no multiple of any v ≥ 0 is its image with a factor of 1 or more."""
    proven = 0
    for weights, _ in random_weights(200, seed=2):
        found = growth(weights)
        if not found.is_proven:
            continue
        proven += 1
        size = len(weights)
        for pattern in itertools.product((False, True), repeat=size):
            units = np.flatnonzero(pattern)
            values, vectors = np.linalg.eig(weights[np.ix_(units, units)])
            for value, vector in zip(values, vectors.T, strict=True):
                one_sign = (vector.real > 0).all() or (vector.real < 0).all()
                if abs(value.imag) < 1e-12 and value.real >= 1 and one_sign:
                    full = np.zeros(size)
                    full[units] = np.abs(vector.real)
                    assert (weights @ full)[~np.array(pattern)].max(initial=-1) > 0
    assert proven > 50
