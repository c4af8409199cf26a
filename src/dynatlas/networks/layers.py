"""Recurrent layers as other libraries compute them: one step of one layer, and the box that it maps into itself.

With x the input, h the hidden units, φ the activation and σ the logistic function, and with the sums g = U x + b_U of
what is given and s = W h + b_W of what recurs, split into as many parts as there are gates:

    Plain                h' = φ(g + s)
    GRU, reset after     r, u = σ(g + s),  h' = u∘h + (1 − u)∘φ(g_c + r∘s_c)
    GRU, reset before    r, u = σ(g + s),  h' = u∘h + (1 − u)∘φ(g_c + W_c (r∘h) + b_Wc)
    LSTM                 i, f, o = σ(g + s),  c' = f∘c + i∘φ(g_c + s_c),  h' = o∘φ(c')
    Leaky, "rate"        h' = (1 − α)∘h + α∘φ(g + s)
    Leaky, "current"     h' = (1 − α)∘h + α∘(g + W φ(h) + b_W)

Gates are stacked in the order of a layer's ``gates``, whatever the order in the file was. Where the reset gate acts
decides what a GRU computes: torch, Flax, Equinox and Keras' default take the product first, Cho et al. 2014 and our own
cells the gate. Leaky layers are Euler steps of τ dh/dt = −h + …, with α = dt/τ.

Weights are NumPy's in float64: JAX takes them in the precision of the state.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


Box = tuple[Matrix, Matrix]


Form = Literal["rate", "current"]


Reset = Literal["after", "before"]


class Activation(NamedTuple):
    """A function of one number, and the range of its values."""

    function: Callable[[jax.Array], jax.Array]
    low: float
    high: float


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(jnp.tanh, -1, 1),
    "relu": Activation(jax.nn.relu, 0, np.inf),
    "sigmoid": Activation(sigmoid, 0, 1),
    "softplus": Activation(jax.nn.softplus, 0, np.inf),
    "retanh": Activation(lambda values: jnp.maximum(jnp.tanh(values), 0), 0, 1),
    "linear": Activation(lambda values: values, -np.inf, np.inf),
}


class Layer(eqx.Module):
    """What every layer has: weights and biases of the input and of the hidden units, apart.

    Args:
        input_weights: U [gates·units, inputs].
        recurrent_weights: W [gates·units, units].
        input_bias: b_U [gates·units].
        recurrent_bias: b_W [gates·units].
        activation: one of ``ACTIVATIONS``.

    Raises:
        ValueError: shapes that do not fit each other, weights that are not finite, no such activation.
    """

    input_weights: Any
    recurrent_weights: Any
    input_bias: Any
    recurrent_bias: Any
    activation: str = eqx.field(static=True, default="tanh")

    gates: ClassVar[tuple[str, ...]] = ("candidate",)
    states_per_unit: ClassVar[int] = 1

    def __check_init__(self) -> None:
        rows = len(self.gates) * self.units
        shapes = {
            "input_weights": (rows, self.n_inputs),
            "recurrent_weights": (rows, self.units),
            "input_bias": (rows,),
            "recurrent_bias": (rows,),
        }
        for name, expected in shapes.items():
            seen = getattr(self, name)
            if seen.shape != expected:
                raise ValueError(
                    f"{name} has shape {seen.shape}; expected {expected}: {len(self.gates)} gates of {self.units} units"
                )
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
        return self.states_per_unit * self.units

    def labels(self) -> tuple[str, ...]:
        """What each number of the state is."""
        return tuple(f"h{unit}" for unit in range(self.units))

    def hidden(self, state: Any) -> Any:
        """What the layer shows to the next one, and to a readout."""
        return state[: self.units]

    @abstractmethod
    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""

    @abstractmethod
    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """A box that one step maps into itself, whatever the inputs between two bounds; None if none is known."""

    def _sums(self, hidden: Any, inputs: Any) -> tuple[list[Any], list[Any]]:
        """What the input gives and what recurs, gate by gate."""
        given = self.input_weights @ inputs + self.input_bias
        recurrent = self.recurrent_weights @ hidden + self.recurrent_bias
        return jnp.split(given, len(self.gates)), jnp.split(recurrent, len(self.gates))

    def _activate(self, values: Any) -> Any:
        return ACTIVATIONS[self.activation].function(values)

    def _drive(self, low: Matrix, high: Matrix) -> Box:
        """The least and the most of U x + b_U + b_W."""
        least, most = reach(self.input_weights, low, high)
        bias = self.input_bias + self.recurrent_bias
        return least + bias, most + bias

    def _averages(self, low: Matrix, high: Matrix) -> Box | None:
        """The box of hidden units that are averages of themselves and of φ(U x + W h + …) with |weights| as given.

        A bounded φ bounds them. With relu, excitation must die out: where W⁺ has a spectral radius below 1, from −1 to
        B with W⁺ B + W⁻ 1 + drive⁺ + 1 = B: no candidate of a state in it is above B.
        """
        activation = ACTIVATIONS[self.activation]
        if np.isfinite([activation.low, activation.high]).all():
            return np.full(self.units, float(activation.low)), np.full(self.units, float(activation.high))
        excitation = np.maximum(self.recurrent_weights[-self.units :], 0)
        if self.activation != "relu" or not np.abs(np.linalg.eigvals(excitation)).max() < 1:
            return None
        inhibition = np.maximum(-self.recurrent_weights[-self.units :], 0).sum(axis=1)
        drive = inhibition + np.maximum(self._drive(low, high)[1][-self.units :], 0) + 1
        most = np.linalg.solve(np.eye(self.units) - excitation, drive)
        return np.full(self.units, -1.0), most


class Plain(Layer):
    """The plain recurrent layer: h' = φ(g + s)."""

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        (given,), (recurrent,) = self._sums(state, inputs)
        return self._activate(given + recurrent)

    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """The range of φ; with relu where excitation alone would die out."""
        return self._averages(low, high)


class Leaky(Layer):
    """The continuous-time network as neuroscientists write it, one Euler step: h' = (1 − α)∘h + α∘(…).

    Args:
        alpha: α = dt/τ, in (0, 1] [units].
        form: "rate", φ(W h + U x + b), where h are rates; "current", W φ(h) + U x + b, where h are currents.
    """

    alpha: Any = 1.0
    form: Form = eqx.field(static=True, default="rate")

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
            (given,), (recurrent,) = self._sums(state, inputs)
            return (1 - self.alpha) * state + self.alpha * self._activate(given + recurrent)
        (given,), (recurrent,) = self._sums(self._activate(state), inputs)
        return (1 - self.alpha) * state + self.alpha * (given + recurrent)

    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """Rates: as in the plain layer. Currents: what bounded rates and the drive can add up to."""
        if self.form == "rate":
            return self._averages(low, high)
        activation = ACTIVATIONS[self.activation]
        if not np.isfinite([activation.low, activation.high]).all():
            return None
        rates = np.full(self.units, float(activation.low)), np.full(self.units, float(activation.high))
        (least, most), (fewest, greatest) = reach(self.recurrent_weights, *rates), self._drive(low, high)
        # A unit that nothing reaches would have a box without width.
        return least + fewest - 1e-3, most + greatest + 1e-3

    def hidden(self, state: Any) -> Any:
        """The rates."""
        return state if self.form == "rate" else self._activate(state)


class GRU(Layer):
    """The gated recurrent unit, with the reset gate after or before the recurrent product."""

    reset: Reset = eqx.field(static=True, default="after")

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        given, recurrent = self._sums(state, inputs)
        reset, update = sigmoid(given[0] + recurrent[0]), sigmoid(given[1] + recurrent[1])
        if self.reset == "after":
            candidate = given[2] + reset * recurrent[2]
        else:
            rows = slice(2 * self.units, None)
            candidate = given[2] + self.recurrent_weights[rows] @ (reset * state) + self.recurrent_bias[rows]
        return update * state + (1 - update) * self._activate(candidate)

    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """The range of a bounded φ."""
        return None if self.activation == "relu" else self._averages(low, high)


class LSTM(Layer):
    """The long short-term memory; the state is (h, c)."""

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    states_per_unit: ClassVar[int] = 2

    def labels(self) -> tuple[str, ...]:
        """Hidden units, then memories."""
        return (*(f"h{unit}" for unit in range(self.units)), *(f"c{unit}" for unit in range(self.units)))

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        given, recurrent = self._sums(state[: self.units], inputs)
        gate_in, forget, candidate, out = (a + b for a, b in zip(given, recurrent, strict=True))
        memory = sigmoid(forget) * state[self.units :] + sigmoid(gate_in) * self._activate(candidate)
        return jnp.concatenate([sigmoid(out) * self._activate(memory), memory])

    def box(self, low: Matrix, high: Matrix) -> Box | None:
        """|h| ≤ 1 and |c| ≤ 1/(1 − max f), the largest forget gate that any |h| ≤ 1 can open, if |φ| ≤ 1."""
        activation = ACTIVATIONS[self.activation]
        if not max(-activation.low, activation.high) <= 1:
            return None
        rows = slice(self.units, 2 * self.units)
        widest = np.abs(self.recurrent_weights[rows]).sum(axis=1) + self._drive(low, high)[1][rows]
        # 1 − σ(a) = σ(−a) = 1/(1 + eᵃ).
        bound = np.concatenate([np.ones(self.units), 1 + np.exp(np.minimum(widest, 700))])
        return -bound, bound


# The layers that other libraries have, by their number of gates.
KINDS: dict[int, type[Plain] | type[GRU] | type[LSTM]] = {1: Plain, 3: GRU, 4: LSTM}


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
        for layer in self.layers:
            box = layer.box(low, high)
            if box is None:
                return None
            boxes.append(box)
            low, high = (np.asarray(bound[: layer.units]) for bound in box)
            if isinstance(layer, Leaky) and layer.form == "current":
                low, high = (np.asarray(layer.hidden(jnp.asarray(bound))) for bound in (low, high))
        return np.concatenate([box[0] for box in boxes]), np.concatenate([box[1] for box in boxes])

    def labels(self) -> tuple[str, ...]:
        """What each number of the state is, with the number of its layer if there are several."""
        if len(self.layers) == 1:
            return self.layers[0].labels()
        return tuple(f"{number}.{label}" for number, layer in enumerate(self.layers) for label in layer.labels())


def reach(weights: Matrix, low: Matrix, high: Matrix) -> Box:
    """The least and the most of W a for a between two bounds."""
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    return positive @ low + negative @ high, positive @ high + negative @ low
