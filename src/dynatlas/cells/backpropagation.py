"""Outputs of a batch of trials, with a gradient that is faster than automatic differentiation.

Backpropagation through time, written explicitly: the forward scan keeps the values defined in ``derivatives``, and the
backward loop propagates the deltas (the derivatives of the loss by the sums of each step). State, input and a constant
1 form one operand, so that a single product covers recurrent weights, input weights and biases in both directions. The
deltas of a few steps are gathered before their product with the operands is added to the gradient. Cells without an
entry in ``derivatives`` are differentiated by JAX.
"""

from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynatlas.cells.architectures import StagedCell, State
from dynatlas.cells.cell import Activation, Cell
from dynatlas.cells.derivatives import STEPS, Kept, Step

# The most steps whose deltas are gathered: more exceed the cache, and a single one reads the sums too often.
GATHERED_STEPS = 5

Weights = tuple[Float[Array, "_gates_units operand"], ...]  # of each stage; an operand is [state, input, 1]
_Operands = tuple[Float[Array, "steps batch operand"], ...]  # of each stage
_Saved = tuple[Weights, Array, State, _Operands, Kept]
# Derivative by the state, by the transposed weights, deltas of the last steps, derivative by the inputs.
_Carry = tuple[State, tuple[Array, ...], tuple[Array, ...], Array]
_Tree = TypeVar("_Tree")


def batch_outputs(cell: Cell, inputs: Float[Array, "batch steps inputs"]) -> Float[Array, "steps batch outputs"]:
    """Compute the outputs after each step of every trial: those of ``cell.respond``, time first."""
    if not isinstance(cell, StagedCell) or type(cell) not in STEPS:
        return jax.vmap(cell.respond)(inputs)[1].swapaxes(0, 1)
    weights = jnp.concatenate([cell.recurrent_weights, cell.input_weights, cell.bias[:, None]], axis=1)
    inputs = inputs.swapaxes(0, 1)
    inputs = jnp.concatenate([inputs, jnp.ones((*inputs.shape[:2], 1), inputs.dtype)], axis=-1)
    initial = jnp.broadcast_to(cell.initial_state, (inputs.shape[1], *cell.initial_state.shape))
    state = tuple(jnp.split(initial, cell.states_per_unit, axis=-1))
    run = partial(_run, STEPS[type(cell)], cell.activation)
    stages = tuple(weights[rows] for rows in cell.stage_rows())
    return run(stages, cell.readout_weights, state, inputs) + cell.readout_bias


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run(
    step: type[Step],
    activation: Activation,
    weights: Weights,
    readout: Float[Array, "outputs units"],
    initial: State,
    inputs: Float[Array, "steps batch inputs_1"],
) -> Float[Array, "steps batch outputs"]:
    return _forward(step, activation, weights, readout, initial, inputs)[0]


def _forward(
    step: type[Step], activation: Activation, weights: Weights, readout: Array, initial: State, inputs: Array
) -> tuple[Array, _Saved]:
    """Compute the outputs, and the values for the backward loop, which XLA drops if no gradient is needed."""
    # Transposed once, outside the scan, where a product would transpose its operand at every step.
    columns = tuple(matrix.T for matrix in weights)

    def advance(state: State, now: Array) -> tuple[State, tuple[tuple[Array, ...], Kept]]:
        operands: list[Array] = []

        def product(stage: int, operand: Array) -> Array:
            operands.append(jnp.concatenate([operand, now], axis=-1))
            return operands[-1] @ columns[stage]

        state, kept = step.forward(activation, state, product)
        return state, (tuple(operands), kept)

    last, (operands, kept) = jax.lax.scan(advance, initial, inputs)
    # The operands of the first stage contain the hidden units before each step, so that the states are not kept too.
    widened = jnp.pad(readout, ((0, 0), (0, inputs.shape[-1])))
    outputs_before = jnp.einsum("tbn,on->tbo", operands[0], widened)
    outputs = jnp.concatenate([outputs_before[1:], (last[0] @ readout.T)[None]])
    return outputs, (weights, readout, last, operands, kept)


def _backward(
    step: type[Step], activation: Activation, saved: _Saved, gradient: Float[Array, "steps batch outputs"]
) -> tuple[Weights, Array, State, Array]:
    """Compute the derivatives by the weights, the readout, the initial state and the inputs."""
    weights, readout, last, operands, kept = saved
    (steps, batch, _), (outputs, units) = gradient.shape, readout.shape
    of_state = [matrix[:, :units] for matrix in weights]
    of_inputs = jnp.concatenate([matrix[:, units:] for matrix in weights])
    gathered = next(size for size in range(GATHERED_STEPS, 0, -1) if steps % size == 0)

    # Loops over indices: a scan would copy its slices twice.
    def retreat(first: Array, i: Array, carry: tuple[State, tuple[Array, ...]]) -> tuple[State, tuple[Array, ...]]:
        (by_hidden, *rest), deltas = carry
        i = gathered - 1 - i
        time = first + i
        by_hidden = by_hidden + _at(time, gradient) @ readout
        hidden = jnp.where(time + 1 < steps, _at(time + 1, operands[0])[:, :units], last[0])
        by_state, of_step = step.backward(
            activation, _at(time, kept), hidden, (by_hidden, *rest), lambda stage, deltas: deltas @ of_state[stage]
        )
        return by_state, tuple(all_.at[i].set(one) for all_, one in zip(deltas, of_step, strict=True))

    def retreat_and_add(i: Array, carry: _Carry) -> _Carry:
        by_state, by_columns, deltas, by_inputs = carry
        first = steps - (i + 1) * gathered
        by_state, deltas = jax.lax.fori_loop(0, gathered, partial(retreat, first), (by_state, deltas))
        by_inputs = jax.lax.dynamic_update_slice_in_dim(
            by_inputs, jnp.concatenate(deltas, axis=-1) @ of_inputs, first, axis=0
        )

        def add(total: Array, operand: Array, deltas: Array) -> Array:
            operand = jax.lax.dynamic_slice_in_dim(operand, first, gathered).reshape(gathered * batch, -1)
            # operandᵀ deltas is faster than its transpose.
            return total + operand.T @ deltas.reshape(gathered * batch, -1)

        return by_state, tuple(map(add, by_columns, operands, deltas)), deltas, by_inputs

    start = (
        tuple(jnp.zeros_like(part) for part in last),
        tuple(jnp.zeros_like(matrix.T) for matrix in weights),
        tuple(jnp.zeros((gathered, batch, len(matrix)), matrix.dtype) for matrix in weights),
        jnp.zeros((steps, batch, of_inputs.shape[1]), gradient.dtype),
    )
    by_initial, by_columns, _, by_inputs = jax.lax.fori_loop(0, steps // gathered, retreat_and_add, start)
    gradient_before = jnp.concatenate([jnp.zeros((1, batch, outputs), gradient.dtype), gradient[:-1]])
    by_widened = jnp.einsum("tbo,tbn->on", gradient_before, operands[0])
    by_readout = by_widened[:, :units] + gradient[-1].T @ last[0]
    return tuple(matrix.T for matrix in by_columns), by_readout, by_initial, by_inputs


def _at(time: Array, of: _Tree) -> _Tree:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, time, keepdims=False), of)


_run.defvjp(_forward, _backward)
