"""Step functions that are not written in JAX: NumPy's by a callback, PyTorch's by torch.func. Slower, but the same.

Every search here needs the Jacobian of a step, which JAX cannot see through a callback. It is asked for in a second
callback: yours, or torch.func's, or central differences, which take 2n steps for each. A call costs some ten to hundred
microseconds where a step in JAX costs one or none: write the step in JAX if you can.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from numpy.typing import NDArray

Function = Callable[[Any, Any], Any]


# By the cube root of the precision, truncation and rounding of a central difference are equally small.
SPACING = float(np.finfo(np.float64).eps ** (1 / 3))


class CallbackStep:
    """A step that leaves JAX, with the Jacobian beside it; JAX can trace, map and differentiate it once."""

    is_slow = True

    def __init__(self, function: Function, jacobians: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self._step = _traceable(function, jacobians)

    def __call__(self, state: Any, inputs: Any) -> Any:
        """One step."""
        state = jnp.asarray(state)
        return self._step(state, jnp.zeros(0, state.dtype) if inputs is None else jnp.asarray(inputs, state.dtype))


def numpy_step(function: Function, *, jacobian: Function | None = None) -> CallbackStep:
    """A step function out of one that is written in NumPy, or calls anything else.

    Args:
        function: ``function(state [n], inputs [m]) -> state [n]``, on NumPy arrays in float64, always the same for the
            same arguments.
        jacobian: ``jacobian(state, inputs) -> (∂F/∂h [n, n], ∂F/∂x [n, m])``; by default central differences, which are
            right to about ten digits.

    Example:
        >>> from dynatlas import linearize
        >>> step = numpy_step(lambda h, x: np.tanh(2 * h + x))
        >>> linearize(step, np.zeros(1), np.zeros(1)).jacobian.round(9).tolist()
        [[[2.0]]]
    """
    if jacobian is not None:
        return CallbackStep(function, jacobian)
    return CallbackStep(function, partial(_differences, function))


def torch_step(function: Function) -> CallbackStep:
    """A step function out of one that is written in PyTorch, such as a module in eval mode.

    Jacobians are torch.func's, exact. PyTorch must be installed; it is no dependency.

    Args:
        function: ``function(state [n], inputs [m]) -> state [n]``, on tensors in float64: call ``module.double()``, and
            join an LSTM's (h, c) to one state.

    Raises:
        ValueError: on the first step, if what comes out is not float64.
    """
    import torch

    def step(state: Any, inputs: Any) -> NDArray[np.float64]:
        with torch.no_grad():
            following = function(torch.tensor(state), torch.tensor(inputs))
        if following.dtype != torch.float64:
            raise ValueError(f"the PyTorch step returns {following.dtype}; expected float64: call module.double()")
        return np.asarray(following.numpy())

    jacobian = torch.func.jacrev(function, argnums=(0, 1))

    def jacobians(state: Any, inputs: Any) -> tuple[Any, Any]:
        return tuple(part.detach().numpy() for part in jacobian(torch.tensor(state), torch.tensor(inputs)))

    return CallbackStep(step, jacobians)


def _traceable(function: Function, jacobians: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], Any]:
    """A JAX function that calls back, one row of a mapped batch after the other."""

    @jax.custom_jvp
    def step(state: Any, inputs: Any) -> Any:
        return _call(lambda *row: (function(*row),), [state.shape], state, inputs)[0]

    @partial(step.defjvp, symbolic_zeros=True)
    def _(primals: Any, tangents: Any) -> tuple[Any, Any]:
        state, inputs = primals
        n = state.shape[0]
        matrices = _call(jacobians, [(n, n), (n, inputs.shape[0])], state, inputs)
        moved = [m @ t for m, t in zip(matrices, tangents, strict=True) if not isinstance(t, SymbolicZero)]
        return step(state, inputs), sum(moved, jnp.zeros_like(state))

    return step


def _call(function: Callable[[Any, Any], tuple[Any, ...]], shapes: Any, state: Any, inputs: Any) -> list[Any]:
    """Call back with NumPy arrays in the precision of the state.

    Numbers travel as their bits. JAX may run a callback in a thread of its own, for which float64 is not enabled, and
    there makes float32 of what it hands over: results would be right to seven digits, now and then.
    """
    kind = np.dtype(state.dtype)

    def called(state_bits: Any, input_bits: Any) -> tuple[NDArray[np.uint32], ...]:
        rows = (np.ascontiguousarray(bits).view(kind)[..., 0] for bits in (state_bits, input_bits))
        parts = _rows(function, *(each.astype(np.float64) for each in rows))
        return tuple(np.ascontiguousarray(part, kind)[..., None].view(np.uint32) for part in parts)

    words = kind.itemsize // 4
    results = tuple(jax.ShapeDtypeStruct((*shape, words), np.uint32) for shape in shapes)
    bits = (_bits(each, words) for each in (state, inputs))
    returned = jax.pure_callback(called, results, *bits, vmap_method="broadcast_all")
    return [jax.lax.bitcast_convert_type(part if words == 2 else part[..., 0], kind) for part in returned]


def _bits(values: Any, words: int) -> Any:
    """The bits of some numbers, ``words`` times 32 for each, along a last axis."""
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32)
    return bits if words == 2 else bits[..., None]


def _rows(function: Callable[[Any, Any], tuple[Any, ...]], states: Any, inputs: Any) -> tuple[NDArray[Any], ...]:
    """The results of a function of single rows, for arrays with any number of axes before the last."""
    batch = states.shape[:-1]
    count = math.prod(batch)
    results: list[tuple[Any, ...]] = []
    before = None
    for state, given in zip(*(each.reshape(count, each.shape[-1]) for each in (states, inputs)), strict=True):
        now = (state.tobytes(), given.tobytes())
        # Batches are filled up with copies of their last row.
        results.append(results[-1] if now == before else function(state, given))
        before = now
    parts = (np.array(column, np.float64) for column in zip(*results, strict=True))
    return tuple(part.reshape(*batch, *part.shape[1:]) for part in parts)


def _differences(function: Function, state: Any, inputs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both Jacobians by central differences."""

    def slope(place: int, of: Any, other: Callable[[Any], Any]) -> NDArray[np.float64]:
        spacing = SPACING * max(1.0, abs(float(of[place])))
        ahead, behind = of.copy(), of.copy()
        ahead[place] += spacing
        behind[place] -= spacing
        return np.asarray((other(ahead) - other(behind)) / (ahead[place] - behind[place]))

    by_state = [slope(place, state, lambda moved: function(moved, inputs)) for place in range(len(state))]
    by_input = [slope(place, inputs, lambda moved: function(state, moved)) for place in range(len(inputs))]
    n = len(state)
    return np.array(by_state).T, np.array(by_input).reshape(len(inputs), n).T
