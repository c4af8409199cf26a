"""Recurrent layers as other libraries compute them: the equations of ``cells``, with other products.

With x the input, h the hidden units and φ the activation, and with the sums g = U x + b_U of what is given and
s = W h + b_W of what recurs, g + s takes the place of W h + U x + b in the equations. What is not in ``cells``:

    GRU, reset after     c = φ(g_c + r∘s_c), where before is c = φ(g_c + W_c (r∘h) + b_Wc)
    Leaky, "rate"        h' = (1 − α)∘h + α∘φ(g + s)
    Leaky, "current"     h' = (1 − α)∘h + α∘(g + W φ(h + c) + b_W)

Gates are stacked in the order of the cell's ``gates``, whatever the order in the file was (``restack``). Where the
reset gate acts decides what a GRU computes: torch, Flax, Equinox and Keras' default take the product first, Cho et al.
2014 and ``cells`` the gate. Leaky layers are Euler steps of τ dh/dt = −h + …, with α = dt/τ.

Weights are NumPy's in float64: JAX takes them in the precision of the state.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas.cells import ACTIVATIONS, GRU, LSTM, Architecture, Arithmetic, Vanilla, state_labels
from dynatlas.cells.ctrnn import box_of_currents, reach

Matrix = NDArray[np.float64]
Box = tuple[Any, Any]  # low, high
Form = Literal["rate", "current"]
Reset = Literal["after", "before"]

# The cells that other libraries have, by their number of gates.
KINDS: Final[dict[int, type[Architecture]]] = {len(kind.gates): kind for kind in (Vanilla, GRU, LSTM)}
# The order of gates in files of PyTorch, Flax and Equinox; Keras has another one for the GRU.
GATES: Final = {kind: kind.gates for kind in KINDS.values()} | {LSTM: ("input", "forget", "candidate", "output")}


class Layer(eqx.Module):
    """One recurrent layer: weights and biases of the input and of the hidden units, apart.

    Args:
        input_weights: U [gates·units, inputs].
        recurrent_weights: W [gates·units, units].
        input_bias: b_U [gates·units].
        recurrent_bias: b_W [gates·units].
        activation: one of ``ACTIVATIONS``.
        kind: the cell that has its equations.
        reset: where the reset gate of a GRU acts: after or before the recurrent product.

    Raises:
        ValueError: shapes that do not fit each other, weights that are not finite, no such activation.
    """

    input_weights: Any
    recurrent_weights: Any
    input_bias: Any
    recurrent_bias: Any
    activation: str = eqx.field(static=True, default="tanh")
    kind: type[Architecture] = eqx.field(static=True, default=Vanilla)
    reset: Reset = eqx.field(static=True, default="after")

    def __check_init__(self) -> None:
        gates, units = len(self.kind.gates), self.units
        columns = {"input_weights": (self.n_inputs,), "recurrent_weights": (units,)}
        for name in ("input_weights", "recurrent_weights", "input_bias", "recurrent_bias"):
            seen, expected = getattr(self, name), (gates * units, *columns.get(name, ()))
            if seen.shape != expected:
                raise ValueError(f"{name} has shape {seen.shape}; expected {expected}: {gates} gates of {units} units")
            if not np.isfinite(seen).all():
                raise ValueError(f"{name} has NaN or infinity; the network has diverged, or the file is damaged")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}")

    @property
    def units(self) -> int:
        """Hidden units."""
        return int(self.recurrent_weights.shape[-1])

    @property
    def n_inputs(self) -> int:
        """Input channels."""
        return int(self.input_weights.shape[-1])

    @property
    def n_states(self) -> int:
        """Numbers that are carried from step to step."""
        return self.kind.states_per_unit * self.units

    def hidden(self, state: Any) -> Any:
        """What the layer shows to the next one, and to a readout."""
        return state[: self.units]

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        ends = self.units * np.cumsum(self.kind.stages)[:-1]
        given = jnp.split(self.input_weights @ inputs + self.input_bias, ends)
        weights, biases = jnp.split(self.recurrent_weights, ends), jnp.split(self.recurrent_bias, ends)

        def product(stage: int, operand: Any, reset: Any) -> Any:
            if reset is None or self.reset == "before":
                return given[stage] + (weights[stage] @ operand + biases[stage])
            return given[stage] + reset * (weights[stage] @ state + biases[stage])

        parts = tuple(jnp.split(state, self.kind.states_per_unit))
        return jnp.concatenate(self.kind.equations(Arithmetic(self.activation), parts, product)[0])

    def restacked(self, order: Sequence[str]) -> "Layer":
        """The layer whose gates were stacked in this order, in the order of the cell's ``gates``."""
        return jax.tree.map(lambda rows: restack(rows, order, self.kind.gates), self)

    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """A box that one step maps into itself, whatever the inputs between two bounds; None if none is known."""
        bias = self.recurrent_bias
        if self.kind is GRU and self.reset == "after":  # a gate that is shut takes a bias below 0 away
            bias = np.maximum(bias, 0)
        most = reach(self.input_weights, low, high)[1] + (self.input_bias + bias)
        return self.kind.invariant_box(self.activation, self.recurrent_weights, most)


class Leaky(Layer):
    """The continuous-time network as neuroscientists write it, one Euler step: h' = (1 − α)∘h + α∘(…).

    Args:
        alpha: α = dt/τ, in (0, 1] [units].
        form: "rate", φ(W h + U x + b), where h are rates; "current", W φ(h + c) + U x + b, where h are currents.
        inner_bias: c, in the form "current": a number, or [units].
    """

    alpha: Any = 1.0
    form: Form = eqx.field(static=True, default="rate")
    inner_bias: Any = 0.0

    def __check_init__(self) -> None:
        outside = ~((self.alpha > 0) & (self.alpha <= 1))
        if np.shape(self.alpha) != (self.units,) or outside.any():
            raise ValueError(
                f"alpha = dt/tau is {np.ravel(self.alpha)[:4]}…; expected {self.units} numbers in (0, 1]: with "
                "a larger one the Euler step overshoots"
            )

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        if self.form == "rate":
            return (1 - self.alpha) * state + self.alpha * super().__call__(state, inputs)
        given = self.input_weights @ inputs + self.input_bias
        recurrent = self.recurrent_weights @ self.hidden(state + self.inner_bias) + self.recurrent_bias
        return (1 - self.alpha) * state + self.alpha * (given + recurrent)

    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """Rates: as without a leak. Currents: what bounded rates and the drive can add up to."""
        if self.form == "rate":
            return super().box(low, high)
        rates = ACTIVATIONS[self.activation].box(self.units)
        if rates is None:
            return None
        least, most = (end + (self.input_bias + self.recurrent_bias) for end in reach(self.input_weights, low, high))
        return box_of_currents(self.recurrent_weights, (np.asarray(rates[0]), np.asarray(rates[1])), least, most)

    def hidden(self, state: Any) -> Any:
        """The rates."""
        return state if self.form == "rate" else ACTIVATIONS[self.activation].function(state)


class Stack(eqx.Module):
    """Layers on top of each other: in one step, each one sees the new hidden units of the one below.

    The state is all layers' states, the lowest first.
    """

    layers: tuple[Layer, ...]

    def __check_init__(self) -> None:
        for number, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False), start=1):
            if above.n_inputs != below.units:
                raise ValueError(f"layer {number} takes {above.n_inputs} inputs, but the layer below has {below.units}")

    @property
    def n_inputs(self) -> int:
        """Input channels of the lowest layer."""
        return self.layers[0].n_inputs

    @property
    def n_states(self) -> int:
        """Numbers in the state."""
        return sum(layer.n_states for layer in self.layers)

    def parts(self, state: Any) -> list[Any]:
        """Each layer's part of the state."""
        ends = np.cumsum([layer.n_states for layer in self.layers])
        return [state[end - layer.n_states : end] for layer, end in zip(self.layers, ends, strict=True)]

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        new, shown = [], inputs
        for layer, part in zip(self.layers, self.parts(state), strict=True):
            new.append(layer(part, shown))
            shown = layer.hidden(new[-1])
        return jnp.concatenate(new)

    def top(self, state: Any) -> Any:
        """The hidden units of the highest layer."""
        return self.layers[-1].hidden(self.parts(state)[-1])

    def box(self, inputs: Any) -> Box | None:
        """A box that one step under a static input maps into itself, or None if none is known."""
        low = high = np.asarray(inputs, np.float64)
        boxes = []
        with jax.enable_x64(True):
            for layer in self.layers:
                box = layer.box(low, high)
                if box is None:
                    return None
                boxes.append(box)
                low, high = (np.asarray(layer.hidden(jnp.asarray(bound))) for bound in box)
        return np.concatenate([box[0] for box in boxes]), np.concatenate([box[1] for box in boxes])

    def labels(self) -> tuple[str, ...]:
        """What each number of the state is, with the number of its layer if there are several."""
        labels = [state_labels(layer.units, layer.n_states) for layer in self.layers]
        if len(labels) == 1:
            return labels[0]
        return tuple(f"{number}.{label}" for number, names in enumerate(labels) for label in names)


def restack(values: NDArray[Any], order: Sequence[str], wanted: Sequence[str]) -> NDArray[Any]:
    """Rows of gates [gates·units, …] from one order into another.

    Example:
        >>> restack(np.arange(4), ("reset", "update"), ("update", "reset")).tolist()
        [2, 3, 0, 1]
    """
    parts = dict(zip(order, np.split(values, len(order)), strict=True))
    return np.concatenate([parts[gate] for gate in wanted])
