"""Lyapunov exponents: closed forms, published values, the mean log determinant, and what driving inputs do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells import GRU
from dynatlas.dynamics.attractors import find_attractors
from dynatlas.dynamics.cycles.lyapunov import lyapunov_spectrum


def henon(state, inputs):
    return jnp.array([1 - 1.4 * state[0] ** 2 + state[1], 0.3 * state[0]])


def test_henons_exponents_are_the_published_ones():
    """0.41922 and −1.62319 (Sprott 2003); their sum is ln 0.3."""
    found = lyapunov_spectrum(henon, [0.1, 0.1], steps=50_000)
    assert (abs(found.exponents - [0.41922, -1.62319]) < 4 * found.standard_errors).all()
    assert 0 < found.standard_errors[0] < 0.01
    assert found.exponents.sum() == pytest.approx(np.log(0.3), abs=1e-10)
    assert found.dimension == pytest.approx(1 + 0.41922 / 1.62319, abs=0.01)


def test_of_a_linear_map_they_are_the_logarithms_of_the_moduli():
    random = np.random.default_rng(0)
    basis = random.normal(size=(4, 4))
    values = np.array([0.9, 0.7, 0.5, 0.2])
    matrix = basis @ np.diag(values) @ np.linalg.inv(basis)
    found = lyapunov_spectrum(lambda h, x: matrix @ h, np.ones(4), steps=400, settle=400)
    np.testing.assert_allclose(found.exponents, np.log(values), rtol=1e-9)
    assert (found.standard_errors < 1e-9).all()
    assert found.dimension == 0


def test_their_sum_is_the_mean_log_determinant_also_under_inputs():
    random = np.random.default_rng(1)
    weights, taken = 1.5 * random.normal(size=(6, 6)), random.normal(size=(6, 2))
    inputs = random.normal(size=(700, 2))

    def step(state, now):
        return jnp.tanh(weights @ state + taken @ now)

    found = lyapunov_spectrum(step, np.zeros(6), inputs, steps=500, settle=200)
    state, logarithms = np.zeros(6), []
    for now in inputs:
        state = np.tanh(weights @ state + taken @ now)
        logarithms.append(np.log(abs(np.linalg.det((1 - state**2)[:, None] * weights))))
    assert found.exponents.sum() == pytest.approx(np.mean(logarithms[200:]), rel=1e-9)
    np.testing.assert_allclose(found.last_state, state, rtol=1e-6)


def test_fewer_exponents_are_the_first_ones():
    cell = jax.tree.map(lambda leaf: 3 * np.asarray(leaf, np.float64), GRU(2, 12, 1, "tanh", key=jax.random.key(0)))
    inputs = np.random.default_rng(2).normal(size=(600, 2))
    every, some = (
        lyapunov_spectrum(cell, np.zeros(12), inputs, n_exponents=count, steps=400, settle=200) for count in (12, 3)
    )
    np.testing.assert_allclose(some.exponents, every.exponents[:3], atol=0.02)
    assert (np.diff(every.exponents) <= 0).all()


def test_they_agree_with_those_of_attractors():
    attractor = find_attractors(henon, np.array([[0.1, 0.1]]), n_exponents=2)[0]
    found = lyapunov_spectrum(henon, [0.1, 0.1], steps=20_000)
    np.testing.assert_allclose(attractor.exponents, found.exponents, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": np.zeros((2, 2))}, r"state has shape \(2, 2\); expected \[n\]"),
        ({"steps": 10}, "steps is 10 and settle 1000; expected at least 32 and 0"),
        ({"n_exponents": 3}, "n_exponents is 3; expected 1 to 2, the size of the state"),
        ({"inputs": np.zeros((50, 1)), "steps": 40}, "expected .*at least settle . steps = 1,040 rows"),
        ({"state": [1e3, 1e3]}, "the trajectory diverges"),
    ],
)
def test_what_cannot_be_computed_is_said(options, message):
    given = {"state": [0.1, 0.1], "steps": 100} | options
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(henon, **given)
