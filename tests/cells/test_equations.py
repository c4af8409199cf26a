"""Every cell follows its equations, written out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.cell import Cell
from dynatlas.cells.registry import CELLS
from support.cell_equations import (
    GATES,
    LEAVES,
    N_INPUTS,
    N_OUTPUTS,
    UNITS,
    Gate,
    Network,
    blank_cell,
    kinds,
    random_inputs,
    random_network,
    respond,
    torch_gru_step,
    variants,
    with_leaves,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


# Compiled once for all tests.
@jax.jit
def step(cell: Cell, state: jax.Array, inputs: jax.Array) -> jax.Array:
    return cell(state, inputs)


def check_every_step(kind: str, activation: str, dtype: type, tolerance: float) -> None:
    network, inputs = random_network(kind, activation), random_inputs()
    expected, cell, inputs_ = network.states(inputs), network.cell(), jnp.asarray(inputs, dtype)
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-3, "the reference must keep moving"
    called = [cell.initial_state]
    for x in inputs_:
        called.append(step(cell, called[-1], x))
    states, outputs = respond(cell, inputs_)
    assert states.dtype == outputs.dtype == called[-1].dtype == dtype
    np.testing.assert_allclose(np.array(called[1:]), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(states, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(outputs, network.outputs(expected), rtol=tolerance, atol=tolerance)


@variants
def test_every_step_follows_the_equations_in_float64(x64: None, kind: str, activation: str) -> None:
    check_every_step(kind, activation, np.float64, 1e-12)


@variants
def test_every_step_follows_the_equations_in_float32(kind: str, activation: str) -> None:
    check_every_step(kind, activation, np.float32, 1e-5)


@kinds
def test_gates_are_named_in_the_documented_order(kind: str) -> None:
    assert CELLS[kind].gates == GATES[kind]


def test_the_readout_of_an_lstm_sees_the_hidden_units_and_not_the_memory(x64: None) -> None:
    cell = random_network("lstm", "tanh").cell()
    state = jnp.arange(1.0, 2 * UNITS + 1)
    other_memory = state.at[UNITS:].set(-7.0)
    other_hidden = state.at[0].set(-7.0)
    np.testing.assert_array_equal(cell.readout(state), cell.readout(other_memory))
    assert not np.allclose(cell.readout(state), cell.readout(other_hidden))


@kinds
def test_a_run_starts_from_the_learned_initial_state(x64: None, kind: str) -> None:
    network, inputs = random_network(kind, "tanh"), random_inputs()
    moved = network._replace(initial_state=network.initial_state + 0.5)
    run, run_moved = (respond(each.cell(), jnp.asarray(inputs))[0] for each in (network, moved))
    np.testing.assert_allclose(run_moved, moved.states(inputs), rtol=1e-12, atol=1e-12)
    assert np.abs(run[0] - run_moved[0]).max() > 1e-2


@variants
def test_a_cell_under_a_static_input_is_the_same_map(x64: None, kind: str, activation: str) -> None:
    cell = random_network(kind, activation).cell()
    random = np.random.default_rng(4)
    state = jnp.asarray(random.normal(size=cell.initial_state.shape))
    inputs = jnp.asarray(random.normal(size=N_INPUTS))
    under = cell.under(inputs)
    np.testing.assert_allclose(step(under, state, jnp.zeros(0)), step(cell, state, inputs), rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(under.initial_state, cell.initial_state)
    other = blank_cell(kind, 1, UNITS, 1, activation).astype(float).under(jnp.ones(1))
    assert jax.tree.map(jnp.shape, under) == jax.tree.map(jnp.shape, other)  # one compiled program serves both


@kinds
def test_astype_changes_the_type_of_every_weight_and_no_value(x64: None, kind: str) -> None:
    cell = blank_cell(kind, N_INPUTS, UNITS, N_OUTPUTS, "relu")
    wide = cell.astype(jnp.float64)
    assert {leaf.dtype for leaf in jax.tree.leaves(cell)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(wide)} == {jnp.dtype("float64")}
    assert wide.activation == "relu"
    for leaf, wide_leaf in zip(jax.tree.leaves(cell), jax.tree.leaves(wide), strict=True):
        np.testing.assert_array_equal(leaf, wide_leaf)


def test_the_grus_reset_gate_acts_before_the_recurrent_product_in_a_hand_worked_case(x64: None) -> None:
    """Unit 1 reads unit 0 alone. Unit 0's reset gate is shut, unit 1's is open, both update gates are shut.

    The candidate of unit 1 is tanh(r_0 h_0) = tanh(0) before the product (ours), tanh(r_1 h_0) after (torch).
    """
    shut, wide = -800.0, 800.0  # σ is 0 and 1 to the last digit
    zeros, no_input = np.zeros((2, 2)), np.zeros((2, 1))
    gates = {
        "reset": Gate(zeros, no_input, np.array([shut, wide])),
        "update": Gate(zeros, no_input, np.array([shut, shut])),
        "candidate": Gate(np.array([[0.0, 0.0], [1.0, 0.0]]), no_input, np.zeros(2)),
    }
    cell = Network("gru", "tanh", gates, np.zeros(2), np.ones((1, 2)), np.zeros(1)).cell()
    after = step(cell, jnp.array([1.0, 0.0]), jnp.zeros(1))
    np.testing.assert_array_equal(after, [0.0, 0.0])
    swapped = with_leaves(cell, {"bias": np.array([wide, shut, shut, shut, 0.0, 0.0])})
    np.testing.assert_allclose(swapped(jnp.array([1.0, 0.0]), jnp.zeros(1)), [0.0, math.tanh(1.0)], rtol=1e-15)


def test_the_two_forms_of_the_gru_part_at_the_first_step(x64: None) -> None:
    network, inputs = random_network("gru", "tanh"), random_inputs(1)
    torch_form = torch_gru_step(network.gates, np.zeros(UNITS), list(network.initial_state), list(inputs[0]))
    ours = step(network.cell(), jnp.asarray(network.initial_state), jnp.asarray(inputs[0]))
    assert np.abs(np.asarray(ours) - np.array(torch_form)).max() > 1e-2


def moved(network: Network, direction: Network, leaf: str, distance: float) -> Network:
    """``network`` with one of its leaves moved along that of ``direction``."""
    in_gates = {"recurrent_weights": "W", "input_weights": "U", "bias": "b"}
    if leaf in in_gates:
        part = in_gates[leaf]
        gates = {
            name: gate._replace(**{part: getattr(gate, part) + distance * getattr(direction.gates[name], part)})
            for name, gate in network.gates.items()
        }
        return network._replace(gates=gates)
    part = {"initial_state": "initial_state", "readout_weights": "R", "readout_bias": "d"}[leaf]
    return network._replace(**{part: getattr(network, part) + distance * getattr(direction, part)})


@variants
def test_gradients_are_the_finite_differences_of_the_equations(x64: None, kind: str, activation: str) -> None:
    """Against central differences of the reference, so that forward and backward pass are both judged by it.

    The step of 1e-5 crosses no kink of relu for these seeds; a crossing would err far above the bound.
    """
    network, inputs = random_network(kind, activation, seed=7), random_inputs(8)
    targets = np.random.default_rng(8).normal(size=(8, N_OUTPUTS))

    @jax.jit
    def gradient(cell: Cell) -> Cell:
        def loss(cell: Cell) -> jax.Array:
            return jnp.mean((jax.vmap(cell.readout)(cell.run(jnp.asarray(inputs))) - targets) ** 2)

        return jax.grad(loss)(cell)

    def reference_loss(network: Network) -> float:
        return float(np.mean((network.outputs(network.states(inputs)) - targets) ** 2))

    exact, step = gradient(network.cell()), 1e-5
    for leaf in LEAVES:
        for seed in (21, 22, 23):
            direction = random_network(kind, activation, seed=seed)
            along = float(np.sum(np.asarray(getattr(exact, leaf)) * direction.leaves()[leaf]))
            ahead, behind = (reference_loss(moved(network, direction, leaf, by)) for by in (step, -step))
            assert abs(along) > 1e-4, f"{leaf}: the derivative along this direction is too small to judge"
            assert along == pytest.approx((ahead - behind) / (2 * step), rel=1e-6), leaf
