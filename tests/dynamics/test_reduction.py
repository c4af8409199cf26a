import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from dynatlas import find_fixed_points
from dynatlas.dynamics.completeness.reduction import find_reduction

KEY = jax.random.key(0)


def reduction_of(step, size):
    with jax.enable_x64(True):
        starts = np.random.default_rng(0).normal(size=(64, size))
        return find_reduction(step, starts, None, (np.full(size, -1.0), np.full(size, 1.0)))


def copies(units, each, seed=0):
    """Weights of independent bistable units, each replaced by equal copies in a random order; and their groups."""
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(units), each))
    return 2.0 * (groups[:, None] == groups) / each, groups


def test_equal_copies_are_one_unit():
    weights, groups = copies(3, 32)
    reduction = reduction_of(lambda h, _: jnp.tanh(weights @ h), 96)
    assert reduction.basis.shape == (96, 3)
    same = np.asarray(reduction.basis) @ np.asarray(reduction.basis).T
    np.testing.assert_allclose(same, (groups[:, None] == groups) / 32, atol=1e-12)


def test_independent_equal_units_are_no_copies():
    """Equal states stay equal, but other states do not become equal: 3⁴⁸ roots."""
    assert reduction_of(lambda h, _: jnp.tanh(2 * h), 48) is None


def test_a_network_of_copies_has_the_roots_of_its_units():
    weights, groups = copies(2, 32)
    starts = 0.1 * np.random.default_rng(1).normal(size=(64, 64))
    points = find_fixed_points(lambda h, _: jnp.tanh(weights @ h), starts, box=(-1, 1), key=KEY)
    assert points.n_unstable.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert points.certificate == "complete"
    assert (points.q <= 1e-20).all()
    levels = points.states[:, [int(np.flatnonzero(groups == group)[0]) for group in (0, 1)]]
    np.testing.assert_allclose(np.abs(levels).max(), 0.9575040240772687, atol=1e-9)
    np.testing.assert_allclose(points.states, levels[:, groups], atol=1e-9)
    assert points.eigenvalues.shape == (9, 64)


@pytest.mark.parametrize("form", ["current", "rate"])
def test_a_network_of_rank_one_has_the_roots_of_one_variable(form):
    random = np.random.default_rng(0)
    size = 96
    left = random.normal(size=size)
    right = 1.8 * left + 0.3 * random.normal(size=size)

    def step(state, _):
        if form == "current":
            return 0.8 * state + 0.2 * jnp.asarray(left) * (right @ jnp.tanh(state)) / size
        return 0.8 * state + 0.2 * jnp.tanh(jnp.asarray(left) * (right @ state) / size)

    reduction = reduction_of(step, size)
    assert reduction.basis.shape == (size, 1)
    assert float(reduction.rate) == pytest.approx(0.8)
    bound = 1 + np.abs(left).max() * np.abs(right).sum() / size
    points = find_fixed_points(step, random.normal(size=(64, size)), box=(-bound, bound), key=KEY)
    expected = brentq(lambda kappa: np.mean(right * np.tanh(left * kappa)) - kappa, 1e-3, 10)
    states = left * expected if form == "current" else np.tanh(left * expected)
    np.testing.assert_allclose(np.sort(np.abs(points.states[:2]), axis=0)[0], np.abs(states), atol=1e-8)
    np.testing.assert_allclose(points.states[2], 0, atol=1e-9)
    assert points.n_unstable.tolist() == [0, 0, 1]
    assert points.certificate == "complete"
    assert re.search(r"; searched in 1 of \d+ dimensions, which decide the others$", points.reason)
