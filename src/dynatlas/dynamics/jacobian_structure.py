"""Sparsity of a step's Jacobian, and damped least squares that eliminates its structurally orthogonal columns.

The memory of an LSTM unit affects only the next state of the same unit: of the 2N columns of J − I, N have two entries
each, in rows where none of the other N has an entry. One tangent computes all of these *separate* columns together.
They are orthogonal, so one Householder reflection each removes them from a least-squares problem, and only the other,
*coupled*, columns remain to be factorised. The step is the same except for rounding, at less than half the cost.

The structure follows from the operations of the step function, not from its weights. Of an operation that is not known
here, every result is assumed to depend on every operand.

Sources: Curtis, Powell & Reid 1974 for columns that share a tangent; Golub & Pereyra 1973 for the elimination.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, Literal, Var
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.intervals.arithmetic import NESTED_CALLS
from dynatlas.dynamics.step import Step

# With a smaller share of separate columns the elimination saves too little.
MIN_SHARE = 0.25


class Structure(NamedTuple):
    """The coupled and the separate columns of J − I.

    Attributes:
        coupled: indices of the coupled columns [d].
        separate: indices of the separate columns [k].
        separate_rows: rows in which each separate column has its entries [w, k], padded with n.
        other_rows: rows in which no separate column has an entry [u].
    """

    coupled: NDArray[np.int64]
    separate: NDArray[np.int64]
    separate_rows: NDArray[np.int64]
    other_rows: NDArray[np.int64]


def column_structure(step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None) -> Structure:
    """Return the structure of J − I at all states of this shape, choosing the sparsest columns first.

    Example:
        The second unit integrates the first: its own column has one entry.

        >>> step = lambda h, x: jnp.stack([jnp.tanh(h[0]), h[1] + h[0]])
        >>> structure = column_structure(step, jnp.zeros(2), None)
        >>> structure.coupled.tolist(), structure.separate.tolist()
        ([0], [1])
    """
    n = state.shape[0]
    pattern = sparsity_pattern(step, state, inputs) | np.eye(n, dtype=bool)
    taken = np.zeros(n, bool)
    separate = []
    # At least one column remains to be factorised.
    for column in np.argsort(pattern.sum(axis=0), kind="stable")[: n - 1]:
        if not (pattern[:, column] & taken).any():
            taken |= pattern[:, column]
            separate.append(column)
    if len(separate) < MIN_SHARE * n:
        return Structure(np.arange(n), np.zeros(0, int), np.zeros((0, 0), int), np.arange(n))
    columns = np.sort(separate)
    separate_rows = np.full((pattern[:, columns].sum(axis=0).max(), len(columns)), n)
    for place, column in enumerate(columns):
        rows = np.flatnonzero(pattern[:, column])
        separate_rows[: len(rows), place] = rows
    return Structure(np.setdiff1d(np.arange(n), columns), columns, separate_rows, np.flatnonzero(~taken))


class Jacobian(NamedTuple):
    """J − I in compressed form.

    Attributes:
        coupled: the coupled columns [n, d].
        separate: the sum of the separate columns [n].
        structure: which columns these are.
    """

    coupled: Float[Array, "n d"]
    separate: Float[Array, " n"]
    structure: Structure

    def row_lengths(self) -> Float[Array, " n"]:
        """Return the Euclidean length of each row."""
        return jnp.sqrt((self.coupled**2).sum(axis=1) + self.separate**2)

    def scale_rows(self, scale: Float[Array, " n"]) -> "Jacobian":
        """Multiply each row by its scale."""
        return self._replace(coupled=self.coupled * scale[:, None], separate=self.separate * scale)

    def gradient(self, residual: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return (J − I)ᵀ r."""
        of_separate = _in_separate_rows(self.separate * residual, self.structure).sum(axis=0)
        return _joined(self.coupled.T @ residual, of_separate, self.structure)

    def damped_inverse(self, damping: Float[Array, ""]) -> Callable[[Float[Array, " n"]], Float[Array, " n"]]:
        """Return the map g ↦ ((J − I)ᵀ(J − I) + μI)⁻¹ g for the damping μ.

        A reflection maps a separate column v, extended by √μ, to one new row with the single entry ρ = √(v·v + μ). Of
        the coupled columns A, that row receives A·v/ρ, and v (A·v)/(ρ(ρ + √μ)) is subtracted from the rows of v.
        """
        coupled, separate, structure = self
        if not len(structure.separate):
            return _solver(coupled, damping)
        entries, of_coupled = _in_separate_rows(separate, structure), _in_separate_rows(coupled, structure)
        products = (entries[..., None] * of_coupled).sum(axis=0)  # v·A [k, d]
        squares = (entries**2).sum(axis=0) + damping
        lengths = jnp.sqrt(squares)
        taken = products / (lengths * (lengths + jnp.sqrt(damping)))[:, None]
        left = (of_coupled - entries[..., None] * taken).reshape(-1, coupled.shape[1])
        solve = _solver(jnp.concatenate([left, coupled[structure.other_rows]]), damping)

        def inverse(gradient: Float[Array, " n"]) -> Float[Array, " n"]:
            for_separate = gradient[structure.separate] / squares
            for_coupled = solve(gradient[structure.coupled] - for_separate @ products)
            return _joined(for_coupled, for_separate - products @ for_coupled / squares, structure)

        return inverse


def residual_and_columns(
    step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None, structure: Structure
) -> tuple[Float[Array, " n"], Jacobian]:
    """Return the residual r = F(h, x) − h and J − I in compressed form."""
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
    """Return the map g ↦ (AᵀA + μI)⁻¹ g for the damping μ."""
    identity = jnp.eye(matrix.shape[1], dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(matrix.T @ matrix + damping * identity)
    return lambda gradient: jax.scipy.linalg.cho_solve(factor, gradient)


def _in_separate_rows(values: Float[Array, " n *columns"], structure: Structure) -> Float[Array, "w k *columns"]:
    """Gather the rows of each separate column, padded with zeros."""
    rows, n = structure.separate_rows, len(values)
    if np.array_equal(rows.ravel(), np.arange(n)):  # a gather would take as long as the product that follows
        return values.reshape(*rows.shape, *values.shape[1:])
    return jnp.concatenate([values, jnp.zeros_like(values[:1])])[rows]


def _joined(
    of_coupled: Float[Array, " d"], of_separate: Float[Array, " k"], structure: Structure
) -> Float[Array, " n"]:
    """Concatenate one number per column in the order of the state."""
    order = np.argsort(np.concatenate([structure.coupled, structure.separate]))
    return jnp.concatenate([of_coupled, of_separate])[order]


# [n, *shape]: whether each element of a value may depend on each of the n coordinates of the state.
Dependence = NDArray[np.bool_]
Parameters = dict[str, Any]  # of a primitive; their types differ between primitives
Rule = Callable[[list[Dependence], Parameters, list[tuple[int, ...]]], list[Dependence]]


def sparsity_pattern(step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None) -> NDArray[np.bool_]:
    """Return whether each result of ``step(state, inputs)`` may depend on each coordinate of the state [n, n].

    Example:
        >>> sparsity_pattern(lambda h, x: jax.nn.relu(h[::-1]), jax.numpy.zeros(2), None).tolist()
        [[False, True], [True, False]]
    """
    n = len(state)
    traced = jax.make_jaxpr(lambda h: step(h, inputs))(np.zeros(n, state.dtype))
    (result,) = _propagate(traced.jaxpr, [np.eye(n, dtype=bool)], n)
    return np.zeros((n, n), bool) if result is None else result.T


def _propagate(jaxpr: Jaxpr, arguments: Sequence[Dependence | None], n: int) -> list[Dependence | None]:
    """Propagate dependence on n coordinates through a jaxpr; None stands for a value without any."""
    values: dict[Var, Dependence | None] = dict(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Var | Literal) -> Dependence | None:
        return None if isinstance(variable, Literal) else values.get(variable)

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        shapes = [_shape(variable) for variable in equation.outvars]
        name, parameters = equation.primitive.name, equation.params
        results: Sequence[Dependence | None]
        if all(operand is None for operand in operands):
            continue
        if name in NESTED_CALLS:
            inner = parameters.get("jaxpr") or parameters["call_jaxpr"]
            results = _propagate(inner.jaxpr, operands, n)
        else:
            filled = [
                np.zeros((n, *_shape(variable)), bool) if operand is None else operand
                for variable, operand in zip(equation.invars, operands, strict=True)
            ]
            if name in RULES:
                results = RULES[name](filled, parameters, shapes)
            elif name in ELEMENTWISE:
                # Scalars are broadcast to the shape of the result.
                aligned = [each.reshape(n, *each.shape[1:] or [1] * len(shapes[0])) for each in filled]
                results = [functools.reduce(np.logical_or, aligned)]
            else:  # an unknown primitive: every result may depend on every operand
                anywhere = np.any([operand.reshape(n, -1).any(axis=1) for operand in filled], axis=0)
                results = [np.broadcast_to(anywhere.reshape(n, *[1] * len(shape)), (n, *shape)) for shape in shapes]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _shape(variable: Var | Literal) -> tuple[int, ...]:
    array: Any = variable.aval  # typed as AbstractValue, which has no shape
    return tuple(array.shape)


def _broadcast(operands: list[Dependence], parameters: Parameters, shapes: list[tuple[int, ...]]) -> list[Dependence]:
    (operand,), (shape,) = operands[:1], shapes
    kept = np.ones(len(shape), int)
    kept[list(parameters["broadcast_dimensions"])] = operand.shape[1:]
    return [np.broadcast_to(operand.reshape(len(operand), *kept), (len(operand), *shape))]


def _dot(operands: list[Dependence], parameters: Parameters, shapes: list[tuple[int, ...]]) -> list[Dependence]:
    """A product depends on every element of its row and of its column."""
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


# Primitives that do not act elementwise.
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

# Primitives whose results depend, at each element, only on the same element of their operands.
ELEMENTWISE = frozenset(
    [
        *("add", "add_any", "sub", "mul", "div", "rem", "max", "min", "pow", "integer_pow", "square", "neg", "abs"),
        *("sign", "floor", "ceil", "round", "is_finite", "clamp", "select_n", "stop_gradient", "copy", "copy_p"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not", "nextafter", "atan2", "convert_element_type"),
        *("exp", "exp2", "expm1", "log", "log1p", "sqrt", "rsqrt", "cbrt", "logistic", "erf", "erfc", "erf_inv"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    ]
)
