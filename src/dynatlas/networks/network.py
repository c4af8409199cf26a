"""A network that somebody else trained, as the analyses see it: a step function, and what is known of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.step import Step, next_state
from dynatlas.networks.layers import Box, Matrix, Stack

CHUNK = 64  # trials per call of the compiled run


@dataclass(frozen=True, eq=False, repr=False)
class Network(SummaryRepr):
    """One step of a recurrent network, its readout, and where both came from.

    ``read_network`` makes one from a file. Any function of your own becomes one, too:

        >>> network = Network(step=lambda h, x: jnp.tanh(2 * h + x), n_states=2, n_inputs=2, source=("two switches",))
        >>> network.run(np.zeros((1, 5, 2))).shape
        (1, 5, 2)

    Attributes:
        step: ``step(state [n], inputs [m]) -> state [n]``, any JAX-traceable function that keeps float64. A callable
            pytree with NumPy arrays as leaves is compiled once per shape; a plain closure once per object.
        n_states: n.
        n_inputs: m.
        readout: ``readout(state [n]) -> output [o]``, or None.
        bounds: ``bounds(inputs [m]) -> (low, high)``, numbers or [n]: a box that one step under a static input maps
            into itself, or None where there is none. Only with it can a search be certified complete.
        state_labels: what each number of the state is; by default h0, h1, …
        source: what is known of where it came from, a sentence each.
    """

    step: Step
    n_states: int
    n_inputs: int
    readout: Callable[[Any], Any] | None = None
    bounds: Callable[[Any], tuple[Any, Any] | None] | None = None
    state_labels: tuple[str, ...] = ()
    source: tuple[str, ...] = ()

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
        """Whether every step leaves JAX, as those of ``numpy_step`` and ``torch_step`` do."""
        return bool(getattr(self.step, "is_slow", False))

    def box(self, inputs: Any) -> Box | None:
        """A box that one step under a static input maps into itself, or None if none is known."""
        with jax.enable_x64(True):
            bounds = None if self.bounds is None else self.bounds(np.asarray(inputs, np.float64))
        if bounds is None:
            return None
        low, high = (np.broadcast_to(np.asarray(bound, np.float64), (self.n_states,)) for bound in bounds)
        return low, high

    def run(self, inputs: Any, initial_states: Any | None = None) -> NDArray[np.float64]:
        """The states after each step of some trials, in float64.

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

    def read_out(self, states: Any) -> NDArray[np.float64]:
        """The outputs at some states [..., n], in float64; [..., 0] without a readout."""
        states = np.asarray(states, np.float64)
        if self.readout is None or not states.size:
            return np.zeros((*states.shape[:-1], 0))
        with jax.enable_x64(True):
            flat = np.asarray(_map(self.readout, jnp.asarray(states.reshape(-1, self.n_states))))
        return flat.reshape(*states.shape[:-1], flat.shape[-1])

    def _summary(self) -> Summary:
        rows = [("states", f"{self.n_states}: {self.state_labels[0]} … {self.state_labels[-1]}")]
        rows += [("inputs", str(self.n_inputs)), ("readout", "none" if self.readout is None else "yes")]
        rows += [("box", "none is known" if self.bounds is None else "known: searches can be certified complete")]
        rows += [("from", sentence) for sentence in self.source]
        return Summary("Network", tuple(rows), "dynatlas.analyze(network, key=jax.random.key(0))")


class Readout(eqx.Module):
    """A linear readout of the highest layer's hidden units: y = R h + d."""

    stack: Stack
    weights: Any
    bias: Any

    def __call__(self, state: Any) -> Any:
        """The output."""
        return self.weights @ self.stack.top(state) + self.bias


def network_of_layers(stack: Stack, readout: tuple[Matrix, Matrix] | None, source: tuple[str, ...]) -> Network:
    """A network of recurrent layers and the weights of a linear readout."""
    return Network(
        step=stack,
        n_states=stack.n_states,
        n_inputs=stack.n_inputs,
        readout=None if readout is None else Readout(stack, *readout),
        bounds=stack.box,
        state_labels=stack.labels(),
        source=source,
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
def _map(function: Callable[[Any], Any], rows: jax.Array) -> jax.Array:
    return jax.vmap(function)(rows)
