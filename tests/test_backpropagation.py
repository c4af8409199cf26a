import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.backpropagation import batch_states
from dynatlas.cells import CELLS

pytestmark = pytest.mark.usefixtures("quick_compilation")
VARIANTS = [(cell, activation) for cell in CELLS for activation in ("tanh", "relu")]


def network_and_inputs(cell, activation, dtype):
    network = CELLS[cell](3, 6, 2, activation, key=jax.random.key(1)).astype(dtype)
    network = jax.tree.map(lambda leaf: leaf + 0.1, network)  # initial state and biases away from 0
    return network, jax.random.normal(jax.random.key(2), (5, 9, 3), dtype)


def loss(states, cell):
    # Every state at every step counts, each differently.
    weights = jnp.cos(jnp.arange(states.size, dtype=states.dtype)).reshape(states.shape)
    return jnp.sum(weights * jnp.sin(states)) + jnp.sum(cell.readout_weights)


@pytest.mark.parametrize(("cell", "activation"), VARIANTS)
def test_states_are_those_of_the_cell_run_trial_by_trial(cell, activation):
    network, inputs = network_and_inputs(cell, activation, jnp.float32)
    expected = jnp.stack([network.run(trial) for trial in inputs], axis=1)
    np.testing.assert_allclose(batch_states(network, inputs), expected, atol=1e-5)


@pytest.mark.parametrize(("cell", "activation"), VARIANTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_gradient_is_that_of_plain_automatic_differentiation(cell, activation, dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        network, inputs = network_and_inputs(cell, activation, dtype)

        def plain(network, inputs):
            return loss(jax.vmap(network.run)(inputs).swapaxes(0, 1), network)

        def fast(network, inputs):
            return loss(batch_states(network, inputs), network)

        expected, seen = (jax.jit(jax.grad(f, argnums=(0, 1)))(network, inputs) for f in (plain, fast))
        for wanted, got in zip(jax.tree.leaves(expected), jax.tree.leaves(seen), strict=True):
            scale = float(jnp.abs(wanted).max())
            np.testing.assert_allclose(got, wanted, atol=tolerance * max(scale, 1e-3))
