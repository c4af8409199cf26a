"""What a parameter changes in a network: an input, the recurrent weights, or the way to other inputs or weights.

    input:K     x = held inputs, with the parameter in channel K (channels count from 0)
    inputs      x = (1 − p) x₀ + p x₁
    recurrent   W = p W, of all gates and layers
    network     θ = (1 − p) θ₀ + p θ₁, all weights of two networks of one shape

A way is a callable pytree, ``way(state, parameter) -> state``, so that a continuation compiles it once per shape.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynatlas.dynamics.step import Box
from dynatlas.networks.network import Network

KINDS = ("input:CHANNEL", "inputs", "recurrent", "network")


class Way(eqx.Module):
    """A family of networks and static inputs along a parameter."""

    step: Any

    @abstractmethod
    def step_at(self, parameter: Any) -> Any:
        """Return the step at a parameter."""

    @abstractmethod
    def inputs_at(self, parameter: Any) -> Any:
        """Return the static input at a parameter."""

    def __call__(self, state: Any, parameter: Any) -> Any:
        """Compute one step."""
        return self.step_at(parameter)(state, jnp.asarray(self.inputs_at(parameter)))


class AlongInput(Way):
    """One input channel has the parameter as its value; the others are held."""

    held: Any
    direction: Any

    def step_at(self, parameter: Any) -> Any:
        """Return the step."""
        return self.step

    def inputs_at(self, parameter: Any) -> Any:
        """Return the inputs."""
        return self.held * (1 - self.direction) + parameter * self.direction


class BetweenInputs(Way):
    """The static input lies between two."""

    first: Any
    second: Any

    def step_at(self, parameter: Any) -> Any:
        """Return the step."""
        return self.step

    def inputs_at(self, parameter: Any) -> Any:
        """Return the inputs."""
        return (1 - parameter) * self.first + parameter * self.second


class RecurrentScale(Way):
    """All recurrent weights are multiplied by the parameter."""

    held: Any

    def step_at(self, parameter: Any) -> Any:
        """Return the step."""
        return eqx.tree_at(recurrent_weights, self.step, [parameter * each for each in recurrent_weights(self.step)])

    def inputs_at(self, parameter: Any) -> Any:
        """Return the inputs."""
        return self.held


class BetweenNetworks(Way):
    """All weights lie between those of two networks."""

    other: Any
    held: Any

    def step_at(self, parameter: Any) -> Any:
        """Return the step."""
        return jax.tree.map(lambda one, other: (1 - parameter) * one + parameter * other, self.step, self.other)

    def inputs_at(self, parameter: Any) -> Any:
        """Return the inputs."""
        return self.held


def recurrent_weights(step: Any) -> list[Any]:
    """Return the recurrent weights of a cell, or of all layers of a stack; an empty list of any other step."""
    layers = getattr(step, "layers", (step,))
    found = [getattr(layer, "recurrent_weights", None) for layer in layers]
    return [] if any(each is None for each in found) else found


def way_of(network: Network, along: str, inputs: ArrayLike | None = None, other: Network | None = None) -> Way:
    """Return the way that is named: "input:CHANNEL", "inputs", "recurrent" or "network".

    Args:
        network: the network.
        along: the name.
        inputs: the static input [m] that is held, by default 0; for "inputs" the two inputs [2, m].
        other: for "network" the network at the parameter 1.

    Raises:
        ValueError: an unknown name, or a network or inputs that it does not fit.

    Example:
        >>> network = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=2, n_inputs=2)
        >>> way_of(network, "input:1", [0.5, 9.0]).inputs_at(-1.0).tolist()
        [0.5, -1.0]
    """
    kind, sign, channel = along.partition(":")
    if (other is not None) != (along == "network"):
        needed = "needs the other network" if other is None else "has no other network"
        raise ValueError(f"along is {along!r}, which {needed}; pass other= exactly with 'network'")
    if kind == "input" and sign:
        return AlongInput(network.step, _held(network, inputs), np.eye(network.n_inputs)[_channel(network, channel)])
    if along == "inputs":
        values = np.asarray(np.zeros((0, 0)) if inputs is None else inputs, np.float64)
        if values.shape != (2, network.n_inputs) or not np.isfinite(values).all():
            raise ValueError(
                f"inputs has shape {values.shape}; expected two static inputs, (2, {network.n_inputs}), of finite "
                "numbers"
            )
        return BetweenInputs(network.step, *values)
    if along == "recurrent":
        if not recurrent_weights(network.step):
            raise ValueError(
                "the network's step has no recurrent_weights to scale; write the parameter into a step function and "
                "call continue_fixed_points"
            )
        return RecurrentScale(network.step, _held(network, inputs))
    if other is not None:
        _check_alike(network, other)
        return BetweenNetworks(network.step, other.step, _held(network, inputs))
    raise ValueError(f"along is {along!r}; expected one of {', '.join(KINDS)}")


def box_along(way: Way, network: Network, parameters: NDArray[np.float64]) -> Box | Callable[[float], Box] | None:
    """Return the box at any parameter; None if at one of the given values no box is known.

    A box that is the same everywhere is returned as it is.
    """

    def box_at(parameter: float) -> Box | None:
        return network.with_step(way.step_at(parameter)).box(way.inputs_at(parameter))

    boxes = [box_at(float(parameter)) for parameter in parameters]
    known = [box for box in boxes if box is not None]
    if len(known) < len(boxes):
        return None
    first = known[0]
    if all(np.array_equal(first, box) for box in known):
        return first
    everything = (np.full(network.n_states, -np.inf), np.full(network.n_states, np.inf))
    # Between the values: a branch is then only followed, and nothing is searched for.
    return lambda parameter: box_at(parameter) or everything


def _channel(network: Network, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= network.n_inputs:
        has = f"channels 0 to {network.n_inputs - 1}" if network.n_inputs else "no input channels"
        raise ValueError(f"the input channel is {text!r}; the network has {has}")
    return int(text)


def _held(network: Network, inputs: ArrayLike | None) -> NDArray[np.float64]:
    values = np.zeros(network.n_inputs) if inputs is None else np.asarray(inputs, np.float64)
    if values.shape != (network.n_inputs,) or not np.isfinite(values).all():
        raise ValueError(f"inputs has shape {values.shape}; expected ({network.n_inputs},), of finite numbers")
    return values


def _check_alike(network: Network, other: Network) -> None:
    """Check that two networks have the same equations and shapes.

    Raises:
        ValueError: they do not.
    """
    leaves, others = (jax.tree.leaves(each.step) for each in (network, other))
    if not leaves or any(map(callable, leaves + others)):
        raise ValueError("the step of a network is a function without weights; expected a callable pytree of arrays")
    one, two = ([np.shape(leaf) for leaf in each] for each in (leaves, others))
    structures: list[Any] = [jax.tree.structure(each.step) for each in (network, other)]
    if one != two or structures[0] != structures[1]:
        raise ValueError(
            f"the networks differ in their equations or sizes: {network.source[0] if network.source else one} and "
            f"{other.source[0] if other.source else two}; expected two of the same architecture, activation and shape"
        )
