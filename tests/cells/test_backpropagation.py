from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.architectures import GRU
from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.cell import map_fixed
from dynatlas.cells.registry import CELLS

pytestmark = pytest.mark.usefixtures("quick_compilation")
ALL = [*ACTIVATIONS]
VARIANTS = [(cell, activation) for cell in CELLS for activation in ALL]


def network_and_inputs(cell, activation, dtype):
    network = CELLS[cell](3, 6, 2, activation, key=jax.random.key(1)).astype(dtype)
    network = jax.tree.map(lambda leaf: leaf + 0.1, network)  # initial state and biases away from 0
    return network, jax.random.normal(jax.random.key(2), (5, 9, 3), dtype)


@jax.jit
def plain_outputs(network, inputs):
    return jax.vmap(network.respond)(inputs)[1].swapaxes(0, 1)


compiled_outputs = jax.jit(batch_outputs)


def loss(outputs):
    # Every output at every step counts, each differently.
    weights = jnp.cos(jnp.arange(outputs.size, dtype=outputs.dtype)).reshape(outputs.shape)
    return jnp.sum(weights * jnp.sin(outputs))


@partial(jax.jit, static_argnums=0)
def gradients(outputs, network, inputs):
    def of(network, inputs):
        return loss(outputs(map_fixed(jax.lax.stop_gradient, network), inputs))

    return jax.grad(of, argnums=(0, 1))(network, inputs)


def assert_equal(seen, expected, tolerance):
    for wanted, got in zip(jax.tree.leaves(expected), jax.tree.leaves(seen), strict=True):
        np.testing.assert_allclose(got, wanted, atol=tolerance * max(float(jnp.abs(wanted).max()), 1e-3))


@pytest.mark.parametrize(("cell", "activation"), VARIANTS)
def test_outputs_are_those_of_the_cell_trial_by_trial(cell, activation):
    network, inputs = network_and_inputs(cell, activation, jnp.float32)
    np.testing.assert_allclose(compiled_outputs(network, inputs), plain_outputs(network, inputs), atol=1e-5)


@pytest.mark.parametrize(("cell", "activation"), VARIANTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_gradient_is_that_of_plain_automatic_differentiation(cell, activation, dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        network, inputs = network_and_inputs(cell, activation, dtype)
        expected = gradients(plain_outputs, network, inputs)
        trained = map_fixed(lambda leaf: None, expected[0])
        assert all(jnp.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves((trained, expected[1])))
        assert_equal(gradients(batch_outputs, network, inputs), expected, tolerance)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_several_networks_at_once_are_those_of_each(cell):
    networks = [network_and_inputs(cell, "tanh", jnp.float32)[0], CELLS[cell](3, 6, 2, key=jax.random.key(5))]
    inputs = jax.random.normal(jax.random.key(2), (2, 5, 9, 3))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    seen = jax.jit(jax.vmap(partial(gradients, batch_outputs)))(stacked, inputs)
    for i, network in enumerate(networks):
        expected = gradients(batch_outputs, network, inputs[i])
        assert_equal(jax.tree.map(lambda leaf, i=i: leaf[i], seen), expected, 1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_relu_at_zero_has_no_slope(cell):
    network, inputs = network_and_inputs(cell, "relu", jnp.float32)
    network = jax.tree.map(jnp.zeros_like, network)  # every sum is exactly 0
    for leaf in jax.tree.leaves(gradients(batch_outputs, network, inputs)[0])[:4]:
        np.testing.assert_array_equal(leaf, 0)


class Leaky(GRU):
    """A user's cell: it inherits from one of ours, and computes something else."""

    def combine(self, state, sums):
        return 0.9 * state + 0.1 * super().combine(state, sums)


def test_a_cell_of_the_users_own_is_differentiated_automatically():
    network, inputs = network_and_inputs("gru", "tanh", jnp.float32)
    leaky = Leaky(3, 6, 2, key=jax.random.key(1))
    leaky = jax.tree.unflatten(jax.tree.structure(leaky), jax.tree.leaves(network))
    np.testing.assert_allclose(compiled_outputs(leaky, inputs), plain_outputs(leaky, inputs), atol=1e-6)
    assert jnp.abs(compiled_outputs(leaky, inputs) - compiled_outputs(network, inputs)).max() > 0.01
    assert_equal(gradients(batch_outputs, leaky, inputs), gradients(plain_outputs, leaky, inputs), 1e-5)
