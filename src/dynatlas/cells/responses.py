"""Responses of one network to trials, and its readout as a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import Cell


def probe_activity(cell: Cell, inputs: Float[Array, "trials steps inputs"]) -> Float[np.ndarray, "samples units"]:
    """Compute a network's hidden states at every step of every probe trial, trial by trial."""
    states, _ = responses(cell, inputs)
    return np.asarray(states, np.float64)[..., : cell.units].reshape(-1, cell.units)


@jax.jit
def responses(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Compute the states and outputs of one network on a batch of trials."""
    return jax.vmap(cell.respond)(inputs)


def linear_readout(cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the readout as weights [outputs, state] and a constant [outputs]."""
    if isinstance(cell, StagedCell):  # reads the hidden units only, not the memory of an LSTM
        weights = np.zeros((len(cell.readout_bias), len(cell.initial_state)))
        weights[:, : cell.units] = np.asarray(cell.readout_weights)
        return weights, np.asarray(cell.readout_bias, np.float64)
    with jax.enable_x64(True):
        origin = jnp.zeros(len(cell.initial_state))
        return np.asarray(jax.jacobian(cell.readout)(origin)), np.asarray(cell.readout(origin))
