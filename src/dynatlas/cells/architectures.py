"""The four recurrent cells: one step of one network, and its readout.

With φ the activation (``activations``), σ the logistic function, h the hidden units and x the input:

    Vanilla  h' = φ(W h + U x + b)
    UGRNN    c = φ(W_c h + U_c x + b_c),  g = σ(W_g h + U_g x + b_g),  h' = g∘h + (1 − g)∘c
    GRU      r, u = σ(W h + U x + b),  c = φ(W_c (r∘h) + U_c x + b_c),  h' = u∘h + (1 − u)∘c
    LSTM     i, f, o = σ(W h + U x + b),  c' = f∘c + i∘φ(W_c h + U_c x + b_c),  h' = o∘φ(c')

The readout is y = R h + d. The weights of a cell's gates are stacked along the first axis in the order of ``gates``, so
that a single product computes all gates. Everything here is for one network and one trial.

A step is written in *stages*: each is one product with the recurrent weights, W a + (U x + b), of an operand a that may
depend on the sums of earlier stages, followed by elementwise functions. All cells need a single stage, except the GRU,
whose candidate depends on its reset gate. ``backpropagation`` relies on this form.

The equations are defined only here. A cell's step uses them, training uses them with another ``Arithmetic``
(``derivatives``), and the layers of other libraries with other products (``networks.layers``).

Sources: Collins, Sohl-Dickstein & Sussillo 2017; Maheswaranathan et al. 2019. The GRU's reset gate acts before the
recurrent product, as in Cho et al. 2014; torch's ``nn.GRU`` applies it after. The LSTM uses φ in both places, since the
paper changes every non-gate activation; Collins keeps tanh on the output.
"""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from dynatlas.cells.activations import ACTIVATIONS, Activation, Box, known_activation
from dynatlas.cells.cell import Cell
from dynatlas.cells.connectivity import Initialization, normal, recurrent_blocks

State = tuple[Array, ...]  # one [..., units] per state variable of a unit, the hidden units first
Gates = Mapping[str, Array]  # values of gates and candidate by name, each [..., units]
# (stage, operand, reset gate or None) → the stage's sums [..., gates · units].
GatedProduct = Callable[[int, Array, Array | None], Array]


class StagedCell(Cell):
    """A cell whose step is written in stages: its weights, a learned initial state, and a linear readout.

    Args:
        n_inputs: input channels.
        units: hidden units.
        n_outputs: output channels.
        activation: a name in ``ACTIVATIONS``, used everywhere except in the gates.
        gain: scale of the initial recurrent weights.
        initialization: of the recurrent weights of each gate: "normal", "orthogonal", "spectral_radius" or "identity"
            (``connectivity.recurrent_blocks``).
        key: random key of the initial weights: N(0, 1/fan_in), biases 0 (the LSTM's forget bias 1), initial state 0.

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
    states_per_unit: ClassVar[int] = 1  # state variables of a unit

    def __init__(
        self,
        n_inputs: int,
        units: int,
        n_outputs: int,
        activation: Activation = "tanh",
        *,
        gain: Annotated[float, Field(gt=0, le=100)] = 1.0,
        initialization: Initialization = "normal",
        key: PRNGKeyArray,
    ):
        for name, size in (("n_inputs", n_inputs), ("units", units), ("n_outputs", n_outputs)):
            if size < 1:
                raise ValueError(f"{name} is {size}; a cell needs at least 1")
        known_activation(activation)
        recurrent_key, input_key, readout_key = jax.random.split(key, 3)
        self.recurrent_weights = recurrent_blocks(recurrent_key, len(self.gates), units, gain, initialization)
        self.input_weights = normal(input_key, len(self.gates) * units, n_inputs)
        self.bias = self._initial_bias(units)
        self.initial_state = jnp.zeros(self.states_per_unit * units, jnp.float32)
        self.readout_weights = normal(readout_key, n_outputs, units)
        self.readout_bias = jnp.zeros(n_outputs, jnp.float32)
        self.activation = activation

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return self.readout_weights.shape[-1]

    def project(self, inputs: Float[Array, " inputs"]) -> Float[Array, " gates_units"]:
        """Compute the state-independent part of every pre-activation: U x + b."""
        return self.input_weights @ inputs + self.bias

    def advance(self, state: Float[Array, " state"], drive: Float[Array, " gates_units"]) -> Float[Array, " state"]:
        """Compute one step from ``state``, given the projected input."""
        sums: tuple[Array, ...] = ()
        for stage, rows in enumerate(self.stage_rows()):
            operand = self.operand(stage, state, sums)
            sums = (*sums, self.connectivity()[rows] @ operand + drive[rows])
        return self.combine(state, sums)

    def connectivity(self) -> Any:  # arrays of NumPy in networks that are read from files
        """Return the recurrent weights [gates · units, units] that the step uses."""
        return self.recurrent_weights

    def dense(self) -> "StagedCell":
        """Return the same map with its recurrent weights as a plain matrix, as loops over steps should use it."""
        return self

    def loop_state(self, batch: int) -> State:
        """Return the initial state for a batch of trials as ``derivatives`` uses it, the hidden units first."""
        initial = jnp.broadcast_to(self.initial_state, (batch, *self.initial_state.shape))
        return tuple(jnp.split(initial, self.states_per_unit, axis=-1))

    def stage_rows(self) -> tuple[slice, ...]:
        """Return the rows of the recurrent weights that each stage uses."""
        ends = [0, *itertools.accumulate(gates * self.units for gates in self.stages)]
        return tuple(slice(*pair) for pair in itertools.pairwise(ends))

    def operand(self, stage: int, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " units"]:
        """Return the operand of the recurrent weights in this stage, given the sums of earlier stages."""
        del stage, sums
        return state[: self.units]

    @abstractmethod
    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """Compute the next state from the current state and the sums of all stages."""

    def __call__(self, state: Float[Array, " state"], inputs: Float[Array, " inputs"]) -> Float[Array, " state"]:
        """Compute one step: the map F(h, x) whose fixed points are sought."""
        return self.advance(state, self.project(inputs))

    def readout(self, state: Float[Array, " state"]) -> Float[Array, " outputs"]:
        """Compute the output y = R h + d."""
        return self.readout_weights @ state[: self.units] + self.readout_bias

    def run(self, inputs: Float[Array, "steps inputs"]) -> Float[Array, "steps state"]:
        """Compute the states after each step of one trial, from the learned initial state."""
        # Project all steps in one large product, instead of many small ones inside the scan.
        return self.driven(jax.vmap(self.project)(inputs))

    def driven(self, drives: Float[Array, "steps gates_units"]) -> Float[Array, "steps state"]:
        """Compute the states after each step, given the projected inputs."""
        cell = self.dense()

        def step(state: Array, drive: Array) -> tuple[Array, Array]:
            state = cell.advance(state, drive)
            return state, state

        return jax.lax.scan(step, cell.initial_state, drives)[1]

    def box(self, inputs: Float[Array, " inputs"]) -> Box | None:
        """Return a box (low, high) that one step under a static input maps into itself; see ``invariant_box``."""
        return self.invariant_box(self.activation, self.connectivity(), self.project(inputs))

    @classmethod
    def invariant_box(cls, activation: str, recurrent_weights: Any, drive: Any) -> Box | None:
        """Return a box that one step maps into itself, for any drive U x + b up to this one; None if none is known.

        The next hidden units are averages of the current ones and of candidates, which a bounded φ bounds. For relu,
        let W be the weights of the candidate and W⁺ B + W⁻ 1 + drive⁺ + 1 = B: no candidate of a state between −1 and B
        exceeds B. Such a B > 0 exists if and only if the spectral radius of W⁺ is below 1, which is rarely the case in
        trained relu networks.
        """
        units = recurrent_weights.shape[-1]
        box = ACTIVATIONS[activation].box(units)
        if box is not None or activation != "relu":
            return box
        rows = cls.rows_of("candidate", units)
        weights = recurrent_weights[rows]
        excitation = jnp.maximum(weights, 0)
        others = jnp.maximum(-weights, 0).sum(axis=1) + jnp.maximum(drive[rows], 0)
        high = jnp.linalg.solve(jnp.eye(units, dtype=weights.dtype) - excitation, others + 1)
        # Also False for NaN or infinite.
        is_invariant = (high > 0) & (excitation @ high + others < high)
        return (jnp.full_like(high, -1), high) if is_invariant.all() else None

    @classmethod
    def rows_of(cls, gate: str, units: int) -> slice:
        """Return the rows of the weights that belong to a gate."""
        place = cls.gates.index(gate)
        return slice(place * units, (place + 1) * units)

    def under(self, inputs: Float[Array, " inputs"]) -> Callable[[Array, Array], Array]:
        """Return the map under a static input, absorbed into the biases: a cell without input and output channels.

        Networks of one shape then share compiled programs across tasks.
        """
        if type(self).project is not StagedCell.project or type(self).__call__ is not StagedCell.__call__:
            return super().under(inputs)  # the input may not enter through U x + b
        return eqx.tree_at(
            lambda cell: (cell.bias, cell.input_weights, cell.readout_weights, cell.readout_bias),
            self.dense(),
            (self.project(inputs), self.input_weights[:, :0], self.readout_weights[:0], self.readout_bias[:0]),
        )

    def _initial_bias(self, units: int) -> Array:
        return jnp.zeros(len(self.gates) * units, jnp.float32)

    def _activate(self, values: Array) -> Array:
        return ACTIVATIONS[self.activation].function(values)


@dataclass(frozen=True)
class Arithmetic:
    """Computation of gate values from their sums, and of the average that a gate weights."""

    activation: str  # one of ``ACTIVATIONS``

    def phi(self, values: Array) -> Array:
        """Apply the activation φ."""
        return ACTIVATIONS[self.activation].function(values)

    def values(self, gates: Sequence[str], sums: Array) -> Sequence[Array]:
        """Compute the values of one stage: σ of the sums of gates, φ of those of a candidate."""
        parts = zip(gates, jnp.split(sums, len(gates), axis=-1), strict=True)
        return [self.phi(part) if gate == "candidate" else sigmoid(part) for gate, part in parts]

    def average(self, gate: Array, old: Array, new: Array) -> Array:
        """Return g∘old + (1 − g)∘new."""
        return gate * old + (1 - gate) * new


class Architecture(StagedCell):
    """A cell whose equations are written in terms of its named gates."""

    @classmethod
    def equations(cls, arithmetic: Arithmetic, state: State, product: GatedProduct) -> tuple[State, Gates]:
        """Compute one step: the next state, and the values of the gates.

        The operand of the candidate is r∘h; a product that precedes the reset gate r uses h and scales its sums by r.
        """
        values: dict[str, Array] = {}
        for stage in range(len(cls.stages)):
            sums = product(stage, cls._operand(state[0], values), values.get("reset"))
            values |= cls._values(arithmetic, stage, sums)
        return cls.mix(arithmetic, state, values), values

    @staticmethod
    def mix(arithmetic: Arithmetic, state: State, gates: Gates) -> State:
        """Compute the next state from the values of the gates: h' = u∘h + (1 − u)∘c."""
        return (arithmetic.average(gates["update"], state[0], gates["candidate"]),)

    def operand(self, stage: int, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " units"]:
        """Return the hidden units h; r∘h in a stage after that of the reset gate."""
        values = self._values(Arithmetic(self.activation), 0, sums[0]) if stage else {}
        return self._operand(state[: self.units], values)

    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """Compute the next state from the current state and the sums of all stages."""
        parts = tuple(jnp.split(state, self.states_per_unit))
        return jnp.concatenate(self.equations(Arithmetic(self.activation), parts, lambda stage, *_: sums[stage])[0])

    @staticmethod
    def _operand(hidden: Array, gates: Gates) -> Array:
        return gates["reset"] * hidden if "reset" in gates else hidden

    @classmethod
    def _values(cls, arithmetic: Arithmetic, stage: int, sums: Array) -> dict[str, Array]:
        first = sum(cls.stages[:stage])
        names = cls.gates[first : first + cls.stages[stage]]
        return dict(zip(names, arithmetic.values(names, sums), strict=True))


class Vanilla(Architecture):
    """The plain recurrent network: h' = φ(W h + U x + b)."""

    gates: ClassVar[tuple[str, ...]] = ("candidate",)
    stages: ClassVar[tuple[int, ...]] = (1,)

    @staticmethod
    def mix(arithmetic: Arithmetic, state: State, gates: Gates) -> State:
        """Return the candidate as the next state."""
        return (gates["candidate"],)


class UGRNN(Architecture):
    """The update-gate network: c = φ(…), g = σ(…), h' = g∘h + (1 − g)∘c."""

    gates: ClassVar[tuple[str, ...]] = ("candidate", "update")
    stages: ClassVar[tuple[int, ...]] = (2,)


class GRU(Architecture):
    """The gated recurrent unit: r, u = σ(…), c = φ(W_c (r∘h) + …), h' = u∘h + (1 − u)∘c."""

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")
    stages: ClassVar[tuple[int, ...]] = (2, 1)


class LSTM(Architecture):
    """The long short-term memory: i, f, o = σ(…), c' = f∘c + i∘φ(…), h' = o∘φ(c'). The state is (h, c)."""

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "output", "candidate")
    stages: ClassVar[tuple[int, ...]] = (4,)
    states_per_unit: ClassVar[int] = 2

    @staticmethod
    def mix(arithmetic: Arithmetic, state: State, gates: Gates) -> State:
        """Compute the next state c' = f∘c + i∘φ(…), h' = o∘φ(c')."""
        memory = gates["forget"] * state[1] + gates["input"] * gates["candidate"]
        return gates["output"] * arithmetic.phi(memory), memory

    @classmethod
    def invariant_box(cls, activation: str, recurrent_weights: Any, drive: Any) -> Box | None:
        """Return |h| ≤ 1 and |c| ≤ 1/(1 − max f), with f the largest forget gate for any |h| ≤ 1, if |φ| ≤ 1.

        None with relu, for which the memory is not bounded.
        """
        phi, units = ACTIVATIONS[activation], recurrent_weights.shape[-1]
        if max(-phi.low, phi.high) > 1:
            return None
        rows = cls.rows_of("forget", units)
        widest = jnp.abs(recurrent_weights[rows]).sum(axis=1) + drive[rows]
        # 1 − σ(a) = σ(−a), without the cancellation of the subtraction.
        high = jnp.concatenate([jnp.ones(units, recurrent_weights.dtype), 1 / sigmoid(-widest)])
        return (-high, high) if jnp.isfinite(high).all() else None

    def _initial_bias(self, units: int) -> Array:
        # With a bias of 0 the gate is half open and the memory decays within two steps; 1 is the usual choice.
        return jnp.zeros(4 * units, jnp.float32).at[self.rows_of("forget", units)].set(1.0)
