"""A function whose tanh and logistic have slopes that interval arithmetic bounds exactly.

JAX differentiates tanh to (1 + t)(1 − t), and the logistic function to s (1 − s). Interval arithmetic takes the two
factors for independent: around 0, where the slope hardly changes, it finds a whole interval. As functions of the
argument both slopes are even and fall away from 0, so that two values bound them. Here the derivatives are functions of
the argument, under a name by which ``enclosures`` knows them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array, Float

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
