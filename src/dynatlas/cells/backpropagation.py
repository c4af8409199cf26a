"""Outputs of a batch of trials, with a gradient that is faster than automatic differentiation.

Backpropagation through time, written explicitly: the forward scan keeps the values defined in ``derivatives``, and the
backward loop propagates the deltas (the derivatives of the loss by the sums of each step). State, input and a constant
1 form one operand, so that a single product covers recurrent weights, input weights and biases in both directions. The
deltas of a few steps are gathered before their product with the operands is added to the gradient. Cells without an
entry in ``derivatives`` are differentiated by JAX.
"""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynatlas.cells.activations import Activation
from dynatlas.cells.architectures import StagedCell, State
from dynatlas.cells.cell import Cell
from dynatlas.cells.derivatives import Kept, Step, has_derivative, step_of

# The most steps whose deltas are gathered: more exceed the cache, and a single one reads the sums too often.
GATHERED_STEPS = 5

Weights = tuple[Float[Array, "_gates_units operand"], ...]  # of each stage; an operand is [state, input, 1]
_Operands = tuple[Float[Array, "steps batch operand"], ...]  # of each stage
_Saved = tuple[Weights, Array, State, _Operands, Kept]
# Derivative by the state, by the transposed weights, deltas of the last steps, derivative by the inputs.
_Carry = tuple[State, tuple[Array, ...], tuple[Array, ...], Array]
_Tree = TypeVar("_Tree")


class _Program(NamedTuple):
    """What determines the compiled loop beside shapes."""

    step: type[Step]
    activation: Activation
    has_rates: bool = False  # whether the rates are returned too
    noisy: tuple[int, int] | None = None  # (stage, first column) of the sums that noise is added to


def batch_outputs(
    cell: Cell, inputs: Float[Array, "batch steps inputs"], noise: Float[Array, "steps batch units"] | None = None
) -> Float[Array, "steps batch outputs"]:
    """Compute the outputs after each step of every trial: those of ``cell.respond``, time first.

    Args:
        cell: the network.
        inputs: of each trial.
        noise: added to the sums W h + U x + b of the candidate, W φ(v) + U x + b of currents. It has no gradient.

    Raises:
        ValueError: noise of another shape, or for a cell without a candidate.
    """
    return _respond(cell, inputs, noise, has_rates=False)[-1]


def batch_responses(
    cell: Cell, inputs: Float[Array, "batch steps inputs"], noise: Float[Array, "steps batch units"] | None = None
) -> tuple[Float[Array, "steps batch units"], Float[Array, "steps batch outputs"]]:
    """Compute the rates and the outputs after each step of every trial, with gradients through both.

    Arguments and errors as of ``batch_outputs``.
    """
    rates, outputs = _respond(cell, inputs, noise, has_rates=True)
    return rates, outputs


def _respond(cell: Cell, inputs: Array, noise: Array | None, *, has_rates: bool) -> tuple[Array, ...]:
    """Return (outputs,) or (rates, outputs)."""
    if noise is not None:
        _check_noise(cell, inputs, noise)
    step = step_of(cell)
    if step is None or not isinstance(cell, StagedCell):
        return _by_differentiation(cell, inputs, noise, has_rates=has_rates)
    cell = cell.dense()
    weights = jnp.concatenate([cell.recurrent_weights, cell.input_weights, cell.bias[:, None]], axis=1)
    inputs = inputs.swapaxes(0, 1)
    inputs = jnp.concatenate([inputs, jnp.ones((*inputs.shape[:2], 1), inputs.dtype)], axis=-1)
    state = cell.loop_state(inputs.shape[1])
    program = _Program(step, cell.activation, has_rates, None if noise is None else _place_of_candidate(cell))
    run = _run if has_derivative(step, cell.activation) else _run_forward
    stages = tuple(weights[rows] for rows in cell.stage_rows())
    *rates, outputs = run(program, stages, cell.readout_weights, state, inputs, noise)
    return *rates, outputs + cell.readout_bias


def _check_noise(cell: Cell, inputs: Array, noise: Array) -> None:
    """Check that noise fits a cell and its trials."""
    name = type(cell).__name__
    if not isinstance(cell, StagedCell):
        raise ValueError(f"noise for a {name}, which does not derive from StagedCell; expected none")
    if "candidate" not in cell.gates or (step_of(cell) is None and not _is_driven(cell)):
        raise ValueError(
            f"noise for a {name}, whose step is not known to take it: expected a StagedCell with a gate 'candidate' "
            "that does not override run, respond, project or __call__; train it without noise"
        )
    expected = (inputs.shape[1], inputs.shape[0], cell.units)
    if noise.shape != expected:
        raise ValueError(f"noise has the shape {noise.shape}; expected [steps, batch, units], here {expected}")


def _is_driven(cell: StagedCell) -> bool:
    names = ("run", "respond", "driven", "project", "__call__")
    return all(getattr(type(cell), name) is getattr(StagedCell, name) for name in names)


def _by_differentiation(cell: Cell, inputs: Array, noise: Array | None, *, has_rates: bool) -> tuple[Array, ...]:
    """Return what ``_respond`` does for a cell without a registered derivative."""
    if noise is None or not isinstance(cell, StagedCell):
        states, outputs = jax.vmap(cell.respond)(inputs)
    else:
        rows = cell.rows_of("candidate", cell.units)
        drives = jax.vmap(jax.vmap(cell.project))(inputs).at[..., rows].add(noise.swapaxes(0, 1))
        states = jax.vmap(cell.driven)(drives)
        outputs = jax.vmap(jax.vmap(cell.readout))(states)
    rates = (jax.vmap(jax.vmap(cell.rates))(states),) if has_rates else ()
    return tuple(each.swapaxes(0, 1) for each in (*rates, outputs))


def _place_of_candidate(cell: StagedCell) -> tuple[int, int]:
    """Return the stage of the candidate and its first column in the stage's sums."""
    place = cell.gates.index("candidate")
    for stage, gates in enumerate(cell.stages):
        if place < gates:
            return stage, place * cell.units
        place -= gates
    raise AssertionError


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(
    program: _Program,
    weights: Weights,
    readout: Float[Array, "outputs units"],
    initial: State,
    inputs: Float[Array, "steps batch inputs_1"],
    noise: Float[Array, "steps batch units"] | None,
) -> tuple[Array, ...]:
    return _run_forward(program, weights, readout, initial, inputs, noise)


def _run_forward(
    program: _Program, weights: Weights, readout: Array, initial: State, inputs: Array, noise: Array | None
) -> tuple[Array, ...]:
    """Return (outputs,), or (rates, outputs) of the program that has them."""
    return _forward(program, weights, readout, initial, inputs, noise)[0]


def _forward(
    program: _Program, weights: Weights, readout: Array, initial: State, inputs: Array, noise: Array | None
) -> tuple[tuple[Array, ...], _Saved]:
    """Compute the outputs, and the values for the backward loop, which XLA drops if no gradient is needed."""
    # Transposed once, outside the scan, where a product would transpose its operand at every step.
    columns = tuple(matrix.T for matrix in weights)
    units = readout.shape[1]

    def advance(state: State, given: tuple[Array, Array | None]) -> tuple[State, tuple[tuple[Array, ...], Kept]]:
        operands: list[Array] = []
        now, added = given

        def product(stage: int, operand: Array) -> Array:
            operands.append(jnp.concatenate([operand, now], axis=-1))
            sums = operands[-1] @ columns[stage]
            if added is None or program.noisy is None or program.noisy[0] != stage:
                return sums
            first = program.noisy[1]
            if sums.shape[-1] == units:
                return sums + added
            return sums.at[:, first : first + units].add(added)

        state, kept = program.step.forward(program.activation, state, product)
        return state, (tuple(operands), kept)

    last, (operands, kept) = jax.lax.scan(advance, initial, (inputs, noise))
    # The operands of the first stage contain the hidden units before each step, so that the states are not kept too.
    widened = jnp.pad(readout, ((0, 0), (0, inputs.shape[-1])))
    outputs_before = jnp.einsum("tbn,on->tbo", operands[0], widened)
    outputs = jnp.concatenate([outputs_before[1:], (last[0] @ readout.T)[None]])
    saved = (weights, readout, last, operands, kept)
    if not program.has_rates:
        return (outputs,), saved
    return (jnp.concatenate([operands[0][1:, :, :units], last[0][None]]), outputs), saved


def _backward(
    program: _Program, saved: _Saved, gradients: tuple[Array, ...]
) -> tuple[Weights, Array, State, Array, None]:
    """Compute the derivatives by the weights, the readout, the initial state and the inputs; none by the noise."""
    weights, readout, last, operands, kept = saved
    *by_rates, gradient = gradients
    constants = last[len(last) - program.step.constants :]
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
        if by_rates:
            by_hidden = by_hidden + _at(time, by_rates[0])
        hidden = jnp.where(time + 1 < steps, _at(time + 1, operands[0])[:, :units], last[0])
        by_state, of_step = program.step.backward(
            program.activation,
            *(_with_constants(_at(time, kept), constants), hidden, (by_hidden, *rest)),
            lambda stage, deltas: deltas @ of_state[stage],
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
    return tuple(matrix.T for matrix in by_columns), by_readout, by_initial, by_inputs, None


def _with_constants(kept: Kept, constants: State) -> Kept:
    return kept._replace(factors=(*kept.factors, *constants)) if constants else kept


def _at(time: Array, of: _Tree) -> _Tree:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, time, keepdims=False), of)


_run.defvjp(_forward, _backward)
