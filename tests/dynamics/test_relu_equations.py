"""The equations that are read from a step's program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.registry import CELLS
from dynatlas.dynamics.piecewise_linear.equations import relu_equations
from dynatlas.dynamics.piecewise_linear.program import NotPiecewiseLinearError, read_program


def equations(step, n, inputs=None):
    with jax.enable_x64(True):
        return relu_equations(step, n, inputs)


def cell_and_equations(kind, **settings):
    with jax.enable_x64(True):
        cell = kind(3, 6, 2, "relu", key=jax.random.key(0), **settings).astype(jnp.float64)
        inputs = jnp.array([0.5, -1.0, 2.0])
        found = relu_equations(cell.under(inputs), len(cell.initial_state), jnp.zeros(0))
        return found, np.asarray(cell.connectivity()), np.asarray(cell.project(inputs))


def test_a_vanilla_network_has_its_own_weights():
    found, weights, drive = cell_and_equations(CELLS["vanilla"])
    np.testing.assert_array_equal(found.weights, weights)
    np.testing.assert_allclose(found.constant, drive, rtol=1e-14)
    np.testing.assert_array_equal(found.states(np.eye(6)), np.eye(6))


@pytest.mark.parametrize("form", ["rates", "currents"])
def test_a_leak_does_not_move_fixed_points(form):
    """h = relu(W h + b) and v = W relu(v) + b have the same rates, whatever α."""
    found, weights, drive = cell_and_equations(CTRNN, form=form, excitatory=0.5, tau=[30.0, 300.0])
    np.testing.assert_allclose(found.weights, weights, atol=1e-12)
    np.testing.assert_allclose(found.constant, drive, atol=1e-12)
    rates = np.abs(np.random.default_rng(0).normal(size=(1, 6)))
    expected = rates if form == "rates" else rates @ weights.T + drive
    np.testing.assert_allclose(found.states(rates), expected, atol=1e-12)


def test_an_update_gate_does_not_move_fixed_points():
    found, weights, drive = cell_and_equations(CELLS["ugrnn"])
    np.testing.assert_allclose(found.weights, weights[:6], atol=1e-12)
    np.testing.assert_allclose(found.constant, drive[:6], atol=1e-12)
    assert found.orientation == 1


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_gate_inside_or_before_a_relu_is_no_update_gate(kind):
    assert cell_and_equations(CELLS[kind])[0] is None


def test_only_a_gate_that_scales_a_row_is_left_out():
    gate = jax.nn.sigmoid
    relu = jax.nn.relu
    assert equations(lambda h, x: gate(h) * relu(h - 1), 2) is None  # h = g c is not h = c
    assert equations(lambda h, x: gate(h) * h + gate(-h) * relu(h - 1), 2) is None  # two gates that are not read as one
    assert equations(lambda h, x: h + gate(h) * (relu(h / 2 + 1) - h), 2).weights.tolist() == [[0.5, 0], [0, 0.5]]


def test_other_functions_have_no_equations():
    assert equations(lambda h, x: jnp.tanh(h), 2) is None
    assert equations(lambda h, x: jnp.tanh(jax.nn.relu(h)), 2) is None
    assert equations(lambda h, x: jax.nn.relu(h) * h, 2) is None
    assert equations(lambda h, x: jax.nn.relu(h * h), 2) is None
    assert equations(lambda h, x: jnp.where(h > 0, jax.nn.relu(h), 3.0), 2) is None
    assert equations(lambda h, x: jax.nn.relu(h.astype(int).astype(float)), 2) is None
    assert equations(lambda h, x: jax.nn.relu(h)[jnp.argsort(h)], 2) is None
    assert equations(lambda h, x: h + jax.nn.relu(h), 2) is None  # an integrator: I − A is singular


def test_maxima_minima_and_several_layers():
    """Each state after another: the equations of all relus reproduce the step at random states."""
    random = np.random.default_rng(0)
    first, second, third = random.normal(size=(3, 4, 4))
    bias = random.normal(size=8)

    def step(h, x):
        below = jnp.maximum(first @ h[:4] + bias[:4], x)
        above = 0.5 * h[4:] + jnp.minimum(second @ below + third @ h[4:], bias[4:]) / 3
        return jnp.concatenate([below, above])

    inputs = np.array([0.25])
    with jax.enable_x64(True):
        program = read_program(step, 8, jnp.asarray(inputs), np.zeros(0))
        for state in random.normal(size=(20, 8)):
            values = np.zeros(8)
            for _ in range(2):  # E has two blocks
                driven = program.inner_state @ state + program.inner_relus @ values + program.inner_constant
                values = np.maximum(driven, 0)
            reached = program.state @ state + program.relus @ values + program.constant
            np.testing.assert_allclose(reached, step(state, inputs), atol=1e-12)


def test_a_program_without_relus_says_so():
    with pytest.raises(NotPiecewiseLinearError, match="no relu"):
        read_program(lambda h, x: 2 * h, 2, None, np.zeros(0))
    with pytest.raises(NotPiecewiseLinearError, match="exp"):
        read_program(lambda h, x: jax.nn.relu(jnp.exp(h)), 2, None, np.zeros(0))
