"""A step of each of our cells for a whole batch, and its derivative written out by hand.

The forward step keeps *slopes* and *factors*, from which the backward step needs no more than products and sums. A
slope is the derivative of a step by one of its sums; times the loss's derivative by the step's result it is that sum's
delta. With φ' taken from the activated value (1 − c² for tanh) and σ' = s (1 − s), and δh, δc the derivatives by the
new state, the deltas are:

    Vanilla  φ'∘δh
    UGRNN    candidate (1 − g)φ'∘δh,  update (h − c)σ'∘δh
    GRU      candidate (1 − u)φ'∘δh,  update (h − c)σ'∘δh,  reset hσ'∘δ(r∘h)
    LSTM     output φ(c')σ'∘δh;  with δc' = δc + oφ'∘δh:  input gσ'∘δc',  forget cσ'∘δc',  candidate iφ'∘δc'

Forming slopes in the forward scan is what makes the backward one fast: XLA fuses the rest into one loop over one packed
array, where it would otherwise compute the same gates once for each of their uses.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dynatlas.cells.architectures import GRU, LSTM, UGRNN, StagedCell, Vanilla
from dynatlas.cells.cell import Activation

State = tuple[Array, ...]  # one [batch, units] for each number that a unit carries, the hidden units first


# (stage, operand) → the stage's sums; in the backward step (stage, deltas) → the derivative by the operand.
Product = Callable[[int, Array], Array]


Class = TypeVar("Class", bound=type)


class Kept(NamedTuple):
    """What the backward step needs of a forward one."""

    slopes: tuple[Array, ...]  # one [batch, gates · units] per stage
    factors: tuple[Array, ...]  # each [batch, units]


class Step(ABC):
    """One cell's step, and its derivative."""

    @staticmethod
    @abstractmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        """The next state, and what ``backward`` needs."""

    @staticmethod
    @abstractmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        """Derivative by the next state → derivative by the state, and each stage's deltas.

        ``hidden`` are the hidden units of the next state, which the operands of the step after hold anyway.
        """


class _VanillaStep(Step):
    @staticmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        (hidden,) = _activate(activation, product(0, state[0]), 0, 1)
        return (hidden,), Kept((), ())

    @staticmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        deltas = _slope(activation, hidden) * by_state[0]
        return (product(0, deltas),), (deltas,)


class _UGRNNStep(Step):
    @staticmethod
    def forward(activation: Activation, state: State, product: Product) -> tuple[State, Kept]:
        (hidden,) = state
        # The gate comes last among the rows, the candidate first; the reverse of the other cells.
        candidate, gate = _activate(activation, product(0, hidden), 1, 1, gates_first=False)
        apart = hidden - candidate
        slopes = _pack((1 - gate) * _slope(activation, candidate), apart * gate * (1 - gate))
        return (candidate + gate * apart,), Kept((slopes,), (gate,))

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
        (hidden,) = state
        reset, update = _activate(activation, product(0, hidden), 2, 0)
        (candidate,) = _activate(activation, product(1, reset * hidden), 0, 1)
        apart = hidden - candidate
        of_gates = _pack(hidden * reset * (1 - reset), apart * update * (1 - update))
        of_candidate = (1 - update) * _slope(activation, candidate)
        return (candidate + update * apart,), Kept((of_gates, of_candidate), (reset, update))

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
        hidden, memory = state
        gate_in, forget, out, candidate = _activate(activation, product(0, hidden), 3, 1)
        new_memory = forget * memory + gate_in * candidate
        (shown,) = _activate(activation, new_memory, 0, 1)
        slopes = _pack(
            candidate * gate_in * (1 - gate_in),
            memory * forget * (1 - forget),
            shown * out * (1 - out),
            gate_in * _slope(activation, candidate),
        )
        return (out * shown, new_memory), Kept((slopes,), (out * _slope(activation, shown), forget))

    @staticmethod
    def backward(
        activation: Activation, kept: Kept, hidden: Array, by_state: State, product: Product
    ) -> tuple[State, tuple[Array, ...]]:
        (by_hidden, by_memory), (through_out, forget) = by_state, kept.factors
        by_memory = by_memory + by_hidden * through_out
        deltas = _pack(by_memory, by_memory, by_hidden, by_memory) * kept.slopes[0]
        return (product(0, deltas), forget * by_memory), (deltas,)


# By the exact class: a subclass may compute something else.
STEPS: dict[type[StagedCell], type[Step]] = {
    Vanilla: _VanillaStep,
    UGRNN: _UGRNNStep,
    GRU: _GRUStep,
    LSTM: _LSTMStep,
}


def register_derivative(cell: Any) -> Callable[[Class], Class]:
    """Have networks of exactly this cell trained by a ``Step``, instead of by automatic differentiation.

    When a study that uses the cell is loaded, the two gradients are compared.

    Raises:
        ValueError: the cell is not written in stages, or what is registered is no ``Step``.

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
        >>> STEPS.pop(Doubled) is DoubledStep  # and forgotten again
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


def _activate(
    activation: Activation, sums: Array, gates: int, candidates: int, *, gates_first: bool = True
) -> list[Array]:
    """σ of the gates' sums and φ of the candidates', in one pass: σ(a) = ½ + ½ tanh(½ a)."""
    is_gate = jnp.array([True] * gates + [False] * candidates)[:: 1 if gates_first else -1]
    is_gate = jnp.repeat(is_gate, sums.shape[-1] // (gates + candidates))
    half = jnp.where(is_gate, 0.5, 1.0).astype(sums.dtype)
    tanh = jnp.tanh(half * sums)
    activated = tanh if activation == "tanh" else jax.nn.relu(sums)
    return jnp.split(jnp.where(is_gate, 0.5 + 0.5 * tanh, activated), gates + candidates, axis=-1)


def _slope(activation: Activation, activated: Array) -> Array:
    """φ', from the value of φ."""
    return 1 - activated * activated if activation == "tanh" else (activated > 0).astype(activated.dtype)


def _pack(*gates: Array) -> Array:
    return jnp.concatenate(gates, axis=-1)
