"""Register of activations φ: built-in and user-defined ones, each with the bounds that boxes and gradients rely on.

    tanh        tanh a                       sigmoid   1/(1 + exp(−a))
    relu        max(a, 0)                    softplus  log(1 + exp a)
    retanh      max(tanh a, 0)               identity  a
    leaky_relu  a for a ≥ 0, else a/100      gelu      a Φ(a), with Φ the normal distribution function

The fast gradient needs φ' as a function of the value φ(a): it keeps values and not sums. gelu is not monotone and has
no such function; cells with it are differentiated by JAX.

Sources: softplus and retanh (rectified tanh), Yang et al. 2019; leaky relu, Maas, Hannun & Ng 2013, with the slope of
PyTorch and JAX; gelu, Hendrycks & Gimpel 2016, in its exact form.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dynatlas._util.messages import first_line
from dynatlas.registry import check_name, enter

Box = tuple[Array, Array]
Activation = str  # a name in ``ACTIVATIONS``

# Arguments at which a user's activation is checked.
SAMPLES: Final = np.concatenate([np.linspace(-8, 8, 1601) + 1 / 300, [-40.0, -20.0, 20.0, 40.0]])
SLACK: Final = 1e-6  # of bounds and slopes on them, relative to values above 1
STEP: Final = 1e-5  # of central differences


class Nonlinearity(NamedTuple):
    """A function of one number, the range of its values, and that of its slopes.

    Attributes:
        function: φ, elementwise.
        low: the greatest known lower bound of φ.
        high: the least known upper bound of φ.
        slopes: (least, most) derivative.
        derivative: φ'(a) as a function of φ(a), elementwise; None if there is no such function.
    """

    function: Callable[[Array], Array]
    low: float = -np.inf
    high: float = np.inf
    slopes: tuple[float, float] = (-np.inf, np.inf)
    derivative: Callable[[Array], Array] | None = None

    def box(self, units: int) -> Box | None:
        """Return the range of the values of ``units`` units, or None if it is unbounded."""
        low, high = (jnp.full(units, float(end)) for end in (self.low, self.high))
        return (low, high) if jnp.isfinite(high - low).all() else None

    @property
    def is_odd(self) -> bool:
        """Whether φ(−a) = −φ(a) on samples, so that a unit's sign is arbitrary."""
        return _is_odd(self.function)


@lru_cache(maxsize=256)
def _is_odd(function: Callable[[Array], Array]) -> bool:
    with jax.enable_x64(True):
        values, mirrored = (np.asarray(function(jnp.asarray(sign * SAMPLES))) for sign in (1, -1))
    return bool(np.allclose(mirrored, -values, rtol=1e-12, atol=1e-12))


def _is_positive(value: Array) -> Array:
    return (value > 0).astype(value.dtype)


# The least value of gelu, at a = −0.7517915…, and its extreme slopes, at a = ±√2.
_GELU_LOW: Final = -0.16997120747990369
_GELU_SLOPE: Final = 1.1289041451851548

ACTIVATIONS: dict[str, Nonlinearity] = {
    "tanh": Nonlinearity(jnp.tanh, -1.0, 1.0, (0.0, 1.0), lambda value: 1 - value * value),
    "relu": Nonlinearity(jax.nn.relu, 0.0, np.inf, (0.0, 1.0), _is_positive),
    "sigmoid": Nonlinearity(jax.nn.sigmoid, 0.0, 1.0, (0.0, 0.25), lambda value: value * (1 - value)),
    "softplus": Nonlinearity(jax.nn.softplus, 0.0, np.inf, (0.0, 1.0), lambda value: -jnp.expm1(-value)),
    "retanh": Nonlinearity(
        lambda values: jax.nn.relu(jnp.tanh(values)),
        *(0.0, 1.0, (0.0, 1.0)),
        lambda value: jnp.where(value > 0, 1 - value * value, 0),
    ),
    "leaky_relu": Nonlinearity(
        jax.nn.leaky_relu,
        -np.inf,
        np.inf,
        (0.01, 1.0),
        lambda value: jnp.where(value >= 0, 1, 0.01).astype(value.dtype),
    ),
    "gelu": Nonlinearity(
        lambda values: jax.nn.gelu(values, approximate=False), _GELU_LOW, np.inf, (1 - _GELU_SLOPE, _GELU_SLOPE)
    ),
    "identity": Nonlinearity(lambda values: values, -np.inf, np.inf, (1.0, 1.0), jnp.ones_like),
}
BUILT_IN_ACTIVATIONS: Final = tuple(ACTIVATIONS)

Function = Callable[[Array], Array]


def register_activation(
    name: str,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    slopes: tuple[float, float] = (-np.inf, np.inf),
    derivative: Function | None = None,
) -> Callable[[Any], Any]:
    """Register a function as an activation under a name, for every built-in cell.

    Args:
        name: the name in study files.
        low: a lower bound of the function; with both bounds finite, searches for fixed points can be complete.
        high: an upper bound.
        slopes: (least, most) derivative.
        derivative: φ'(a) as a function of φ(a), for a monotone function. Without it, cells with this activation are
            differentiated by JAX, which is several times slower.

    Returns:
        A decorator of a function from an array to an array, elementwise, in JAX; it may also be given a whole
        ``Nonlinearity``, as entry points of packages are.

    Raises:
        ValueError: the name is taken or invalid; the function, its bounds or its derivative disagree on samples.

    Example:
        >>> slope = lambda value: (1 - jnp.abs(value)) ** 2
        >>> @register_activation("softsign", low=-1.0, high=1.0, slopes=(0.0, 1.0), derivative=slope)
        ... def softsign(values):
        ...     return values / (1 + jnp.abs(values))
        >>> ACTIVATIONS.pop("softsign").function is softsign  # unregister it
        True
    """

    def register(added: Any) -> Any:
        check_name("activation", name)
        whole = isinstance(added, Nonlinearity)
        one = added if whole else Nonlinearity(added, low, high, slopes, derivative)
        check_activation(name, one)
        known = ACTIVATIONS.get(name)
        enter(ACTIVATIONS, "activations", name, one)
        if known is not None and known != one:
            jax.clear_caches()  # compiled programs know an activation by its name
        return added

    return register


def check_activation(name: str, one: Nonlinearity) -> None:
    """Check a function, its bounds, its slopes and its derivative on samples, in float64.

    Raises:
        ValueError: the first that does not hold, with the argument where it does not.
    """
    what = f"the activation {name!r}"
    if not callable(one.function):
        raise ValueError(f"{what}: {one.function!r} is no function; expected one from an array to an array, in JAX")
    if not one.low < one.high:
        raise ValueError(f"{what}: low is {one.low:g} and high {one.high:g}; expected low < high")
    if not one.slopes[0] <= one.slopes[1]:
        raise ValueError(f"{what}: slopes is {one.slopes}; expected (least, most)")
    with jax.enable_x64(True):
        arguments = jnp.asarray(SAMPLES)
        try:
            values, after, before = (jax.jit(one.function)(arguments + step) for step in (0, STEP, -STEP))
            slopes = jax.vmap(jax.grad(one.function))(arguments)
        except Exception as error:
            raise ValueError(f"{what}: it fails on an array: {type(error).__name__}: {first_line(error)}") from None
        for seen in (values, slopes):
            if seen.shape != arguments.shape or seen.dtype != np.float64 or not np.isfinite(seen).all():
                raise ValueError(
                    f"{what}: it returns {seen.dtype}{list(seen.shape)} for float64{list(arguments.shape)}; expected "
                    "finite numbers of the same type and shape"
                )
        differences = (after - before) / (2 * STEP)
        _check_range(what, "value", values, one.low, one.high)
        _check_range(what, "slope", differences, *one.slopes)
        _check_alike(what, "its gradient by JAX", slopes, differences)
        if one.derivative is not None:
            _check_alike(what, "derivative of its value", one.derivative(values), differences)


def _check_range(what: str, of: str, seen: Array, low: float, high: float) -> None:
    slack = SLACK * np.maximum(1, np.abs(seen))
    for is_outside in (seen < low - slack, seen > high + slack):
        if is_outside.any():
            place = int(np.argmax(is_outside))
            raise ValueError(
                f"{what}: the {of} at {SAMPLES[place]:g} is {float(seen[place]):g}; expected {low:g} to {high:g}, as "
                "registered"
            )


def _check_alike(what: str, name: str, seen: Array, differences: Array) -> None:
    values = np.broadcast_to(np.asarray(seen, np.float64), differences.shape)
    # Not >, so that NaN does not pass.
    is_off = ~(np.abs(values - differences) <= 1e-4 * np.maximum(1, np.abs(differences)))
    if is_off.any():
        place = int(np.argmax(is_off))
        raise ValueError(
            f"{what}: the {name} at {SAMPLES[place]:g} is {values[place]:g}; expected {float(differences[place]):g}, "
            "as differences of its values show"
        )


def known_activation(name: str) -> str:
    """Return a name if an activation is registered under it.

    Raises:
        ValueError: there is none; the message names those that exist.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    return name
