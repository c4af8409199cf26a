"""Bounds of a JAX function over a box of arguments, by interval arithmetic.

The function is traced once, and each operation of its jaxpr is replaced by its interval counterpart: a monotone
function maps both ends, a product of intervals is bounded by its four corner products, a selection that the box leaves
undecided returns the hull of its cases. Values that do not depend on the box are computed directly. The bounds hold in
exact arithmetic; rounding is not controlled, so they are numerical, not rigorous.

JAX differentiates tanh(a) = t to (1 + t)(1 − t), and the logistic function σ(a) = s to s (1 − s). Interval arithmetic
treats the two factors as independent: around 0, where the derivative hardly changes, it returns a wide interval. As
functions of a, both derivatives are even and decrease away from 0, so two values bound them exactly.
``with_tight_derivatives`` writes them so, under names that ``enclose`` recognises. The derivative of softplus, written
by JAX as exp(a − log(1 + exp a)), becomes σ(a), which is monotone.

Source: Moore 1966; products of matrices by midpoint and radius after Rump 1999.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array, Float


class Interval(NamedTuple):
    """All arrays between two bounds, elementwise; for truth values: (certainly, possibly)."""

    low: Array
    high: Array


Value = Array | Interval
Elementwise = Callable[[Array], Array]
Rule = Callable[..., Interval]


class NotEnclosableError(Exception):
    """The function uses an operation without an interval counterpart."""


def enclose(
    function: Callable[[Float[Array, " n"]], Float[Array, "..."]], low: Float[Array, " n"], high: Float[Array, " n"]
) -> Interval:
    """Return bounds of ``function`` over the box between ``low`` and ``high``.

    Raises:
        NotEnclosableError: the function uses an operation without an interval counterpart, such as a loop.

    Example:
        >>> bounds = enclose(lambda h: jnp.tanh(h) * 2, jnp.array([0.0]), jnp.array([jnp.inf]))
        >>> bounds.low.tolist(), bounds.high.tolist()
        ([0.0], [2.0])
    """
    traced = jax.make_jaxpr(function)(low)
    (result,) = _evaluate(traced.jaxpr, [jnp.asarray(value) for value in traced.consts], [Interval(low, high)])
    return _interval(result)


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
    """Evaluate the equations of a jaxpr on arrays and intervals."""
    values: dict[Var, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Var | Literal) -> Value:
        return jnp.asarray(variable.val) if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        plain = [operand for operand in operands if not isinstance(operand, Interval)]
        name = equation.primitive.name
        results: Sequence[Value]
        if name in NESTED_CALLS and equation.params.get("name") in DERIVATIVES:
            results = [_even(DERIVATIVES[equation.params["name"]], *operands)]
        elif name in NESTED_CALLS:
            inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            results = _evaluate(inner.jaxpr, [jnp.asarray(value) for value in inner.consts], operands)
        elif len(plain) == len(operands):
            results = _bind(equation, plain)
        elif name in RULES:
            results = [RULES[name](*operands, **equation.params)]
        elif name in MONOTONE or name in DECREASING:
            order = (0, 1) if name in MONOTONE else (1, 0)
            ends = (
                _bind(equation, [operand[end] if isinstance(operand, Interval) else operand for operand in operands])
                for end in order
            )
            results = [Interval(low, high) for low, high in zip(*ends, strict=True)]
        else:
            raise NotEnclosableError(f"no interval counterpart of {name!r}")
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _bind(equation: JaxprEqn, operands: Sequence[Array]) -> list[Array]:
    """Apply an operation to arrays."""
    bind: Callable[..., Any] = equation.primitive.bind
    results = bind(*operands, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def _interval(value: Value) -> Interval:
    return value if isinstance(value, Interval) else Interval(value, value)


def _subtract(first: Value, second: Value, **_: object) -> Interval:
    (low, high), (other_low, other_high) = _interval(first), _interval(second)
    return Interval(low - other_high, high - other_low)


def _negate(operand: Interval, **_: object) -> Interval:
    return Interval(-operand.high, -operand.low)


def _multiply(first: Value, second: Value, **_: object) -> Interval:
    if first is second:
        return _power(first, 2)
    corners = [a * b for a in _bounds(first) for b in _bounds(second)]
    return _hull(*corners)


def _divide(first: Value, second: Value, **_: object) -> Interval:
    corners = [a / b for a in _bounds(first) for b in _bounds(second)]
    low, high = _hull(*corners)
    divisor_low, divisor_high = _interval(second)
    has_zero = (divisor_low <= 0) & (divisor_high >= 0)
    return Interval(jnp.where(has_zero, -jnp.inf, low), jnp.where(has_zero, jnp.inf, high))


def _power(operand: Value, y: int, **_: object) -> Interval:
    low, high = _interval(operand)
    if y < 0:
        return _divide(jnp.ones_like(low), _power(operand, -y))
    ends = _hull(low**y, high**y)
    if y % 2:
        return ends
    return Interval(jnp.where((low <= 0) & (high >= 0), 0, ends.low), ends.high)


def _absolute(operand: Interval, **_: object) -> Interval:
    low, high = operand
    has_zero = (low <= 0) & (high >= 0)
    ends = _hull(jnp.abs(low), jnp.abs(high))
    return Interval(jnp.where(has_zero, 0, ends.low), ends.high)


def _sine_or_cosine(function: Elementwise) -> Rule:
    """Neither changes by more than its argument."""

    def rule(operand: Interval, **_: object) -> Interval:
        middle, radius = _midpoint_and_radius(operand)
        return Interval(jnp.maximum(function(middle) - radius, -1), jnp.minimum(function(middle) + radius, 1))

    return rule


def _even(function: Elementwise, operand: Value) -> Value:
    """Bound an even function that decreases away from 0."""
    if not isinstance(operand, Interval):
        return function(operand)
    low, high = operand
    return Interval(function(jnp.maximum(jnp.abs(low), jnp.abs(high))), function(jnp.clip(0, low, high)))


def _dot(first: Value, second: Value, **parameters: object) -> Interval:
    """|a b − a₀ b₀| ≤ |a₀| Δb + Δa (|b₀| + Δb) for midpoints a₀, b₀ and radii Δa, Δb."""

    def product(left: Array, right: Array) -> Array:
        return jnp.asarray(jax.lax.dot_general_p.bind(left, right, **parameters))

    (middle, radius), (other_middle, other_radius) = _midpoint_and_radius(first), _midpoint_and_radius(second)
    middles = product(middle, other_middle)
    if not isinstance(first, Interval):
        radii = product(jnp.abs(middle), other_radius)
    elif not isinstance(second, Interval):
        radii = product(radius, jnp.abs(other_middle))
    else:
        radii = product(jnp.abs(middle), other_radius) + product(radius, jnp.abs(other_middle) + other_radius)
    return Interval(middles - radii, middles + radii)


def _compare(certainly: Callable[[Interval, Interval], Array], possibly: Callable[[Interval, Interval], Array]) -> Rule:
    def rule(first: Value, second: Value, **_: object) -> Interval:
        intervals = _interval(first), _interval(second)
        return Interval(certainly(*intervals), possibly(*intervals))

    return rule


def _differ(first: Value, second: Value, **_: object) -> Interval:
    """Whether two values differ; a value does not from itself, since there is no NaN in a box."""
    (low, high), (other_low, other_high) = _interval(first), _interval(second)
    if first is second:
        return Interval(jnp.zeros(low.shape, bool), jnp.zeros(low.shape, bool))
    return Interval((high < other_low) | (low > other_high), ~((low == other_high) & (high == other_low)))


def _select(which: Value, *cases: Value, **_: object) -> Interval:
    """Return the selected case, or the hull of the two if the box leaves the selection undecided."""
    if not isinstance(which, Interval):
        low, high = (jax.lax.select_n(which, *(_interval(case)[end] for case in cases)) for end in (0, 1))
        return Interval(low, high)
    (low_if_not, high_if_not), (low_if, high_if) = map(_interval, cases)
    certainly, possibly = which
    return Interval(
        jnp.where(certainly, low_if, jnp.where(possibly, jnp.minimum(low_if, low_if_not), low_if_not)),
        jnp.where(certainly, high_if, jnp.where(possibly, jnp.maximum(high_if, high_if_not), high_if_not)),
    )


def _bounds(value: Value) -> tuple[Array, ...]:
    return tuple(value) if isinstance(value, Interval) else (value,)


def _hull(*corners: Array) -> Interval:
    # NaN stands for 0 · ∞, which is 0 in interval arithmetic.
    numbers = [jnp.where(jnp.isnan(corner), 0, corner) for corner in corners]
    low = high = numbers[0]
    for number in numbers[1:]:
        low, high = jnp.minimum(low, number), jnp.maximum(high, number)
    return Interval(low, high)


def _midpoint_and_radius(value: Value) -> tuple[Array, Array]:
    if not isinstance(value, Interval):
        return value, jnp.zeros_like(value)
    return (value.low + value.high) / 2, (value.high - value.low) / 2


# Operations that call an inner jaxpr.
NESTED_CALLS = frozenset(
    ["jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"]
)

# Operations that increase in every operand, or that only rearrange elements.
MONOTONE = frozenset(
    [
        *("add", "add_any", "max", "min", "reduce_sum", "reduce_max", "reduce_min", "cumsum"),
        *("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "sqrt", "cbrt", "erf", "atan", "asinh", "sinh"),
        *("floor", "ceil", "round", "sign", "and", "or", "stop_gradient", "copy", "copy_p", "convert_element_type"),
        *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "concatenate", "stack", "split", "pad"),
        *("rev", "slice", "dynamic_slice", "gather"),
    ]
)

# Operations of one operand that decrease.
DECREASING = frozenset(["erfc", "rsqrt"])

RULES: dict[str, Rule] = {
    "sub": _subtract,
    "neg": _negate,
    "mul": _multiply,
    "div": _divide,
    "integer_pow": _power,
    "square": lambda operand, **_: _power(operand, 2),
    "abs": _absolute,
    "sin": _sine_or_cosine(jnp.sin),
    "cos": _sine_or_cosine(jnp.cos),
    "dot_general": _dot,
    "select_n": _select,
    "gt": _compare(lambda a, b: a.low > b.high, lambda a, b: a.high > b.low),
    "ge": _compare(lambda a, b: a.low >= b.high, lambda a, b: a.high >= b.low),
    "lt": _compare(lambda a, b: a.high < b.low, lambda a, b: a.low < b.high),
    "le": _compare(lambda a, b: a.high <= b.low, lambda a, b: a.low <= b.high),
    "eq": _compare(
        lambda a, b: (a.low == b.high) & (a.high == b.low), lambda a, b: (a.low <= b.high) & (a.high >= b.low)
    ),
    "ne": _differ,
    "not": lambda operand, **_: Interval(~operand.high, ~operand.low),
}


@jax.jit
def derivative_of_tanh(argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 1 − tanh² = 1/cosh²."""
    return 1 / jnp.cosh(argument) ** 2


@jax.jit
def derivative_of_logistic(argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return σ(a) (1 − σ(a)) = σ(a) σ(−a)."""
    return jax.nn.sigmoid(argument) * jax.nn.sigmoid(-argument)


# By their names in a jaxpr.
DERIVATIVES: dict[str, Elementwise] = {
    "derivative_of_tanh": derivative_of_tanh,
    "derivative_of_logistic": derivative_of_logistic,
}


def with_tight_derivatives(function: Callable[[Float[Array, " n"]], Array]) -> Callable[[Float[Array, " n"]], Array]:
    """Return the same function with ``DERIVATIVES`` as its derivatives, except in loops and custom derivatives.

    Example:
        >>> jacobian = jax.jacfwd(with_tight_derivatives(jnp.tanh))
        >>> "derivative_of_tanh" in str(jax.make_jaxpr(jacobian)(jnp.zeros(2)))
        True
    """

    def replayed(state: Float[Array, " n"]) -> Array:
        traced = jax.make_jaxpr(function)(state)
        (result,) = _replay(traced.jaxpr, [jnp.asarray(value) for value in traced.consts], [state])
        return result

    return replayed


def _replay(jaxpr: Jaxpr, constants: Sequence[Array], arguments: Sequence[Array]) -> list[Array]:
    """Evaluate the equations of a jaxpr with ``REPLACEMENTS`` for JAX's own functions."""
    values: dict[Var, Array] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Var | Literal) -> Array:
        return jnp.asarray(variable.val) if isinstance(variable, Literal) else values[variable]

    replace: Callable[..., Jaxpr] = jaxpr.replace

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        name = equation.primitive.name
        if name in REPLACEMENTS:
            results = [REPLACEMENTS[name](*operands)]
        elif name == "custom_jvp_call" and equation.params["call_jaxpr"].jaxpr.debug_info.func_name == "logaddexp":
            results = [_logaddexp(*operands)]
        elif name == "jit":
            inner = equation.params["jaxpr"]
            results = _replay(inner.jaxpr, [jnp.asarray(value) for value in inner.consts], operands)
        else:
            variables = list(dict.fromkeys(each for each in equation.invars if not isinstance(each, Literal)))
            alone = replace(constvars=[], invars=variables, outvars=equation.outvars, eqns=[equation])
            results = jaxpr_as_fun(ClosedJaxpr(alone, []))(*map(read, variables))
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _with_derivative(function: Elementwise, derivative: Elementwise) -> Elementwise:
    replacement = jax.custom_jvp(function)
    replacement.defjvps(lambda tangent, _, argument: tangent * derivative(argument))
    return replacement


REPLACEMENTS: dict[str, Elementwise] = {
    "tanh": _with_derivative(jnp.tanh, derivative_of_tanh),
    "logistic": _with_derivative(jax.nn.sigmoid, derivative_of_logistic),
}


@jax.custom_jvp
def _logaddexp(first: Array, second: Array) -> Array:
    """Return log(exp a + exp b), of which softplus is the case b = 0, with the derivatives σ(a − b) and σ(b − a)."""
    return jnp.logaddexp(first, second)


_logaddexp.defjvps(
    lambda tangent, _, first, second: tangent * jax.nn.sigmoid(first - second),
    lambda tangent, _, first, second: tangent * jax.nn.sigmoid(second - first),
)
