"""The states of a batch of trials, with a gradient that is faster than plain automatic differentiation.

Differentiating the scan automatically adds a product to the weights' gradient at every step. Here the backward scan
only carries the deltas (the loss's derivatives by the sums of each stage) and keeps them; then one large product of all
deltas with all operands is the whole gradient. The forward scan keeps the sums, so that no product is done twice. The
elementwise parts of a cell are differentiated by JAX: nothing is derived by hand.

Trials are the *last* axis of everything here, so that each gate's rows are contiguous and neither W a nor Wᵀ δ needs a
transpose; with trials first the gated cells took up to twice as long.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynatlas.cells import Cell

Sums = tuple[Array, ...]  # one [gates · units, batch] per stage


def batch_states(cell: Cell, inputs: Float[Array, "batch steps inputs"]) -> Float[Array, "steps state batch"]:
    """The states after each step of every trial."""
    # From here on ``cell`` only says how operands and sums are combined; its weights go in as arguments, by which
    # JAX can differentiate.
    drives = jnp.einsum("gi,bti->tgb", cell.input_weights, inputs) + cell.bias[:, None]
    initial = jnp.broadcast_to(cell.initial_state[:, None], (len(cell.initial_state), len(inputs)))

    @jax.custom_vjp
    def states(weights: Array, initial: Array, drives: Array) -> Array:
        return _forward(cell, weights, initial, drives)[0]

    def forward(weights: Array, initial: Array, drives: Array) -> tuple[Array, tuple[Array, Array, Array, Sums]]:
        after, sums = _forward(cell, weights, initial, drives)
        return after, (weights, initial, after, sums)

    def backward(kept: tuple[Array, Array, Array, Sums], gradient: Array) -> tuple[Array, Array, Array]:
        weights, initial, after, sums = kept
        before = jnp.concatenate([initial[None], after[:-1]])
        return _backward(cell, weights, before, sums, gradient)

    states.defvjp(forward, backward)
    return states(cell.recurrent_weights, initial, drives)


def _forward(
    cell: Cell,
    weights: Float[Array, "gates_units units"],
    initial: Float[Array, "state batch"],
    drives: Float[Array, "steps gates_units batch"],
) -> tuple[Float[Array, "steps state batch"], Sums]:
    """The states, and the sums that led to them."""

    def step(state: Array, drive: Array) -> tuple[Array, tuple[Array, Sums]]:
        sums: Sums = ()
        for stage, rows in enumerate(cell.stage_rows()):
            sums = (*sums, weights[rows] @ _operand(cell, stage, state, sums) + drive[rows])
        state = _combine(cell, state, sums)
        return state, (state, sums)

    return jax.lax.scan(step, initial, drives)[1]


def _backward(
    cell: Cell,
    weights: Float[Array, "gates_units units"],
    before: Float[Array, "steps state batch"],
    sums: Sums,
    gradient: Float[Array, "steps state batch"],
) -> tuple[
    Float[Array, "gates_units units"], Float[Array, "state batch"], Float[Array, "steps gates_units batch"]
]:
    """Derivatives by the weights, the initial state, and the drives (which are the deltas)."""
    rows_of = cell.stage_rows()

    def step(later: Array, now: tuple[Array, Sums, Array]) -> tuple[Array, Sums]:
        state, sums, gradient = now
        _, pull = jax.vjp(partial(_combine, cell), state, sums)
        by_state, deltas = pull(later + gradient)
        for stage in reversed(range(len(rows_of))):
            _, pull = jax.vjp(partial(_operand, cell, stage), state, sums[:stage])
            through_state, through_earlier = pull(weights[rows_of[stage]].T @ deltas[stage])
            by_state = by_state + through_state
            deltas = (*(a + b for a, b in zip(deltas, through_earlier, strict=False)), *deltas[stage:])
        return by_state, deltas

    by_initial, deltas = jax.lax.scan(step, jnp.zeros_like(before[0]), (before, sums, gradient), reverse=True)
    by_weights = [
        jnp.einsum("tgb,tnb->gn", deltas[stage], jax.vmap(partial(_operand, cell, stage))(before, sums[:stage]))
        for stage in range(len(rows_of))
    ]
    return jnp.concatenate(by_weights), by_initial, jnp.concatenate(deltas, axis=1)


def _operand(cell: Cell, stage: int, state: Float[Array, "state batch"], sums: Sums) -> Float[Array, "units batch"]:
    """A stage's operand of every trial."""
    return jax.vmap(partial(cell.operand, stage), in_axes=-1, out_axes=-1)(state, sums)


def _combine(cell: Cell, state: Float[Array, "state batch"], sums: Sums) -> Float[Array, "state batch"]:
    """The next state of every trial."""
    return jax.vmap(cell.combine, in_axes=-1, out_axes=-1)(state, sums)
