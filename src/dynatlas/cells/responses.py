"""Responses of one network to trials, and its readout as a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import Cell


def probe_activity(cell: Cell, inputs: Float[Array, "trials steps inputs"]) -> Float[np.ndarray, "samples units"]:
    """Compute a network's rates at every step of every probe trial, trial by trial."""
    states, _ = responses(cell, inputs)
    if not cell.has_affine_readout:  # then the rates are not the first units of the state
        states = jax.vmap(jax.vmap(cell.rates))(states)
    return np.asarray(states, np.float64)[..., : cell.units].reshape(-1, cell.units)


@jax.jit
def responses(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Compute the states and outputs of one network on a batch of trials."""
    return jax.vmap(cell.respond)(inputs)


def linear_readout(cell: Cell, states: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the readout as weights [outputs, state] and a constant [outputs], in float64.

    A readout that is not affine in the state is linearised at each state [p, state]: weights [p, outputs, state] and
    constants [p, outputs], with which the output at that state is exact.
    """
    if not cell.has_affine_readout:
        with jax.enable_x64(True):
            exact, at = cell.astype(np.float64), jnp.asarray(states)
            weights = np.asarray(jax.vmap(jax.jacobian(exact.readout))(at))
            outputs = np.asarray(jax.vmap(exact.readout)(at))
        return weights, outputs - np.einsum("pon,pn->po", weights, states)
    if isinstance(cell, StagedCell):  # reads the hidden units only, not the memory of an LSTM
        weights = np.zeros((len(cell.readout_bias), len(cell.initial_state)))
        weights[:, : cell.units] = np.asarray(cell.readout_weights)
        return weights, np.asarray(cell.readout_bias, np.float64)
    with jax.enable_x64(True):
        origin = jnp.zeros(len(cell.initial_state))
        return np.asarray(jax.jacobian(cell.readout)(origin)), np.asarray(cell.readout(origin))


def read_out(cell: Cell, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the outputs [p, outputs] at states [p, state], in float64."""
    weights, constant = linear_readout(cell, states)
    product = states @ weights.T if weights.ndim == 2 else np.einsum("pon,pn->po", weights, states)
    return np.asarray(product + constant)


def first_readout(cell: Cell, states: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights [state] and constant [] of the first output; if it is linearised, [p, state] and [p]."""
    weights, constant = linear_readout(cell, states)
    return weights[..., 0, :], constant[..., 0]


def first_output(cell: Cell, states: NDArray[np.float64], *, with_bias: bool = True) -> NDArray[np.float64]:
    """Return the first output [p] at states [p, state], in float64.

    Without the bias of an affine readout, only differences between states have a meaning.
    """
    weights, constant = first_readout(cell, states)
    if weights.ndim == 2:
        return np.asarray(np.einsum("pn,pn->p", weights, states) + constant)
    return np.asarray(states @ weights + constant if with_bias else states @ weights)
