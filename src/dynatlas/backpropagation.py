"""The states of a batch of trials, with a gradient that forms each weight's derivative in one product.

Differentiating the scan automatically adds a product to the weights' gradient at every step. Here the backward scan
only passes the deltas on (the loss's derivatives by the sums of each stage) and keeps them; one large product of all
deltas with all operands then is the whole gradient. The elementwise parts of a cell are differentiated by JAX, and what
that needs is kept from the forward scan. ``benchmarks/gradient.py`` compares the speed with plain differentiation: at
32 and 64 units on a CPU the two are about even so far.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynatlas.cells import Cell

Sums = tuple[Array, ...]  # one [batch, gates · units] per stage
Pullback = Callable[[Array], tuple[Array, Sums]]


class _Kept(NamedTuple):
    """What the backward scan needs of a step."""

    operands: tuple[Array, ...]  # one [batch, units] per stage
    of_operands: tuple[Pullback, ...]  # derivative of each operand → by the state, by the sums of earlier stages
    of_state: Pullback  # derivative of the next state → by the state, by all sums


def batch_states(cell: Cell, inputs: Float[Array, "batch steps inputs"]) -> Float[Array, "steps batch state"]:
    """The states after each step of every trial: those of ``cell.run``, time first."""
    drives = jnp.einsum("bti,gi->tbg", inputs, cell.input_weights) + cell.bias
    initial = jnp.broadcast_to(cell.initial_state, (len(inputs), *cell.initial_state.shape))

    # ``cell`` itself only says how operands and sums are combined; what has a gradient is an argument.
    @jax.custom_vjp
    def states(weights: Array, initial: Array, drives: Array) -> Array:
        return _forward(cell, weights, initial, drives)[0]

    def forward(weights: Array, initial: Array, drives: Array) -> tuple[Array, tuple[Array, _Kept]]:
        after, kept = _forward(cell, weights, initial, drives)
        return after, (weights, kept)

    def backward(saved: tuple[Array, _Kept], gradient: Array) -> tuple[Array, Array, Array]:
        return _backward(cell, *saved, gradient)

    states.defvjp(forward, backward)
    return states(cell.recurrent_weights, initial, drives)


def _forward(
    cell: Cell,
    weights: Float[Array, "gates_units units"],
    initial: Float[Array, "batch state"],
    drives: Float[Array, "steps batch gates_units"],
) -> tuple[Float[Array, "steps batch state"], _Kept]:
    """The states, and what the backward scan needs; without a gradient XLA drops the latter."""

    def step(state: Array, drive: Array) -> tuple[Array, tuple[Array, _Kept]]:
        sums: Sums = ()
        operands: tuple[Array, ...] = ()
        of_operands: tuple[Pullback, ...] = ()
        for stage, rows in enumerate(cell.stage_rows()):
            operand, pull = jax.vjp(jax.vmap(partial(cell.operand, stage)), state, sums)
            operands, of_operands = (*operands, operand), (*of_operands, pull)
            sums = (*sums, operand @ weights[rows].T + drive[:, rows])
        state, of_state = jax.vjp(jax.vmap(cell.combine), state, sums)
        return state, (state, _Kept(operands, of_operands, of_state))

    return jax.lax.scan(step, initial, drives)[1]


def _backward(
    cell: Cell,
    weights: Float[Array, "gates_units units"],
    kept: _Kept,
    gradient: Float[Array, "steps batch state"],
) -> tuple[Float[Array, "gates_units units"], Float[Array, "batch state"], Float[Array, "steps batch gates_units"]]:
    """Derivatives by the weights, by the initial state, and by the drives: these are the deltas."""
    rows_of = cell.stage_rows()

    def step(later: Array, now: tuple[_Kept, Array]) -> tuple[Array, Sums]:
        kept, gradient = now
        by_state, deltas = kept.of_state(later + gradient)
        for stage in reversed(range(len(rows_of))):
            through_state, through_sums = kept.of_operands[stage](deltas[stage] @ weights[rows_of[stage]])
            by_state = by_state + through_state
            deltas = (*(a + b for a, b in zip(deltas, through_sums, strict=False)), *deltas[stage:])
        return by_state, deltas

    nothing = jnp.zeros_like(gradient[0])
    by_initial, deltas = jax.lax.scan(step, nothing, (kept._replace(operands=()), gradient), reverse=True)
    by_weights = [jnp.einsum("tbg,tbn->gn", *pair) for pair in zip(deltas, kept.operands, strict=True)]
    return jnp.concatenate(by_weights), by_initial, jnp.concatenate(deltas, axis=-1)
