"""Initial weights, and cells that cannot be made."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dynatlas.cells.cell import Cell
from dynatlas.cells.registry import CELLS
from support.cell_equations import GATES, N_INPUTS, N_OUTPUTS, UNITS, blank_cell, kinds, variants

pytestmark = pytest.mark.usefixtures("quick_compilation")


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def make(key: jax.Array, kind: str, n_inputs: int, units: int, n_outputs: int) -> Cell:
    return CELLS[kind](n_inputs, units, n_outputs, key=key)


@kinds
def test_initial_weights_are_independent_and_normal_with_variance_one_over_fan_in(kind: str) -> None:
    n_inputs, units, n_outputs = 40, 200, 100
    cell = make(jax.random.key(1), kind, n_inputs, units, n_outputs)
    blocks = {("readout", ""): (cell.readout_weights, units)}
    for name, weights, fan_in in (
        ("recurrent", cell.recurrent_weights, units),
        ("input", cell.input_weights, n_inputs),
    ):
        for gate, block in zip(GATES[kind], np.split(np.asarray(weights), len(GATES[kind])), strict=True):
            blocks[name, gate] = (block, fan_in)
    scaled = []
    for name, (block, fan_in) in blocks.items():
        values = np.asarray(block, np.float64).ravel() * math.sqrt(fan_in)
        # The variance of n normal numbers has a standard error of sqrt(2/n); five of them.
        assert values.var() == pytest.approx(1, abs=5 * math.sqrt(2 / values.size)), name
        assert stats.kstest(values, "norm").pvalue > 1e-3, name
        scaled.append(values[: units * n_inputs])
    correlations = np.corrcoef(scaled) - np.eye(len(scaled))
    assert np.abs(correlations).max() < 5 / math.sqrt(units * n_inputs)


@variants
def test_initial_biases_and_states_are_zero_but_for_the_forget_gate(kind: str, activation: str) -> None:
    cell = blank_cell(kind, N_INPUTS, UNITS, N_OUTPUTS, activation)
    bias = dict(zip(cell.gates, np.split(np.asarray(cell.bias), len(cell.gates)), strict=True))
    for gate, values in bias.items():
        assert values.tolist() == [1.0 if gate == "forget" else 0.0] * UNITS, gate
    assert cell.initial_state.tolist() == [0.0] * (2 * UNITS if kind == "lstm" else UNITS)
    assert cell.readout_bias.tolist() == [0.0] * N_OUTPUTS


def test_the_initial_weights_follow_from_the_key_alone() -> None:
    """Not from the precision that is enabled, nor from how many networks are made at once.

    For one kind of cell, since all draw their weights in the same place and compiling that takes a second.
    """
    keys = jax.random.split(jax.random.key(9), 3)
    alone = [make(key, "lstm", N_INPUTS, UNITS, N_OUTPUTS) for key in keys]
    stack = jax.jit(jax.vmap(lambda key: make(key, "lstm", N_INPUTS, UNITS, N_OUTPUTS)))(keys)
    with jax.enable_x64(True):
        wide = make(keys[0], "lstm", N_INPUTS, UNITS, N_OUTPUTS)
    for leaf, wide_leaf in zip(jax.tree.leaves(alone[0]), jax.tree.leaves(wide), strict=True):
        assert leaf.dtype == wide_leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, wide_leaf)
    for member, cell in enumerate(alone):
        for leaf, stacked in zip(jax.tree.leaves(cell), jax.tree.leaves(stack), strict=True):
            np.testing.assert_array_equal(leaf, stacked[member])
    for name in ("recurrent_weights", "input_weights", "readout_weights"):
        assert not np.allclose(getattr(alone[0], name), getattr(alone[1], name)), name


@pytest.mark.parametrize("size", ["n_inputs", "units", "n_outputs"])
@pytest.mark.parametrize("value", [0, -3])
@kinds
def test_a_cell_needs_at_least_one_of_everything(kind: str, size: str, value: int) -> None:
    sizes = {"n_inputs": N_INPUTS, "units": UNITS, "n_outputs": N_OUTPUTS, size: value}
    with pytest.raises(ValueError, match=f"^{size} is {value}; a cell needs at least 1$"):
        CELLS[kind](**sizes, key=jax.random.key(0))


@kinds
def test_an_unknown_activation_is_named_with_the_ones_that_exist(without_type_checks: None, kind: str) -> None:
    with pytest.raises(ValueError, match=r"^activation is 'elu'; expected one of tanh, relu, sigmoid, .*, identity$"):
        CELLS[kind](N_INPUTS, UNITS, N_OUTPUTS, "elu", key=jax.random.key(0))
