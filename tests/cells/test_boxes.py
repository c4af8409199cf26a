"""The box that holds every recurrent state of a cell."""

import math
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.cell import Cell
from support.cell_equations import (
    N_INPUTS,
    N_OUTPUTS,
    UNITS,
    Gate,
    blank_cell,
    kinds,
    logistic,
    random_inputs,
    random_network,
    with_leaves,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@jax.jit
def step_all(cell: Cell, states: jax.Array, inputs: jax.Array) -> jax.Array:
    return jax.vmap(cell, (0, None))(states, inputs)


def scaled_cell(kind: str, scale: float, seed: int) -> tuple[Cell, jax.Array]:
    """A cell with random weights and biases of this size, and an input."""
    network = random_network(kind, "tanh", seed=seed)
    return jax.tree.map(lambda leaf: scale * leaf, network.cell()), jnp.asarray(random_inputs(1, seed)[0])


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 40.0])
@kinds
def test_a_tanh_cell_maps_its_box_into_itself(x64: None, kind: str, scale: float) -> None:
    rng = np.random.default_rng(11)
    for seed in range(5):
        cell, inputs = scaled_cell(kind, scale, seed)
        low, high = (np.asarray(side) for side in cell.box(inputs))
        assert np.isfinite(high).all()
        np.testing.assert_array_equal(low, -high)
        corners = rng.choice([-1.0, 1.0], size=(1000, len(high)))
        # Half of the memories on the faces, since a uniform draw in so many dimensions never comes near them.
        inside = np.where(rng.random(corners.shape) < 0.5, rng.uniform(-1, 1, corners.shape), corners)
        states = jnp.asarray(np.concatenate([corners, inside]) * high)
        after = np.asarray(step_all(cell, states, inputs))
        assert (np.abs(after) <= high * (1 + 1e-14)).all()


@pytest.mark.parametrize("kind", ["vanilla", "ugrnn", "gru"])
def test_the_box_of_a_cell_without_memory_is_the_unit_cube(kind: str) -> None:
    cell, inputs = scaled_cell(kind, 3.0, 0)
    low, high = cell.box(inputs)
    assert low.tolist() == [-1.0] * UNITS
    assert high.tolist() == [1.0] * UNITS


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_bound_of_an_lstms_memory_is_one_over_one_minus_the_widest_forget_gate(x64: None, scale: float) -> None:
    network, inputs = random_network("lstm", "tanh", seed=4), random_inputs(1)[0]
    W, U, b = (scale * part for part in network.gates["forget"])
    cell = jax.tree.map(lambda leaf: scale * leaf, network.cell())
    # The gate is monotone in each hidden unit, so its largest value over the cube is at a corner: try all.
    widest = [
        max(logistic(Gate(W, U, b)(list(corner), list(inputs), i)) for corner in product((-1.0, 1.0), repeat=UNITS))
        for i in range(UNITS)
    ]
    _, high = cell.box(jnp.asarray(inputs))
    np.testing.assert_array_equal(high[:UNITS], 1.0)
    np.testing.assert_allclose(high[UNITS:], [1 / (1 - f) for f in widest], rtol=1e-9)


def test_the_bound_of_an_lstms_memory_keeps_its_digits_when_the_forget_gate_saturates(x64: None) -> None:
    """At a pre-activation of 50, σ rounds to 1 and 1/(1 − σ) to infinity; the bound is 1 + e⁵⁰."""
    cell = blank_cell("lstm", 1, 1, 1)
    cell = with_leaves(cell, {"recurrent_weights": np.array([[0.0], [-48.0], [0.0], [0.0]])})
    cell = with_leaves(cell, {"input_weights": np.array([[0.0], [0.5], [0.0], [0.0]])})
    _, high = cell.box(jnp.array([2.0]))  # 48 from |h| = 1, 1 from the input, 1 from the forget bias
    assert float(high[1]) == pytest.approx(1 + math.exp(50), rel=1e-12)


@pytest.mark.parametrize("kind", ["vanilla", "ugrnn", "gru"])
def test_a_relu_cell_has_a_box_where_excitation_dies_out_and_maps_it_into_itself(x64: None, kind: str) -> None:
    rng = np.random.default_rng(12)
    for seed in range(5):
        network, inputs = random_network(kind, "relu", seed=seed).cell(), jnp.asarray(random_inputs(1, seed)[0])
        rows = slice(network.gates.index("candidate") * UNITS, (network.gates.index("candidate") + 1) * UNITS)
        excitation = np.maximum(np.asarray(network.recurrent_weights[rows]), 0)
        radius = np.abs(np.linalg.eigvals(excitation)).max()
        for share in (0.5, 0.95, 1.05):
            cell = with_leaves(network, {"recurrent_weights": np.asarray(network.recurrent_weights) * share / radius})
            box = cell.box(inputs)
            assert (box is None) == (share > 1)
            if box is None:
                continue
            low, high = (np.asarray(side) for side in box)
            assert (low < high).all()
            states = low + (high - low) * rng.choice([0.0, 0.3, 1.0], size=(1000, UNITS))
            after = np.asarray(step_all(cell, jnp.asarray(states), inputs))
            assert ((low <= after) & (after <= high * (1 + 1e-12))).all()


def test_a_relu_lstm_has_no_box() -> None:
    assert blank_cell("lstm", N_INPUTS, UNITS, N_OUTPUTS, "relu").box(jnp.zeros(N_INPUTS)) is None
