"""The map under study: a step function ``F(state, inputs)``, its validation, its residual and its Jacobian."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, in_chunks
from dynatlas._util.messages import count_of

# ``step(state [n], inputs) -> state [n]``. The inputs are an array [m], or None if the step ignores them; a step is
# written for one of the two, hence Any. Type checkers see ``matrix @ state`` with a NumPy matrix as NumPy's array.
Step = Callable[[Array, Any], Array | NDArray[Any]]

Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # (low [n], high [n])
# Names of parameters, by which a step with the wrong order is recognised. Where x is the state, u is the input.
_INPUTS = {"input", "inputs", "inp", "inps", "input_t", "u", "xt", "x_t", "stimulus", "drive", "external_input"}
_STATES = {"state", "states", "h", "hidden", "hx", "h_t", "h_prev", "hidden_state", "carry", "prev_state", "r", "rates"}
# Points of another map, or of another input, have a larger q than this. It is far above 1e-20, since a step that is
# computed in another order, as by PyTorch, rounds otherwise; of large states, rounding is a share of their length.
LARGEST_Q = 1e-16
ROUNDING = 1e-10
CHUNK = 64  # states per call of the compiled residual
EXPECTED = "expected step(state [n], inputs) → the next state [n]"


def static_inputs(inputs: ArrayLike | None) -> Float[Array, " m"] | None:
    """Return the inputs as a float64 JAX array; call it where 64 bits are enabled.

    Raises:
        ValueError: the inputs have two axes or more, such as (1, m), which a step would broadcast to several states.
    """
    if inputs is None:
        return None
    given = np.asarray(inputs, np.float64)
    if given.ndim > 1:
        one = "inputs[0]" if given.shape[0] == 1 else "one of the rows"
        raise ValueError(f"inputs has shape {given.shape}; expected [m], one static input: pass {one}")
    return jnp.asarray(given)


def next_state(step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None) -> Float[Array, " n"]:
    """Return F(h, x)."""
    return jnp.asarray(step(state, inputs))


def residual(step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None) -> Float[Array, " n"]:
    """Return r = F(h, x) − h."""
    return next_state(step, state, inputs) - state


def residual_and_jacobian(
    step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return the residual r = F(h, x) − h and its exact Jacobian J − I."""
    identity = jnp.eye(state.shape[0], dtype=state.dtype)
    following, tangent = jax.linearize(lambda h: step(h, inputs), state)
    return following - state, jax.vmap(tangent, out_axes=1)(identity) - identity


def next_frame(
    step: Step, state: Float[Array, " n"], frame: Float[Array, "n k"], inputs: Float[Array, " m"] | None
) -> tuple[Float[Array, " n"], Float[Array, "n k"], Float[Array, " k"]]:
    """Return the next state, a frame of tangent vectors carried along and orthonormalised, and their log growths."""
    state, tangent = jax.linearize(lambda h: next_state(step, h, inputs), state)
    frame, growth = jnp.linalg.qr(jax.vmap(tangent, in_axes=1, out_axes=1)(frame))
    return state, frame, jnp.log(jnp.abs(jnp.diagonal(growth)))


def check_step(step: Step, state: np.ndarray, inputs: Float[Array, " m"] | None) -> None:
    """Check that a step maps a float64 state to a float64 state of the same size, the same one each time.

    Call it where 64 bits are enabled. A step that calls back to Python is called, since JAX does not see what it
    returns; all others are traced.

    Args:
        step: the step function.
        state: a state [n].
        inputs: static inputs [m], or None.

    Raises:
        ValueError: anything else, with what to do.
    """
    if not callable(step):
        raise ValueError(f"step is a {type(step).__name__}; {EXPECTED}")
    n = len(state)
    called = getattr(step, "function", None) if getattr(step, "is_slow", False) else None
    if callable(called):
        given = np.zeros(0) if inputs is None else np.asarray(inputs)
        first, second = (np.asarray(called(state.copy(), given)) for _ in range(2))
        _check_result(first, n)
        is_same = np.array_equal(first, second, equal_nan=True)
    else:
        is_same = _traced(step, n, inputs) == _traced(step, n, inputs)
    if not is_same:
        raise ValueError(
            "step returns different states for the same state: it has noise or dropout, and a map with noise has no "
            "fixed points. Remove the noise; in PyTorch, call module.eval()"
        )
    _check_order(step)


def check_fixed_points(
    step: Step, states: NDArray[np.float64], q: NDArray[np.float64], inputs: Float[Array, " m"] | None
) -> None:
    """Check that points found earlier are points of this step under these inputs; call it where 64 bits are enabled.

    A point passes if q = ½‖F(h, x) − h‖² is at most 1e-16, or what rounding of ‖h‖ explains, or four times the q with
    which it was found: slow points, and roots of a search with a larger ``tol``, remain what they were.

    Args:
        step: the step function.
        states: the points [p, n].
        q: with which they were found [p].
        inputs: static inputs [m], or None.

    Raises:
        ValueError: a point moves further than that.
    """
    if not len(states):
        return
    (gaps,) = in_chunks(lambda rows: (residuals(step, rows, inputs),), states, CHUNK)
    rounding = 0.5 * (ROUNDING * np.linalg.norm(states, axis=1)) ** 2
    allowed = np.fmax(np.maximum(LARGEST_Q, rounding), 4 * q)
    where = "of this step" if inputs is None else "of this step under these inputs"
    refuse_others(0.5 * (gaps**2).sum(axis=1), allowed, where, "Pass the step and the inputs of the search, or search")


def refuse_others(q: NDArray[np.float64], largest: NDArray[np.float64], where: str, advice: str) -> None:
    """Raise a ValueError if a point's q [p] is NaN or larger than its ``largest`` [p]."""
    fits = q <= largest
    if not fits.all():
        worst = int(np.where(fits, -np.inf, np.nan_to_num(q, nan=np.inf)).argmax())
        raise ValueError(
            f"{int((~fits).sum())} of {count_of(len(q), 'point')} are no fixed points {where}: q is {q[worst]:.3g} at "
            f"point {worst}; expected at most {largest[worst]:.3g}. {advice} with find_fixed_points"
        )


@eqx.filter_jit
def residuals(step: Step, states: Float[Array, "p n"], inputs: Float[Array, " m"] | None) -> Float[Array, "p n"]:
    """Return r = F(h, x) − h of several states."""
    return jax.vmap(lambda state: residual(step, state, inputs))(states)


def _check_order(step: Step) -> None:
    """Refuse a step whose parameters are named as inputs and state, in this order, as those of a GRU cell often are.

    Where inputs and states have the same size, such a step can be computed, and its results are wrong.
    """
    try:
        first, second = [name.strip("_").lower() for name in inspect.signature(step).parameters][:2]
    except (TypeError, ValueError):  # no signature, or another number of parameters
        return
    if (first in _INPUTS and second in {*_STATES, "x"}) or (first == "x" and second in _STATES):
        raise ValueError(
            f"step has the parameters {first}, {second}, which seem to be the other way round; {EXPECTED}. Pass lambda "
            "state, inputs: step(inputs, state), or rename the parameters if their order is right"
        )


def _traced(step: Step, n: int, inputs: Float[Array, " m"] | None) -> str:
    """Trace a step and return its program with all constants as a text."""
    try:
        program, result = jax.make_jaxpr(lambda h: step(h, inputs), return_shape=True)(np.zeros(n))
    except Exception as error:  # whatever the user's function raises
        raise ValueError(_why(step, n, inputs, error)) from error
    _check_result(result, n)
    numbers = [np.asarray(constant) for constant in program.consts]
    text = re.sub(r"0x\w+", "", str(program.jaxpr))  # addresses of functions differ
    return f"{text}{[(constant.shape, hash(constant.tobytes())) for constant in numbers]}"


def _check_result(result: Any, n: int) -> None:
    """Check what a step returns."""
    if isinstance(result, tuple | list):
        parts = ", ".join(str(list(getattr(part, "shape", ()))) for part in result)
        advice = (
            "Return the next state alone, such as lambda h, x: step(h, x)[0]; if the state has several parts, like (h, "
            "c) of an LSTM, concatenate them"
        )
        raise ValueError(
            f"step returns a {type(result).__name__} of {len(result)}, of the shapes {parts}; {EXPECTED}. {advice}"
        )
    if not hasattr(result, "shape"):
        raise ValueError(f"step returns a {type(result).__name__}; {EXPECTED}")
    if result.shape != (n,):
        advice = " It seems to be written for batches: step(h[None], x[None])[0]." if result.shape == (1, n) else ""
        raise ValueError(
            f"step returns shape {result.shape} for a state of shape ({n},); it must return a state.{advice}"
        )
    if result.dtype != np.float64:
        raise ValueError(
            f"step returns {result.dtype} for a float64 state; remove the cast inside it, since roots are found to "
            "1e-10: use float64 throughout (in PyTorch module.double())"
        )


def _why(step: Step, n: int, inputs: Float[Array, " m"] | None, error: Exception) -> str:
    """Return the sentence about a step that cannot be traced."""
    text = re.sub(r"\s+", " ", str(error))
    if "positional argument" in text:
        return f"step(state [{n}], inputs) could not be traced: {text[:120]}; {EXPECTED}: wrap it: lambda h, x: step(h)"
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return (
            f"step(state [{n}], inputs) could not be traced: it calls NumPy or PyTorch on the state. Use jax.numpy, or "
            "wrap it: dynatlas.networks.numpy_step(step), torch_step(step)"
        )
    if isinstance(error, jax.errors.ConcretizationTypeError):
        return (
            f"step(state [{n}], inputs) could not be traced: it needs the value of the state, as `if` and float() do. "
            "Use jnp.where, or wrap it: dynatlas.networks.numpy_step(step)"
        )
    swapped = _works_swapped(step, n, inputs)
    if swapped:
        return (
            f"step(state [{n}], inputs) could not be traced, but step(inputs, state) can: its arguments are the other "
            "way round; pass lambda h, x: step(x, h)"
        )
    if inputs is None and "None" in text:
        return f"step uses its inputs, which are None here ({text[:120]}); pass inputs=np.zeros(m) for no input"
    return f"step(state [{n}], inputs) could not be traced: {type(error).__name__}: {text[:250]}"


def _works_swapped(step: Step, n: int, inputs: Float[Array, " m"] | None) -> bool:
    """Whether the step returns a state if its arguments change places."""
    try:
        result = jax.eval_shape(lambda h: step(inputs, h), np.zeros(n))  # type: ignore[arg-type]
    except Exception:  # then this is not what is wrong
        return False
    return getattr(result, "shape", None) == (n,)
