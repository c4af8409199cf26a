"""Steps of the built-in cells for a batch, and their analytical derivatives.

The forward step uses the cell's equations in a faster arithmetic, and keeps *slopes* and *factors*, so that the
backward step consists of products and sums. A slope is the derivative of a step by one of its sums; multiplied by the
derivative of the loss by the step's result it is the delta of that sum. With φ' computed from the activated value
(1 − c² for tanh), σ' = s (1 − s), and δh, δc the derivatives by the new state, the deltas are:

    Vanilla  φ'∘δh
    UGRNN    candidate (1 − g)φ'∘δh,  update (h − c)σ'∘δh
    GRU      candidate (1 − u)φ'∘δh,  update (h − c)σ'∘δh,  reset hσ'∘δ(r∘h)
    LSTM     output φ(c')σ'∘δh;  with δc' = δc + oφ'∘δh:  input gσ'∘δc',  forget cσ'∘δc',  candidate iφ'∘δc'
    CTRNN    rates αφ'∘δh;  currents α∘δv', with δv' = δv + φ'∘δr and r = φ(v) the rates

The leak α of a CTRNN is a part of the loop's state that never changes, so that its derivative is one by the initial
state: the sum over steps and trials of δh∘(φ(…) − h), or δv'∘(W φ(v) + U x + b − v).

Computing slopes in the forward scan makes the backward one fast: XLA fuses the rest into one loop over one packed
array, and would otherwise compute the gates again for each use.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import jax.numpy as jnp
from jaxtyping import Array

from dynatlas.cells.activations import ACTIVATIONS, Activation
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Architecture, Arithmetic, Gates, StagedCell, State, Vanilla
from dynatlas.cells.cell import Cell
from dynatlas.cells.ctrnn import CTRNN

# (stage, operand) → the stage's sums; in the backward step (stage, deltas) → the derivative by the operand.
Product = Callable[[int, Array], Array]
Class = TypeVar("Class", bound=type)


class Kept(NamedTuple):
    """Values of a forward step that the backward step needs."""

    slopes: tuple[Array, ...]  # one [batch, gates · units] per stage
    factors: tuple[Array, ...]  # each [batch, units]


class Step(ABC):
    """Step of a cell, and its derivative."""

    # The last parts of the state that no step changes; ``backward`` finds them at the end of ``kept.factors``.
    constants: ClassVar[int] = 0

    @staticmethod
    @abstractmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        """Compute the next state, and the values that ``backward`` needs."""

    @staticmethod
    @abstractmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        """Compute the derivative by the state, and the deltas of each stage, from the derivative by the next state.

        ``hidden`` are the hidden units of the next state, which are part of the operands of the following step.
        """


class _Packed(Arithmetic):
    """Arithmetic with one pass over a stage's sums, by σ(a) = ½ + ½ tanh(½ a), and one product per average."""

    def values(self, gates: Sequence[str], sums: Array) -> Sequence[Array]:
        is_gate = jnp.array([gate != "candidate" for gate in gates])
        is_gate = jnp.repeat(is_gate, sums.shape[-1] // len(gates))
        half = jnp.where(is_gate, 0.5, 1.0).astype(sums.dtype)
        tanh = jnp.tanh(half * sums)
        activated = tanh if self.activation == "tanh" else self.phi(sums)
        return jnp.split(jnp.where(is_gate, 0.5 + 0.5 * tanh, activated), len(gates), axis=-1)

    def average(self, gate: Array, old: Array, new: Array) -> Array:
        return new + gate * (old - new)


def _step(kind: type[Architecture], activation: Activation, state: State, product: Product) -> tuple[State, Gates]:
    return kind.equations(_Packed(activation), state, lambda stage, operand, _: product(stage, operand))


class _VanillaStep(Step):
    @staticmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        return _step(Vanilla, activation, state, product)[0], Kept((), ())

    @staticmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        deltas = _slope(activation, hidden) * by_state[0]
        return (product(0, deltas),), (deltas,)


class _UGRNNStep(Step):
    @staticmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        new, gates = _step(UGRNN, activation, state, product)
        candidate, gate = gates["candidate"], gates["update"]
        apart = state[0] - candidate
        slopes = _pack((1 - gate) * _slope(activation, candidate), apart * gate * (1 - gate))
        return new, Kept((slopes,), (gate,))

    @staticmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        (by_hidden,), (gate,) = by_state, kept.factors
        deltas = _pack(by_hidden, by_hidden) * kept.slopes[0]
        return (product(0, deltas) + gate * by_hidden,), (deltas,)


class _GRUStep(Step):
    @staticmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        new, gates = _step(GRU, activation, state, product)
        (hidden,) = state
        reset, update, candidate = gates["reset"], gates["update"], gates["candidate"]
        apart = hidden - candidate
        of_gates = _pack(hidden * reset * (1 - reset), apart * update * (1 - update))
        of_candidate = (1 - update) * _slope(activation, candidate)
        return new, Kept((of_gates, of_candidate), (reset, update))

    @staticmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        (by_hidden,), (reset, update) = by_state, kept.factors
        of_candidate = by_hidden * kept.slopes[1]
        by_operand = product(1, of_candidate)  # δ(r∘h)
        of_gates = _pack(by_operand, by_hidden) * kept.slopes[0]
        return (product(0, of_gates) + (update * by_hidden + reset * by_operand),), (of_gates, of_candidate)


class _LSTMStep(Step):
    @staticmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        new, gates = _step(LSTM, activation, state, product)
        gate_in, forget, out, candidate = (gates[name] for name in LSTM.gates)
        memory, shown = state[1], Arithmetic(activation).phi(new[1])
        slopes = _pack(
            candidate * gate_in * (1 - gate_in),
            memory * forget * (1 - forget),
            shown * out * (1 - out),
            gate_in * _slope(activation, candidate),
        )
        return new, Kept((slopes,), (out * _slope(activation, shown), forget))

    @staticmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        (by_hidden, by_memory), (through_out, forget) = by_state, kept.factors
        by_memory = by_memory + by_hidden * through_out
        deltas = _pack(by_memory, by_memory, by_hidden, by_memory) * kept.slopes[0]
        return (product(0, deltas), forget * by_memory), (deltas,)


class _RatesStep(Step):
    """h' = (1 − α)h + αφ(…); the state is (h, α)."""

    constants: ClassVar[int] = 1
    learns: ClassVar[bool] = False  # whether α has a derivative

    @classmethod
    def forward(cls, activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        hidden, alpha = state
        rates = _Packed(activation).phi(product(0, hidden))
        new = (1 - alpha) * hidden + alpha * rates
        moved = (rates - hidden,) if cls.learns else ()
        return (new, alpha), Kept((alpha * _slope(activation, rates),), moved)

    @classmethod
    def backward(
        cls, activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        (by_hidden, by_alpha), (*moved, alpha) = by_state, kept.factors
        deltas = kept.slopes[0] * by_hidden
        return (product(0, deltas) + (1 - alpha) * by_hidden, _by_alpha(by_alpha, by_hidden, moved)), (deltas,)


class _CurrentsStep(Step):
    """v' = (1 − α)v + α(…); the state is (r, v, α) with the rates r = φ(v)."""

    constants: ClassVar[int] = 1
    learns: ClassVar[bool] = False

    @classmethod
    def forward(cls, activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        rates, currents, alpha = state
        sums = product(0, rates)
        new = (1 - alpha) * currents + alpha * sums
        moved = (sums - currents,) if cls.learns else ()
        return (_Packed(activation).phi(new), new, alpha), Kept((), moved)

    @classmethod
    def backward(
        cls, activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        (by_rates, by_currents, by_alpha), (*moved, alpha) = by_state, kept.factors
        by_currents = by_currents + _slope(activation, hidden) * by_rates
        deltas = alpha * by_currents
        by_alpha = _by_alpha(by_alpha, by_currents, moved)
        return (product(0, deltas), (1 - alpha) * by_currents, by_alpha), (deltas,)


class _LearnedRatesStep(_RatesStep):
    learns = True


class _LearnedCurrentsStep(_CurrentsStep):
    learns = True


def _by_alpha(by_alpha: Array, by_new: Array, moved: Sequence[Array]) -> Array:
    return by_alpha + (by_new * moved[0]).sum(axis=0, keepdims=True) if moved else by_alpha


# Looked up by the exact class, since a subclass may override the equations.
STEPS: dict[type[StagedCell], type[Step]] = {
    Vanilla: _VanillaStep,
    UGRNN: _UGRNNStep,
    GRU: _GRUStep,
    LSTM: _LSTMStep,
    CTRNN: _RatesStep,
}
_BUILT_IN: Final = {*STEPS.values(), _CurrentsStep, _LearnedRatesStep, _LearnedCurrentsStep}
_OF_CTRNN: Final[dict[tuple[str, bool], type[Step]]] = {
    ("rates", False): _RatesStep,
    ("rates", True): _LearnedRatesStep,
    ("currents", False): _CurrentsStep,
    ("currents", True): _LearnedCurrentsStep,
}


def step_of(cell: Cell) -> type[Step] | None:
    """Return the step that trains networks of exactly this class; None if JAX differentiates them."""
    step = STEPS.get(type(cell)) if isinstance(cell, StagedCell) else None
    return _OF_CTRNN[cell.form, cell.learn_tau] if step is _RatesStep and isinstance(cell, CTRNN) else step


def has_derivative(step: type[Step], activation: Activation) -> bool:
    """Whether the step's ``backward`` holds for an activation: one of ours needs φ' as a function of φ."""
    return step not in _BUILT_IN or ACTIVATIONS[activation].derivative is not None


def register_derivative(cell: object) -> Callable[[Class], Class]:
    """Register a ``Step`` that trains networks of exactly this cell, instead of automatic differentiation.

    Both gradients are compared when a study with the cell is loaded.

    Raises:
        ValueError: the cell is not a ``StagedCell``, or the registered class is not a ``Step``.

    Example:
        >>> class Doubled(Vanilla):
        ...     def combine(self, state, sums):
        ...         return super().combine(state, (2 * sums[0],))
        >>> @register_derivative(Doubled)
        ... class DoubledStep(Step):
        ...     @staticmethod
        ...     def forward(activation, state, product):
        ...         return (jnp.tanh(2 * product(0, state[0])),), Kept((), ())
        ...
        ...     @staticmethod
        ...     def backward(activation, kept, hidden, by_state, product):
        ...         deltas = 2 * (1 - hidden**2) * by_state[0]
        ...         return (product(0, deltas),), (deltas,)
        >>> STEPS.pop(Doubled) is DoubledStep  # unregister it
        True
    """

    def register(step: Any) -> Any:
        if not (isinstance(cell, type) and issubclass(cell, StagedCell)):
            raise ValueError(f"{cell!r} does not derive from dynatlas.cells.StagedCell")
        if not (isinstance(step, type) and issubclass(step, Step)):
            raise ValueError(f"{step!r} does not derive from dynatlas.cells.derivatives.Step")
        STEPS[cell] = step
        return step

    return register


def _slope(activation: Activation, activated: Array) -> Array:
    """Return φ' from the value of φ; zeros, which are not used, for a φ that is differentiated by JAX."""
    return (ACTIVATIONS[activation].derivative or jnp.zeros_like)(activated)


def _pack(*gates: Array) -> Array:
    return jnp.concatenate(gates, axis=-1)
