"""All solutions of z = relu(M z + e), by hand and beside all 2^m patterns."""

import itertools

import numpy as np
import pytest

from dynatlas.dynamics.piecewise_linear.regions import all_solutions

ENOUGH = 100_000


def solutions(weights, constant):
    found = all_solutions(np.asarray(weights, float), np.asarray(constant, float), max_regions=ENOUGH)
    assert found.cut == ""
    return sorted(np.round(found.values, 9).tolist())


def solutions_of_all_patterns(weights, constant):
    size, found = len(constant), []
    for pattern in itertools.product((0.0, 1.0), repeat=size):
        on = np.array(pattern)
        z = np.linalg.solve(np.eye(size) - on[:, None] * weights, on * constant)
        if (z[on > 0] > 0).all() and ((weights @ z + constant)[on == 0] < 0).all():
            found.append(z)
    return np.array(found).reshape(-1, size)


@pytest.mark.parametrize(
    ("slope", "constant", "expected"),
    [(0.5, 1.0, [2.0]), (0.5, -1.0, [0.0]), (2.0, -1.0, [0.0, 1.0]), (2.0, 1.0, []), (-3.0, 4.0, [1.0])],
)
def test_one_unit(slope, constant, expected):
    assert [z for (z,) in solutions([[slope]], [constant])] == expected


def test_winner_take_all():
    """h1 = relu(h1/2 − h2 + 1) and the same for h2: (2, 0), (0, 2), and (2/3, 2/3) between them."""
    third = round(2 / 3, 9)
    assert solutions([[0.5, -1], [-1, 0.5]], [1, 1]) == [[0, 2], [third, third], [2, 0]]


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7])
def test_a_ring_of_mutual_inhibition(size):
    """h_i = relu(1 − 2 (h_{i−1} + h_{i+1})).

    A unit without neighbours that are on is at 1, and turns both neighbours off (1 − 2 < 0): in a ring of 4 every other
    unit can be on. All units at 1/5 balance. Whatever else there is, all 2^n patterns show.
    """
    weights = np.zeros((size, size))
    for unit in range(size):
        weights[unit, (unit + 1) % size] = weights[unit, (unit - 1) % size] = -2
    found = solutions(weights, np.ones(size))
    expected = sorted(np.round(solutions_of_all_patterns(weights, np.ones(size)), 9).tolist())
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert [0.2] * size in found
    if size == 4:
        assert [1, 0, 1, 0] in found
        assert [0, 1, 0, 1] in found


def test_all_patterns_of_random_maps():
    random = np.random.default_rng(0)
    several = 0
    for _ in range(60):
        size = int(random.integers(1, 8))
        weights, constant = random.normal(size=(size, size)) * random.choice([0.5, 1, 2]), random.normal(size=size)
        found = np.array(solutions(weights, constant)).reshape(-1, size)
        expected = np.array(sorted(np.round(solutions_of_all_patterns(weights, constant), 9).tolist()))
        assert len(found) == len(expected)
        np.testing.assert_allclose(found, expected.reshape(-1, size), atol=1e-6)
        several += len(found) > 1
    assert several > 5


def test_a_solution_on_a_kink_is_one():
    """z1 = relu(2 z1 − 1), z2 = relu(z1 − z2/2): at (0, 0) the second is neither on nor off."""
    assert solutions([[2, 0], [1, -0.5]], [-1, 0]) == [[0, 0], [1, round(2 / 3, 9)]]


def test_the_scale_does_not_matter():
    weights, constant = np.array([[0.5, -1], [-1, 0.5]]), np.ones(2)
    for scale in (1e-9, 1e9):
        found = all_solutions(weights, scale * constant, max_regions=ENOUGH)
        np.testing.assert_allclose(sorted((found.values / scale).tolist()), solutions(weights, constant), atol=1e-8)


def test_a_continuum_ends_the_enumeration():
    found = all_solutions(np.array([[1.0]]), np.array([0.0]), max_regions=ENOUGH)
    assert "continuum" in found.cut
    found = all_solutions(np.array([[1.0]]), np.array([1.0]), max_regions=ENOUGH)  # h = relu(h + 1): none
    assert found.cut == ""
    assert not len(found.values)


def test_a_budget_that_is_spent_is_no_proof():
    weights = np.array([[0.5, -1], [-1, 0.5]])
    assert "budget of 2 groups" in all_solutions(weights, np.ones(2), max_regions=2).cut
    late = all_solutions(weights, np.ones(2), max_regions=ENOUGH, out_of_time=lambda: True)
    assert "seconds" in late.cut
    assert late.n_groups == 0
