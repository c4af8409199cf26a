"""Errors of a network after each of many lesions, in one compiled program."""

from typing import Any, Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.step import next_state
from dynatlas.networks.lesions.removals import Masks, lesioned
from dynatlas.networks.network import Network
from dynatlas.tasks.task import Trial
from dynatlas.training.loss import weighted_error

BATCH: Final = 16  # lesions side by side


def outputs_of(network: Network, inputs: NDArray[np.float64], initial: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the outputs of the intact network on trials [trials, steps, o]; without a readout its states."""
    states = network.run(inputs, np.tile(initial, (len(inputs), 1)))
    return states if network.readout is None else network.read_out(states)


def errors_of(network: Network, masks: Masks, trials: Trial, initial: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted mean squared error after each lesion [lesions]; infinite if an output is not finite.

    Args:
        network: the intact network.
        masks: the lesions.
        trials: inputs, targets and weights in float64.
        initial: the state [n] from which each trial starts.
    """
    with jax.enable_x64(True):
        exact = jax.tree.map(jnp.asarray, trials)
        errors = np.asarray(_errors(network.step, network.readout, jax.tree.map(jnp.asarray, masks), exact, initial))
    return np.where(np.isfinite(errors), errors, np.inf)


@eqx.filter_jit
def _errors(step: Any, readout: Any, masks: Masks, trials: Trial, initial: Any) -> jax.Array:
    def error(one: Masks) -> jax.Array:
        changed = lesioned(step, one)

        def advance(states: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
            states = jax.vmap(lambda state, inputs: next_state(changed, state, inputs))(states, now)
            return states, states if readout is None else jax.vmap(readout)(states)

        begin = jnp.tile(one.states * initial, (len(trials.inputs), 1))
        return weighted_error(jax.lax.scan(advance, begin, trials.inputs.swapaxes(0, 1))[1], trials)

    return jax.lax.map(error, masks, batch_size=BATCH)
