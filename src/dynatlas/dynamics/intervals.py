"""Bounds on everything that a JAX function can return over a box of arguments, by interval arithmetic.

The function is traced once, and each operation of its jaxpr is replaced by its interval counterpart: a monotone
function maps both ends, a product of intervals is bounded by its four corner products, a choice that the box leaves
open gives the hull of its branches. What does not depend on the box is computed as it stands. The bounds hold in exact
arithmetic; rounding is not controlled, so that they are numerical, not rigorous.

Source: Moore 1966; products of matrices by midpoint and radius after Rump 1999.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array, Float


class Interval(NamedTuple):
    """All arrays between two, elementwise; of truth values: (surely, possibly)."""

    low: Array
    high: Array


Value = Array | Interval


Rule = Callable[..., Any]


class NotEnclosableError(Exception):
    """The function uses an operation without an interval counterpart here."""


def enclose(
    function: Callable[[Float[Array, " n"]], Float[Array, "..."]], low: Float[Array, " n"], high: Float[Array, " n"]
) -> Interval:
    """Bounds on ``function`` over the box between ``low`` and ``high``.

    Raises:
        NotEnclosableError: the function uses an operation that is not known here, such as a loop.

    Example:
        >>> bounds = enclose(lambda h: jnp.tanh(h) * 2, jnp.array([0.0]), jnp.array([jnp.inf]))
        >>> bounds.low.tolist(), bounds.high.tolist()
        ([0.0], [2.0])
    """
    traced = jax.make_jaxpr(function)(low)
    (result,) = _evaluate(traced.jaxpr, [jnp.asarray(value) for value in traced.consts], [Interval(low, high)])
    return _interval(result)


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
    """Every equation of a jaxpr in turn."""
    values: dict[Any, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Value:
        return jnp.asarray(variable.val) if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        name = equation.primitive.name
        results: Sequence[Value]
        if name in CALLS and equation.params.get("name") in SLOPES:
            results = [_even(SLOPES[equation.params["name"]], *operands)]
        elif name in CALLS:
            inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            results = _evaluate(inner.jaxpr, [jnp.asarray(value) for value in inner.consts], operands)
        elif not any(isinstance(operand, Interval) for operand in operands):
            results = _bind(equation, operands)
        elif name in RULES:
            results = [RULES[name](*operands, **equation.params)]
        elif name in BOTH_ENDS:
            ends = (
                _bind(equation, [operand[end] if isinstance(operand, Interval) else operand for operand in operands])
                for end in (0, 1)
            )
            results = [Interval(low, high) for low, high in zip(*ends, strict=True)]
        else:
            raise NotEnclosableError(f"no interval counterpart of {name!r}")
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _bind(equation: Any, operands: Sequence[Any]) -> list[Array]:
    """The results of an operation on plain arrays."""
    results = equation.primitive.bind(*operands, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def _interval(value: Value) -> Interval:
    return value if isinstance(value, Interval) else Interval(value, value)


def _subtract(first: Value, second: Value, **_: Any) -> Interval:
    (low, high), (least, most) = _interval(first), _interval(second)
    return Interval(low - most, high - least)


def _negate(operand: Interval, **_: Any) -> Interval:
    return Interval(-operand.high, -operand.low)


def _multiply(first: Value, second: Value, **_: Any) -> Interval:
    if first is second:
        return _power(first, 2)
    corners = [a * b for a in _ends(first) for b in _ends(second)]
    return _hull(*corners)


def _divide(first: Value, second: Value, **_: Any) -> Interval:
    corners = [a / b for a in _ends(first) for b in _ends(second)]
    low, high = _hull(*corners)
    least, most = _interval(second)
    across = (least <= 0) & (most >= 0)
    return Interval(jnp.where(across, -jnp.inf, low), jnp.where(across, jnp.inf, high))


def _power(operand: Value, y: int, **_: Any) -> Interval:
    low, high = _interval(operand)
    if y < 0:
        return _divide(jnp.ones_like(low), _power(operand, -y))
    ends = _hull(low**y, high**y)
    if y % 2:
        return ends
    return Interval(jnp.where((low <= 0) & (high >= 0), 0, ends.low), ends.high)


def _absolute(operand: Interval, **_: Any) -> Interval:
    low, high = operand
    across = (low <= 0) & (high >= 0)
    ends = _hull(jnp.abs(low), jnp.abs(high))
    return Interval(jnp.where(across, 0, ends.low), ends.high)


def _wave(function: Callable[[Array], Array]) -> Rule:
    """Sine or cosine: neither changes by more than its argument."""

    def rule(operand: Interval, **_: Any) -> Interval:
        middle, radius = _middle(operand)
        return Interval(jnp.maximum(function(middle) - radius, -1), jnp.minimum(function(middle) + radius, 1))

    return rule


def _even(function: Callable[[Array], Array], operand: Value) -> Value:
    """An even function that falls away from 0."""
    if not isinstance(operand, Interval):
        return function(operand)
    low, high = operand
    return Interval(function(jnp.maximum(jnp.abs(low), jnp.abs(high))), function(jnp.clip(0, low, high)))


def _dot(first: Value, second: Value, **parameters: Any) -> Interval:
    """|a b − a₀ b₀| ≤ |a₀| Δb + Δa (|b₀| + Δb) for midpoints a₀, b₀ and radii Δa, Δb."""

    def product(left: Array, right: Array) -> Array:
        return jnp.asarray(jax.lax.dot_general_p.bind(left, right, **parameters))

    (middle, radius), (other_middle, other_radius) = _middle(first), _middle(second)
    middles = product(middle, other_middle)
    if not isinstance(first, Interval):
        radii = product(jnp.abs(middle), other_radius)
    elif not isinstance(second, Interval):
        radii = product(radius, jnp.abs(other_middle))
    else:
        radii = product(jnp.abs(middle), other_radius) + product(radius, jnp.abs(other_middle) + other_radius)
    return Interval(middles - radii, middles + radii)


def _compare(surely: Callable[[Interval, Interval], Array], possibly: Callable[[Interval, Interval], Array]) -> Rule:
    def rule(first: Value, second: Value, **_: Any) -> Interval:
        return Interval(surely(_interval(first), _interval(second)), possibly(_interval(first), _interval(second)))

    return rule


def _select(which: Value, *cases: Value, **_: Any) -> Interval:
    """The case that is chosen, or the hull of those that may be."""
    if not isinstance(which, Interval):
        low, high = (jax.lax.select_n(which, *(_interval(case)[end] for case in cases)) for end in (0, 1))
        return Interval(low, high)
    (low_if_not, high_if_not), (low_if, high_if) = map(_interval, cases)
    surely, possibly = which
    return Interval(
        jnp.where(surely, low_if, jnp.where(possibly, jnp.minimum(low_if, low_if_not), low_if_not)),
        jnp.where(surely, high_if, jnp.where(possibly, jnp.maximum(high_if, high_if_not), high_if_not)),
    )


def _ends(value: Value) -> tuple[Array, ...]:
    return tuple(value) if isinstance(value, Interval) else (value,)


def _hull(*corners: Array) -> Interval:
    # 0 · ∞ is 0 here: an unbounded factor of nothing.
    numbers = [jnp.where(jnp.isnan(corner), 0, corner) for corner in corners]
    low = high = numbers[0]
    for number in numbers[1:]:
        low, high = jnp.minimum(low, number), jnp.maximum(high, number)
    return Interval(low, high)


def _middle(value: Value) -> tuple[Array, Array]:
    """Midpoint and radius."""
    if not isinstance(value, Interval):
        return value, jnp.zeros_like(value)
    return (value.low + value.high) / 2, (value.high - value.low) / 2


# Operations that wrap a jaxpr of their own.
CALLS = frozenset(
    ["jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"]
)


# Operations that only move numbers about, or that increase in every operand.
BOTH_ENDS = frozenset(
    [
        *("add", "add_any", "max", "min", "reduce_sum", "reduce_max", "reduce_min", "cumsum"),
        *("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "sqrt", "cbrt", "erf", "atan", "asinh", "sinh"),
        *("floor", "ceil", "round", "sign", "and", "or", "stop_gradient", "copy", "copy_p", "convert_element_type"),
        *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "concatenate", "stack", "split", "pad"),
        *("rev", "slice", "dynamic_slice", "gather"),
    ]
)


RULES: dict[str, Rule] = {
    "sub": _subtract,
    "neg": _negate,
    "mul": _multiply,
    "div": _divide,
    "integer_pow": _power,
    "square": lambda operand, **_: _power(operand, 2),
    "abs": _absolute,
    "sin": _wave(jnp.sin),
    "cos": _wave(jnp.cos),
    "dot_general": _dot,
    "select_n": _select,
    "gt": _compare(lambda a, b: a.low > b.high, lambda a, b: a.high > b.low),
    "ge": _compare(lambda a, b: a.low >= b.high, lambda a, b: a.high >= b.low),
    "lt": _compare(lambda a, b: a.high < b.low, lambda a, b: a.low < b.high),
    "le": _compare(lambda a, b: a.high <= b.low, lambda a, b: a.low <= b.high),
    "eq": _compare(
        lambda a, b: (a.low == b.high) & (a.high == b.low), lambda a, b: (a.low <= b.high) & (a.high >= b.low)
    ),
    "not": lambda operand, **_: Interval(~operand.high, ~operand.low),
}


Smooth = Callable[[Array], Array]


@jax.jit
def slope_of_tanh(argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 − tanh² = 1/cosh²."""
    return 1 / jnp.cosh(argument) ** 2


@jax.jit
def slope_of_logistic(argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """σ(a) (1 − σ(a)) = σ(a) σ(−a)."""
    return jax.nn.sigmoid(argument) * jax.nn.sigmoid(-argument)


# By the names under which they stand in a jaxpr.
SLOPES: dict[str, Smooth] = {"slope_of_tanh": slope_of_tanh, "slope_of_logistic": slope_of_logistic}


def with_slopes(function: Callable[[Float[Array, " n"]], Array]) -> Callable[[Float[Array, " n"]], Array]:
    """The same function, with derivatives written by ``SLOPES``; inside of loops and custom derivatives as it was.

    Example:
        >>> jacobian = jax.jacfwd(with_slopes(jnp.tanh))
        >>> "slope_of_tanh" in str(jax.make_jaxpr(jacobian)(jnp.zeros(2)))
        True
    """

    def replayed(state: Float[Array, " n"]) -> Array:
        traced = jax.make_jaxpr(function)(state)
        (result,) = _replay(traced.jaxpr, traced.consts, [state])
        return result

    return replayed


def _replay(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Every equation of a jaxpr in turn, with the smooth functions in place of JAX's own."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        name = equation.primitive.name
        if name in SMOOTH:
            results = [SMOOTH[name](*operands)]
        elif name == "jit":
            inner = equation.params["jaxpr"]
            results = _replay(inner.jaxpr, inner.consts, operands)
        else:
            variables = list(dict.fromkeys(each for each in equation.invars if not isinstance(each, Literal)))
            alone = jaxpr.replace(constvars=[], invars=variables, outvars=equation.outvars, eqns=[equation])
            results = jaxpr_as_fun(ClosedJaxpr(alone, []))(*map(read, variables))
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _smooth(function: Smooth, slope: Smooth) -> Smooth:
    smooth = jax.custom_jvp(function)
    smooth.defjvps(lambda tangent, _, argument: tangent * slope(argument))
    return smooth


SMOOTH: dict[str, Smooth] = {
    "tanh": _smooth(jnp.tanh, slope_of_tanh),
    "logistic": _smooth(jax.nn.sigmoid, slope_of_logistic),
}
