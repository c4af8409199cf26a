"""The interface of analyses to any recurrent network: a step function, its readout and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.step import Step, next_state
from dynatlas.networks.layers import Box, Matrix, Stack

CHUNK = 64  # trials in each call of the compiled run


@dataclass(frozen=True, eq=False, repr=False)
class Network(SummaryRepr):
    """One step of a recurrent network, its readout, and their source.

    ``read_network`` creates one from a file. Any step function can be wrapped:

        >>> network = Network(step=lambda h, x: jnp.tanh(2 * h + x), n_states=2, n_inputs=2, source=("two switches",))
        >>> network.run(np.zeros((1, 5, 2))).shape
        (1, 5, 2)

    Attributes:
        step: ``step(state [n], inputs [m]) -> state [n]``, any JAX-traceable function that preserves float64. A
            callable pytree with NumPy arrays as leaves is compiled once per shape; a closure once per object.
        n_states: n.
        n_inputs: m.
        readout: ``readout(state [n]) -> output [o]``, or None.
        bounds: ``bounds(inputs [m]) -> (low, high)``, numbers or [n]: a box that one step under a static input maps
            into itself, or None if there is none. Without one, only the search of a relu network can
            be certified complete.
        state_labels: name of each component of the state; by default h0, h1, …
        source: what was found and assumed when the network was read, one sentence each.
        assumed: what was assumed, in short: "activation tanh".
    """

    step: Step
    n_states: int
    n_inputs: int
    readout: Callable[[jax.Array], jax.Array] | None = None
    bounds: Callable[[NDArray[np.float64]], tuple[ArrayLike, ArrayLike] | None] | None = None
    state_labels: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("n_states", 1), ("n_inputs", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {least}")
        labels = self.state_labels or tuple(f"h{number}" for number in range(self.n_states))
        if len(labels) != self.n_states:
            raise ValueError(f"{len(labels)} state_labels for {self.n_states} states; expected one each")
        object.__setattr__(self, "state_labels", labels)

    @property
    def is_slow(self) -> bool:
        """Whether every step leaves JAX, as with ``numpy_step`` and ``torch_step``."""
        return bool(getattr(self.step, "is_slow", False))

    def box(self, inputs: ArrayLike) -> Box | None:
        """Return a box (low [n], high [n]) that one step under a static input [m] maps into itself, or None."""
        with jax.enable_x64(True):
            bounds = None if self.bounds is None else self.bounds(np.asarray(inputs, np.float64))
        if bounds is None:
            return None
        low, high = (np.broadcast_to(np.asarray(bound, np.float64), (self.n_states,)) for bound in bounds)
        return low, high

    def with_step(self, step: Any) -> "Network":
        """Return the same network with other weights: a step of the same kind, which knows its own box."""
        if step is self.step:
            return self
        box = getattr(step, "box", None)
        return replace(self, step=step, bounds=None if box is None else lambda inputs: box(jnp.asarray(inputs)))

    def run(self, inputs: ArrayLike, initial_states: ArrayLike | None = None) -> NDArray[np.float64]:
        """Run trials and return the state after each step, in float64.

        Args:
            inputs: [trials, steps, m].
            initial_states: [trials, n]; by default 0.

        Returns:
            [trials, steps, n].

        Raises:
            ValueError: shapes that do not fit the network.
        """
        inputs = np.asarray(inputs, np.float64)
        if inputs.ndim != 3 or inputs.shape[2] != self.n_inputs:
            raise ValueError(f"inputs has shape {inputs.shape}; expected [trials, steps, {self.n_inputs}]")
        begin = np.zeros((len(inputs), self.n_states)) if initial_states is None else np.asarray(initial_states, float)
        if begin.shape != (len(inputs), self.n_states):
            raise ValueError(f"initial_states has shape {begin.shape}; expected {(len(inputs), self.n_states)}")
        parts = [np.zeros((0, *inputs.shape[1:2], self.n_states))]
        with jax.enable_x64(True):
            for first in range(0, len(inputs), CHUNK):
                rows = slice(first, first + CHUNK)
                parts.append(np.asarray(_run(self.step, jnp.asarray(inputs[rows]), jnp.asarray(begin[rows]))))
        return np.concatenate(parts)

    def read_out(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs [..., o] at states [..., n], in float64; [..., 0] without a readout."""
        states = np.asarray(states, np.float64)
        if self.readout is None or not states.size:
            return np.zeros((*states.shape[:-1], 0))
        with jax.enable_x64(True):
            flat = np.asarray(_map(self.readout, jnp.asarray(states.reshape(-1, self.n_states))))
        return flat.reshape(*states.shape[:-1], flat.shape[-1])

    def _summary(self) -> Summary:
        rows = [("states", f"{self.n_states}: {self.state_labels[0]} … {self.state_labels[-1]}")]
        rows += [("inputs", str(self.n_inputs)), ("readout", "none" if self.readout is None else "yes")]
        rows += [("box", "not known" if self.bounds is None else "known: searches can be certified complete")]
        rows += [("from", sentence) for sentence in self.source]
        rows += [("assumed", ", ".join(self.assumed))] if self.assumed else []
        return Summary("Network", tuple(rows), "dynatlas.analyze(network)")


class Readout(eqx.Module):
    """A linear readout of the highest layer's hidden units: y = R h + d."""

    stack: Stack
    weights: Matrix
    bias: Matrix

    def __call__(self, state: jax.Array) -> jax.Array:
        """Return the output [o] at a state [n]."""
        return self.weights @ self.stack.top(state) + self.bias


def network_of_layers(
    stack: Stack, readout: tuple[Matrix, Matrix] | None, source: tuple[str, ...], assumed: tuple[str, ...] = ()
) -> Network:
    """Return the network of stacked layers and of a linear readout's weights and bias."""
    return Network(
        step=stack,
        n_states=stack.n_states,
        n_inputs=stack.n_inputs,
        readout=None if readout is None else Readout(stack, *readout),
        bounds=stack.box,
        state_labels=stack.labels(),
        source=source,
        assumed=assumed,
    )


@eqx.filter_jit
def _run(step: Step, inputs: jax.Array, initial: jax.Array) -> jax.Array:
    def trial(inputs: jax.Array, state: jax.Array) -> jax.Array:
        def advance(state: jax.Array, given: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = next_state(step, state, given)
            return state, state

        return jax.lax.scan(advance, state, inputs)[1]

    return jax.vmap(trial)(inputs, initial)


@eqx.filter_jit
def _map(function: Callable[[jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    return jax.vmap(function)(rows)
