"""Which columns of a step's Jacobian share no row, and damped least squares that eliminates them first.

The memory of an LSTM reaches the next state of its own unit alone: of the 2N columns of J − I, N have two entries each,
in rows where no other of the N has one. Such *separate* columns are computed by one tangent, all together; and being
orthogonal they leave a least-squares problem by one reflection each, so that no more than the *coupled* columns are
left to factorise. The step is the same but for rounding, at less than half of the cost.

Which columns are separate is read off the operations of the step function, not off their numbers: it holds whatever the
weights are.

Sources: Curtis, Powell & Reid 1974 for columns that share a tangent; Golub & Pereyra 1973 for the elimination.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, Literal
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.intervals import CALLS

Step = Callable[[Any, Any], Any]


# Fewer separate columns than this share of all save too little.
LEAST_SHARE = 0.25


class Structure(NamedTuple):
    """Which columns of J − I are separate, and the rows they have.

    Attributes:
        coupled: the columns that are not [d].
        separate: those that are [k].
        slots: the rows of each separate column [w, k], filled up with n, which stands for no row.
        others: the rows of none of them [u].
    """

    coupled: NDArray[np.int64]
    separate: NDArray[np.int64]
    slots: NDArray[np.int64]
    others: NDArray[np.int64]


def column_structure(step: Step, state: Float[Array, " n"], inputs: Any) -> Structure:
    """The structure of J − I at any state of this shape, taking the columns with the fewest entries first.

    Example:
        A unit that integrates another: its own column has one entry.

        >>> step = lambda h, x: jnp.stack([jnp.tanh(h[0]), h[1] + h[0]])
        >>> structure = column_structure(step, jnp.zeros(2), None)
        >>> structure.coupled.tolist(), structure.separate.tolist()
        ([0], [1])
    """
    n = state.shape[0]
    uses = reach(step, state, inputs) | np.eye(n, dtype=bool)
    taken = np.zeros(n, bool)
    separate = []
    # One column at least is left to factorise.
    for column in np.argsort(uses.sum(axis=0), kind="stable")[: n - 1]:
        if not (uses[:, column] & taken).any():
            taken |= uses[:, column]
            separate.append(column)
    if len(separate) < LEAST_SHARE * n:
        return Structure(np.arange(n), np.zeros(0, int), np.zeros((0, 0), int), np.arange(n))
    columns = np.sort(separate)
    slots = np.full((uses[:, columns].sum(axis=0).max(), len(columns)), n)
    for place, column in enumerate(columns):
        rows = np.flatnonzero(uses[:, column])
        slots[: len(rows), place] = rows
    return Structure(np.setdiff1d(np.arange(n), columns), columns, slots, np.flatnonzero(~taken))


class Jacobian(NamedTuple):
    """J − I without its zeros, and what is computed with it."""

    coupled: Float[Array, "n d"]
    separate: Float[Array, " n"]  # the sum of the separate ones
    structure: Structure

    def row_lengths(self) -> Float[Array, " n"]:
        """The Euclidean length of each row."""
        return jnp.sqrt((self.coupled**2).sum(axis=1) + self.separate**2)

    def scale_rows(self, scale: Float[Array, " n"]) -> "Jacobian":
        """Each row times its number."""
        return self._replace(coupled=self.coupled * scale[:, None], separate=self.separate * scale)

    def gradient(self, residual: Float[Array, " n"]) -> Float[Array, " n"]:
        """(J − I)ᵀ r."""
        of_separate = _in_slots(self.separate * residual, self.structure).sum(axis=0)
        return _joined(self.coupled.T @ residual, of_separate, self.structure)

    def damped_inverse(self, damping: Float[Array, ""]) -> Callable[[Float[Array, " n"]], Float[Array, " n"]]:
        """The map g ↦ ((J − I)ᵀ(J − I) + μI)⁻¹ g.

        A separate column v, with √μ below it, is reflected into a row of its own, where ρ = √(v·v + μ) is all that it
        has. That puts A·v/ρ of the coupled columns A into the row, and takes v (A·v)/(ρ(ρ + √μ)) from the others.
        """
        coupled, separate, structure = self
        if not len(structure.separate):
            return _solver(coupled, damping)
        entries, of_coupled = _in_slots(separate, structure), _in_slots(coupled, structure)
        products = (entries[..., None] * of_coupled).sum(axis=0)  # v·A [k, d]
        squares = (entries**2).sum(axis=0) + damping
        lengths = jnp.sqrt(squares)
        taken = products / (lengths * (lengths + jnp.sqrt(damping)))[:, None]
        left = (of_coupled - entries[..., None] * taken).reshape(-1, coupled.shape[1])
        solve = _solver(jnp.concatenate([left, coupled[structure.others]]), damping)

        def inverse(gradient: Float[Array, " n"]) -> Float[Array, " n"]:
            for_separate = gradient[structure.separate] / squares
            for_coupled = solve(gradient[structure.coupled] - for_separate @ products)
            return _joined(for_coupled, for_separate - products @ for_coupled / squares, structure)

        return inverse


def residual_and_columns(
    step: Step, state: Float[Array, " n"], inputs: Any, structure: Structure
) -> tuple[Float[Array, " n"], Jacobian]:
    """Residual r = F(h, x) − h, and the columns of J − I."""
    following, tangent = jax.linearize(lambda h: step(h, inputs), state)
    identity = np.eye(len(state))
    directions = identity[structure.coupled]
    if len(structure.separate):
        directions = np.concatenate([directions, identity[structure.separate].sum(axis=0, keepdims=True)])
    columns = jax.vmap(tangent, out_axes=1)(jnp.asarray(directions, state.dtype)) - directions.T
    n_coupled = len(structure.coupled)
    separate = columns[:, n_coupled] if len(structure.separate) else jnp.zeros_like(state)
    return following - state, Jacobian(columns[:, :n_coupled], separate, structure)


def _solver(matrix: Float[Array, "rows d"], damping: Float[Array, ""]) -> Callable[[Array], Array]:
    """The map g ↦ (AᵀA + μI)⁻¹ g."""
    identity = jnp.eye(matrix.shape[1], dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(matrix.T @ matrix + damping * identity)
    return lambda gradient: jax.scipy.linalg.cho_solve(factor, gradient)


def _in_slots(values: Float[Array, " n *columns"], structure: Structure) -> Float[Array, "w k *columns"]:
    """The rows of each separate column; zeros where it has fewer than others."""
    slots, n = structure.slots, len(values)
    if np.array_equal(slots.ravel(), np.arange(n)):  # a gather would take as long as the product that follows
        return values.reshape(*slots.shape, *values.shape[1:])
    return jnp.concatenate([values, jnp.zeros_like(values[:1])])[slots]


def _joined(
    of_coupled: Float[Array, " d"], of_separate: Float[Array, " k"], structure: Structure
) -> Float[Array, " n"]:
    """One number per column, in the order of the state."""
    order = np.argsort(np.concatenate([structure.coupled, structure.separate]))
    return jnp.concatenate([of_coupled, of_separate])[order]


Reached = NDArray[np.bool_]  # [n, *shape]: whether each of the n numbers may have got to each place of a value


Rule = Callable[[list[Reached], dict[str, Any], list[tuple[int, ...]]], list[Reached]]


def reach(step: Callable[[Any, Any], Any], state: Float[Array, " n"], inputs: Any) -> NDArray[np.bool_]:
    """Whether each result of ``step(state, inputs)`` may depend on each number of the state [n, n].

    Example:
        >>> reach(lambda h, x: jax.nn.relu(h[::-1]), jax.numpy.zeros(2), None).tolist()
        [[False, True], [True, False]]
    """
    n = len(state)
    traced = jax.make_jaxpr(lambda h: step(h, inputs))(jax.ShapeDtypeStruct(state.shape, state.dtype))
    (result,) = _reached(traced.jaxpr, [np.eye(n, dtype=bool)], n)
    return np.zeros((n, n), bool) if result is None else result.T


def _reached(jaxpr: Jaxpr, arguments: Sequence[Reached | None], n: int) -> list[Reached | None]:
    """What each of the n numbers may have reached: each place of each result [n, *shape]; None for nowhere."""
    values: dict[Any, Reached | None] = dict(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Reached | None:
        return None if isinstance(variable, Literal) else values.get(variable)

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        shapes = [_shape(variable) for variable in equation.outvars]
        name, parameters = equation.primitive.name, equation.params
        results: Sequence[Reached | None]
        if all(operand is None for operand in operands):
            continue
        if name in CALLS:
            inner = parameters.get("jaxpr") or parameters["call_jaxpr"]
            results = _reached(inner.jaxpr, operands, n)
        else:
            filled = [
                np.zeros((n, *_shape(variable)), bool) if operand is None else operand
                for variable, operand in zip(equation.invars, operands, strict=True)
            ]
            if name in RULES:
                results = RULES[name](filled, parameters, shapes)
            elif name in ELEMENTWISE:
                aligned = [
                    each.reshape(n, *each.shape[1:] or [1] * len(shapes[0])) for each in filled
                ]  # some are scalars
                results = [functools.reduce(np.logical_or, aligned)]
            else:  # nothing is known of it: what reaches any of its operands reaches all of its results
                anywhere = np.any([operand.reshape(n, -1).any(axis=1) for operand in filled], axis=0)
                results = [np.broadcast_to(anywhere.reshape(n, *[1] * len(shape)), (n, *shape)) for shape in shapes]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _broadcast(operands: list[Reached], parameters: dict[str, Any], shapes: list[tuple[int, ...]]) -> list[Reached]:
    (operand,), (shape,) = operands[:1], shapes
    kept = np.ones(len(shape), int)
    kept[list(parameters["broadcast_dimensions"])] = operand.shape[1:]
    return [np.broadcast_to(operand.reshape(len(operand), *kept), (len(operand), *shape))]


def _dot(operands: list[Reached], parameters: dict[str, Any], shapes: list[tuple[int, ...]]) -> list[Reached]:
    """Every number of a row and of a column reaches their product."""
    contracted, batch = parameters["dimension_numbers"]
    sides, free = [], []
    for operand, summed, mapped in zip(operands, contracted, batch, strict=True):
        own = [axis for axis in range(operand.ndim - 1) if axis not in (*summed, *mapped)]
        moved = operand.any(axis=tuple(axis + 1 for axis in summed), keepdims=True)
        sides.append(np.transpose(moved, [0, *(axis + 1 for axis in (*mapped, *own, *summed))]))
        free.append([operand.shape[axis + 1] for axis in own])
    n, mapped_shape = len(operands[0]), shapes[0][: len(batch[0])]
    left = sides[0].reshape(n, *mapped_shape, *free[0], *[1] * len(free[1]))
    right = sides[1].reshape(n, *mapped_shape, *[1] * len(free[0]), *free[1])
    return [left | right]


# How operations that do not act on each place by itself carry numbers from their operands' places to their results'.
RULES: dict[str, Rule] = {
    "dot_general": _dot,
    "broadcast_in_dim": _broadcast,
    **dict.fromkeys(
        ("reshape", "squeeze", "expand_dims"),
        lambda operands, _, shapes: [operands[0].reshape(len(operands[0]), *shapes[0])],
    ),
    "transpose": lambda operands, parameters, _: [
        operands[0].transpose([0, *(axis + 1 for axis in parameters["permutation"])])
    ],
    "rev": lambda operands, parameters, _: [np.flip(operands[0], tuple(axis + 1 for axis in parameters["dimensions"]))],
    "slice": lambda operands, parameters, shapes: [
        operands[0][
            :,
            *map(
                slice,
                parameters["start_indices"],
                parameters["limit_indices"],
                parameters["strides"] or [1] * len(shapes[0]),
            ),
        ]
    ],
    "split": lambda operands, parameters, _: np.split(
        operands[0], np.cumsum(parameters["sizes"])[:-1], axis=parameters["axis"] + 1
    ),
    "concatenate": lambda operands, parameters, _: [np.concatenate(operands, axis=parameters["dimension"] + 1)],
    "stack": lambda operands, parameters, _: [np.stack(operands, axis=parameters["axis"] + 1)],
}


# Operations whose result at each place uses their operands at this place alone.
ELEMENTWISE = frozenset(
    [
        *("add", "add_any", "sub", "mul", "div", "rem", "max", "min", "pow", "integer_pow", "square", "neg", "abs"),
        *("sign", "floor", "ceil", "round", "is_finite", "clamp", "select_n", "stop_gradient", "copy", "copy_p"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not", "nextafter", "atan2", "convert_element_type"),
        *("exp", "exp2", "expm1", "log", "log1p", "sqrt", "rsqrt", "cbrt", "logistic", "erf", "erfc", "erf_inv"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    ]
)
