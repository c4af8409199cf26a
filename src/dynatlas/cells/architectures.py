"""The four recurrent cells: one step of one network, and its readout.

With φ the activation (tanh or relu), σ the logistic function, h the hidden units and x the input:

    Vanilla  h' = φ(W h + U x + b)
    UGRNN    c = φ(W_c h + U_c x + b_c),  g = σ(W_g h + U_g x + b_g),  h' = g∘h + (1 − g)∘c
    GRU      r, u = σ(W h + U x + b),  c = φ(W_c (r∘h) + U_c x + b_c),  h' = u∘h + (1 − u)∘c
    LSTM     i, f, o = σ(W h + U x + b),  c' = f∘c + i∘φ(W_c h + U_c x + b_c),  h' = o∘φ(c')

The readout is y = R h + d. Weights of a cell's gates are stacked along the first axis in the order of its
``gates``, so that one product serves them all. Everything here is for one network and one trial.

A step is written in *stages*: each is one product with the recurrent weights, W a + (U x + b), of an operand a that may
depend on the sums of earlier stages; elementwise functions are all the rest. One stage is enough, but for the GRU,
whose candidate needs its reset gate first. ``backpropagation`` relies on this form.

Sources: Collins, Sohl-Dickstein & Sussillo 2017; Maheswaranathan et al. 2019. The GRU's reset gate acts before
the recurrent product, as in Cho et al. 2014; torch's ``nn.GRU`` applies it after. In the LSTM φ stands in both
places, since the paper changes every non-gate activation; Collins keeps tanh on the output.
"""

import itertools
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from jaxtyping import Array, Float, PRNGKeyArray

from dynatlas.cells.cell import ACTIVATIONS, Activation, Cell


class StagedCell(Cell):
    """A cell whose step is written in stages: its weights, a learned initial state, and a linear readout.

    Args:
        n_inputs: input channels.
        units: hidden units.
        n_outputs: output channels.
        activation: "tanh" or "relu", everywhere but in the gates.
        key: the random key of the initial weights: N(0, 1/fan_in), biases 0 (the LSTM's forget bias 1), initial
            state 0.

    Example:
        >>> cell = GRU(n_inputs=3, units=16, n_outputs=3, activation="tanh", key=jax.random.key(0))
        >>> state = cell(cell.initial_state, jnp.zeros(3))
        >>> cell.readout(state).shape
        (3,)
    """

    recurrent_weights: Float[Array, "gates_units units"]
    input_weights: Float[Array, "gates_units inputs"]
    bias: Float[Array, " gates_units"]
    initial_state: Float[Array, " state"]
    readout_weights: Float[Array, "outputs units"]
    readout_bias: Float[Array, " outputs"]
    activation: Activation = eqx.field(static=True)

    gates: ClassVar[tuple[str, ...]]
    stages: ClassVar[tuple[int, ...]]  # gates in each stage
    states_per_unit: ClassVar[int] = 1  # numbers that a unit carries from step to step

    def __init__(
        self, n_inputs: int, units: int, n_outputs: int, activation: Activation = "tanh", *, key: PRNGKeyArray
    ):
        for name, size in (("n_inputs", n_inputs), ("units", units), ("n_outputs", n_outputs)):
            if size < 1:
                raise ValueError(f"{name} is {size}; a cell needs at least 1")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
        recurrent_key, input_key, readout_key = jax.random.split(key, 3)
        rows = len(self.gates) * units

        def normal(key: PRNGKeyArray, rows: int, fan_in: int) -> Array:
            return jax.random.normal(key, (rows, fan_in), jnp.float32) / jnp.sqrt(jnp.float32(fan_in))

        self.recurrent_weights = normal(recurrent_key, rows, units)
        self.input_weights = normal(input_key, rows, n_inputs)
        self.bias = self._initial_bias(units)
        self.initial_state = jnp.zeros(self.states_per_unit * units, jnp.float32)
        self.readout_weights = normal(readout_key, n_outputs, units)
        self.readout_bias = jnp.zeros(n_outputs, jnp.float32)
        self.activation = activation

    @property
    def units(self) -> int:
        """Hidden units."""
        return self.readout_weights.shape[-1]

    def project(self, inputs: Float[Array, " inputs"]) -> Float[Array, " gates_units"]:
        """The part of every pre-activation that does not depend on the state: U x + b."""
        return self.input_weights @ inputs + self.bias

    def advance(self, state: Float[Array, " state"], drive: Float[Array, " gates_units"]) -> Float[Array, " state"]:
        """One step from ``state``, given the projected input."""
        sums: tuple[Array, ...] = ()
        for stage, rows in enumerate(self.stage_rows()):
            operand = self.operand(stage, state, sums)
            sums = (*sums, self.recurrent_weights[rows] @ operand + drive[rows])
        return self.combine(state, sums)

    def stage_rows(self) -> tuple[slice, ...]:
        """The rows of the recurrent weights that each stage uses."""
        ends = [0, *itertools.accumulate(gates * self.units for gates in self.stages)]
        return tuple(slice(*pair) for pair in itertools.pairwise(ends))

    def operand(self, stage: int, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " units"]:
        """What the recurrent weights multiply in this stage, given the sums of the stages before."""
        del stage, sums
        return state[: self.units]

    @abstractmethod
    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """The next state, from this one and all sums."""

    def __call__(self, state: Float[Array, " state"], inputs: Float[Array, " inputs"]) -> Float[Array, " state"]:
        """One step: the map F(h, x) whose fixed points are sought."""
        return self.advance(state, self.project(inputs))

    def readout(self, state: Float[Array, " state"]) -> Float[Array, " outputs"]:
        """The output y = R h + d."""
        return self.readout_weights @ state[: self.units] + self.readout_bias

    def run(self, inputs: Float[Array, "steps inputs"]) -> Float[Array, "steps state"]:
        """The states after each step of one trial, from the learned initial state."""
        # Projecting all steps at once is one large product instead of many small ones inside the scan.
        drives = jax.vmap(self.project)(inputs)

        def step(state: Array, drive: Array) -> tuple[Array, Array]:
            state = self.advance(state, drive)
            return state, state

        return jax.lax.scan(step, self.initial_state, drives)[1]

    def box(self, inputs: Float[Array, " inputs"]) -> tuple[Array, Array] | None:
        """A box (low, high) that one step under a static input maps into itself, or None if none is known.

        With tanh the hidden units are averages of numbers in [−1, 1] and stay there. With relu nothing bounds them,
        unless excitation alone would die out: where W⁺, the positive recurrent weights of the candidate, has a spectral
        radius below 1. Trained relu networks hardly ever have. An LSTM's memory has no such bound.
        """
        if self.activation != "tanh":
            return self._relu_box(inputs)
        bound = self._state_bound(inputs)
        return -bound, bound

    def under(self, inputs: Float[Array, " inputs"]) -> Callable[[Array, Array], Array]:
        """The same map under a static input, which is now part of the biases: no input channels, nothing to read out.

        Networks of one shape then share their compiled programs, whatever task they have learned.
        """
        if type(self).project is not StagedCell.project or type(self).__call__ is not StagedCell.__call__:
            return super().under(inputs)  # its input may act in another way
        return eqx.tree_at(
            lambda cell: (cell.bias, cell.input_weights, cell.readout_weights, cell.readout_bias),
            self,
            (self.project(inputs), self.input_weights[:, :0], self.readout_weights[:0], self.readout_bias[:0]),
        )

    def _initial_bias(self, units: int) -> Array:
        return jnp.zeros(len(self.gates) * units, jnp.float32)

    def _state_bound(self, inputs: Float[Array, " inputs"]) -> Float[Array, " state"]:
        del inputs
        return jnp.ones(self.units, self.bias.dtype)

    def _relu_box(self, inputs: Float[Array, " inputs"]) -> tuple[Array, Array] | None:
        """From −1 to B with W⁺ B + W⁻ 1 + (U x + b)⁺ + 1 = B: no candidate of a state in it is above B."""
        rows = slice(self.gates.index("candidate") * self.units, (self.gates.index("candidate") + 1) * self.units)
        weights = self.recurrent_weights[rows]
        excitation = jnp.maximum(weights, 0)
        if not (np.isfinite(weights).all() and np.abs(np.linalg.eigvals(np.asarray(excitation))).max() < 1):
            return None
        drive = jnp.maximum(-weights, 0).sum(axis=1) + jnp.maximum(self.project(inputs)[rows], 0) + 1
        high = jnp.linalg.solve(jnp.eye(self.units, dtype=weights.dtype) - excitation, drive)
        return jnp.full_like(high, -1), high

    def _activate(self, values: Array) -> Array:
        return ACTIVATIONS[self.activation](values)


class Vanilla(StagedCell):
    """The plain recurrent network: h' = φ(W h + U x + b)."""

    gates: ClassVar[tuple[str, ...]] = ("candidate",)
    stages: ClassVar[tuple[int, ...]] = (1,)

    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """The state h' = φ(sum)."""
        del state
        return self._activate(sums[0])


class UGRNN(StagedCell):
    """The update-gate network: c = φ(…), g = σ(…), h' = g∘h + (1 − g)∘c."""

    gates: ClassVar[tuple[str, ...]] = ("candidate", "update")
    stages: ClassVar[tuple[int, ...]] = (2,)

    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """The state h' = g∘h + (1 − g)∘c."""
        candidate, update = jnp.split(sums[0], 2)
        gate = sigmoid(update)
        return gate * state + (1 - gate) * self._activate(candidate)


class GRU(StagedCell):
    """The gated recurrent unit: r, u = σ(…), c = φ(W_c (r∘h) + …), h' = u∘h + (1 − u)∘c."""

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")
    stages: ClassVar[tuple[int, ...]] = (2, 1)

    def operand(self, stage: int, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " units"]:
        """The state h for the gates, r∘h for the candidate."""
        return state if stage == 0 else sigmoid(sums[0][: self.units]) * state

    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """The state h' = u∘h + (1 − u)∘c."""
        update = sigmoid(sums[0][self.units :])
        return update * state + (1 - update) * self._activate(sums[1])


class LSTM(StagedCell):
    """The long short-term memory: i, f, o = σ(…), c' = f∘c + i∘φ(…), h' = o∘φ(c'). The state is (h, c)."""

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "output", "candidate")
    stages: ClassVar[tuple[int, ...]] = (4,)
    states_per_unit: ClassVar[int] = 2

    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """The state c' = f∘c + i∘φ(…), h' = o∘φ(c')."""
        gate_in, forget, out, candidate = jnp.split(sums[0], 4)
        memory = sigmoid(forget) * state[self.units :] + sigmoid(gate_in) * self._activate(candidate)
        return jnp.concatenate([sigmoid(out) * self._activate(memory), memory])

    def _relu_box(self, inputs: Float[Array, " inputs"]) -> None:
        """None: the more a forget gate is excited, the longer it keeps."""
        del inputs

    def _initial_bias(self, units: int) -> Array:
        # A forget gate that starts half open loses its memory in two steps; 1 is the usual remedy.
        return jnp.zeros(4 * units, jnp.float32).at[units : 2 * units].set(1.0)

    def _state_bound(self, inputs: Float[Array, " inputs"]) -> Float[Array, " state"]:
        """|h| ≤ 1 and |c| ≤ 1/(1 − max f), the largest forget gate that any |h| ≤ 1 can open."""
        forget = slice(self.units, 2 * self.units)
        widest = jnp.abs(self.recurrent_weights[forget]).sum(axis=1) + self.project(inputs)[forget]
        # 1 − σ(a) = σ(−a), which does not lose the digits that the subtraction would.
        return jnp.concatenate([jnp.ones(self.units, self.bias.dtype), 1 / sigmoid(-widest)])
