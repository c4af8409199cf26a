"""Validation of user-defined cells, once, when a study file is loaded."""

from collections.abc import Callable
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from dynatlas._util.messages import first_line
from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.cell import Cell, is_fixed, leaf_name, map_fixed
from dynatlas.cells.derivatives import STEPS

SAMPLES, STEPS_TRIED, BATCH = 64, 6, 3
# Relative to the largest entry of the gradient: float32 rounding through a few steps.
TOLERANCE: Final = 1e-3


def check_cell(
    name: str, kind: Callable[..., Cell], n_inputs: int, units: int, n_outputs: int, activation: str
) -> None:
    """Check the weights, step, readout, box and registered derivative of a cell.

    Raises:
        ValueError: the first requirement that is not met; the message states what was seen and what was expected.
    """
    what = f"the cell {name!r}"
    try:
        cell, again, other = (
            kind(n_inputs, units, n_outputs, activation, key=jax.random.key(seed)) for seed in (0, 0, 1)
        )
    except Exception as error:
        raise ValueError(
            f"{what}: {kind.__name__}({n_inputs}, {units}, {n_outputs}, {activation!r}, key=…) fails: "
            f"{type(error).__name__}: {error}"
        ) from None
    _check_leaves(what, cell, again, other)
    if cell.units != units:
        raise ValueError(f"{what}: units is {cell.units}; expected {units}, with which it was made")
    if cell.initial_state.ndim != 1 or len(cell.initial_state) < units:
        raise ValueError(
            f"{what}: initial_state has the shape {cell.initial_state.shape}; expected one axis of at least {units} "
            "numbers, the hidden units first"
        )
    with jax.enable_x64(True):
        _check_step(what, cell.astype(np.float64), n_inputs, n_outputs)
    _check_trained(what, cell, n_inputs)
    if kind in STEPS:
        _check_derivative(what, cell, n_inputs)


def _check_leaves(what: str, cell: Cell, again: Cell, other: Cell) -> None:
    """Check that the leaves are finite float32 arrays, and determined by the key."""
    leaves = jax.tree.leaves(cell)
    for leaf in leaves:
        if getattr(leaf, "dtype", None) != np.float32:
            raise ValueError(
                f"{what} holds {getattr(leaf, 'dtype', type(leaf).__name__)}; all that is not static must be arrays of "
                "float32 (mark the rest with equinox.field(static=True))"
            )
        if not np.isfinite(leaf).all():
            raise ValueError(f"{what} begins with weights that are not finite")

    def alike(second: Cell) -> bool:
        return all(np.array_equal(*pair) for pair in zip(leaves, jax.tree.leaves(second), strict=True))

    if not alike(again):
        raise ValueError(f"{what} begins with other weights for the same key; all randomness must come from the key")
    if alike(other):
        raise ValueError(f"{what} begins with the same weights for every key; draw them from the key")


def _check_step(what: str, cell: Cell, n_inputs: int, n_outputs: int) -> None:
    """Check shapes, types and determinism of a step, the readout and the box, in float64 as for fixed points."""
    random = np.random.default_rng(0)
    states = jnp.asarray(random.uniform(-1, 1, (SAMPLES, len(cell.initial_state))))
    inputs = jnp.asarray(random.normal(size=(SAMPLES, n_inputs)))
    try:
        following, outputs = jax.jit(jax.vmap(lambda h, x: (cell(h, x), cell.readout(h))))(states, inputs)
        alone, shown = cell(states[0], inputs[0]), cell.readout(states[0])
        jacobians = jax.vmap(jax.jacobian(cell.readout))(states[:2])
    except Exception as error:
        raise ValueError(f"{what}: a step or its readout fails: {type(error).__name__}: {first_line(error)}") from None
    for part, seen, size in (("a step", alone, states.shape[1]), ("the readout", shown, n_outputs)):
        if seen.shape != (size,):
            raise ValueError(f"{what}: {part} gives the shape {seen.shape}; expected {(size,)}")
        if seen.dtype != np.float64:
            raise ValueError(
                f"{what}: {part} gives {seen.dtype} for a state in float64; fixed points are sought in float64, so it "
                "must not convert"
            )
    if not (np.isfinite(following).all() and np.isfinite(outputs).all()):
        raise ValueError(f"{what}: a step from states between −1 and 1 is not finite")
    if not np.allclose(following[0], alone, atol=1e-9) or not np.array_equal(alone, cell(states[0], inputs[0])):
        raise ValueError(f"{what}: a step gives different states from the same state and input; it must be a function")
    if cell.has_affine_readout and not np.allclose(jacobians[0], jacobians[1], atol=1e-9):
        raise ValueError(f"{what}: the readout is not linear in the state (plus a constant)")
    for given in (jnp.zeros(n_inputs), inputs[0]):
        _check_box(what, cell, given, random)


def _check_trained(what: str, cell: Cell, n_inputs: int) -> None:
    """Check that the fixed leaves exist, and that every other leaf has a gradient: only a penalty would move it."""
    names = [leaf_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(cell)[0]]
    for fixed in cell.fixed_leaves:
        if not any(name == fixed or name.startswith(f"{fixed}.") for name in names):
            raise ValueError(f"{what}: fixed_leaves names {fixed!r}; expected some of {', '.join(names)}")
    random = np.random.default_rng(2)
    inputs = jnp.asarray(random.normal(size=(BATCH, STEPS_TRIED, n_inputs)), jnp.float32)
    states = jnp.asarray(random.normal(size=(SAMPLES, len(cell.initial_state))), jnp.float32)

    @jax.jit
    @jax.grad
    def gradient(cell: Cell) -> jax.Array:
        given = jnp.resize(inputs, (SAMPLES, n_inputs))
        following = jax.vmap(cell)(states, given)
        return jnp.sum(jnp.sin(jax.vmap(cell.readout)(following))) + jnp.sum(jnp.sin(following))

    leaves = zip(names, jax.tree.leaves(gradient(cell)), strict=True)
    moved = [name for name, leaf in leaves if not leaf.size or np.asarray(leaf).any()]
    still = [name for name in names if name not in {*moved, "initial_state"} and not is_fixed(cell, name)]
    if still:
        raise ValueError(
            f"{what}: no gradient for {', '.join(map(repr, still))}: only the L2 penalty would move what has none. Fix "
            f"what is not to be trained: fixed_leaves = {(*cell.fixed_leaves, *still)!r}"
        )


def _check_box(what: str, cell: Cell, inputs: jax.Array, random: np.random.Generator) -> None:
    """Check a box on samples, which cannot prove that it is invariant but detect most boxes that are not."""
    try:
        box = cell.box(inputs)
    except Exception as error:
        raise ValueError(f"{what}: box() fails: {type(error).__name__}: {first_line(error)}") from None
    if box is None:
        return
    try:
        low, high = (np.asarray(end, np.float64) for end in box)
    except (TypeError, ValueError):
        raise ValueError(f"{what}: box() gives {box!r}; expected (low, high), or None") from None
    if not low.shape == high.shape == cell.initial_state.shape:
        raise ValueError(
            f"{what}: box() has ends of the shapes {low.shape} and {high.shape}; expected a lower and an upper one of "
            f"{cell.initial_state.shape} each"
        )
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(f"{what}: box() has ends that are not finite; return None if no finite box is known")
    if not (low < high).all():
        place = int(np.argmin(low < high))
        raise ValueError(
            f"{what}: box() has low {low[place]:g} and high {high[place]:g} for number {place} of the state; expected "
            "low < high"
        )
    within = low + (high - low) * random.uniform(size=(SAMPLES, len(low)))
    corners = np.where(random.uniform(size=(SAMPLES, len(low))) < 0.5, low, high)
    after = np.asarray(jax.vmap(cell, (0, None))(jnp.asarray(np.concatenate([within, corners])), inputs))
    slack = 1e-9 * (high - low)
    if not ((after >= low - slack) & (after <= high + slack)).all():
        raise ValueError(
            f"{what}: box() is not mapped into itself: a step from within it leads out. Certificates would be wrong; "
            "return None if no such box is known"
        )


def _check_derivative(what: str, cell: Cell, n_inputs: int) -> None:
    """Compare the gradient by the registered derivative with that by automatic differentiation."""
    cell = jax.tree.map(lambda leaf: leaf + 0.05, cell)  # biases and initial state away from 0
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(BATCH, STEPS_TRIED, n_inputs)), jnp.float32)

    def by_differentiation(cell: Cell) -> jax.Array:
        return jnp.sum(jnp.sin(jax.vmap(map_fixed(jax.lax.stop_gradient, cell).respond)(inputs)[1]))

    def as_registered(cell: Cell) -> jax.Array:
        cell = map_fixed(jax.lax.stop_gradient, cell)
        return jnp.sum(jnp.sin(batch_outputs(cell, inputs)))

    expected, seen = (jax.tree.leaves(jax.grad(loss)(cell)) for loss in (by_differentiation, as_registered))
    scale = max(float(jnp.abs(leaf).max()) for leaf in expected)
    worst = max(float(jnp.abs(one - two).max()) for one, two in zip(expected, seen, strict=True)) / scale
    if not worst <= TOLERANCE:
        raise ValueError(
            f"{what}: its registered derivative is off the one by automatic differentiation by {worst:.2g} of the "
            f"gradient's largest entry; expected at most {TOLERANCE:g}"
        )
