"""Which numbers of a state each result of a step may depend on, read off its operations.

The step is traced once, and each operation of its jaxpr says from which places of its operands a number gets to which
places of its results. Weights are not looked at, so that the answer holds for all of the same shapes; an operation that
is not known here is taken to let every number get everywhere.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Jaxpr, Literal
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.enclosures import CALLS

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
