"""Many networks at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.cell_equations import UNITS, random_inputs, random_network, respond, variants

pytestmark = pytest.mark.usefixtures("quick_compilation")


@variants
def test_a_stack_of_networks_under_vmap_equals_one_at_a_time(x64: None, kind: str, activation: str) -> None:
    networks = [random_network(kind, activation, seed) for seed in range(4)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[network.cell() for network in networks])
    assert stack.units == UNITS
    inputs = jnp.asarray(random_inputs())
    states, outputs = jax.jit(jax.vmap(respond, (0, None)))(stack, inputs)
    for member, network in enumerate(networks):
        expected_states, expected_outputs = respond(network.cell(), inputs)
        np.testing.assert_allclose(states[member], expected_states, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(outputs[member], expected_outputs, rtol=1e-12, atol=1e-12)
