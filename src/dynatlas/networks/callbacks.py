"""Step functions outside JAX: NumPy through a callback, PyTorch through torch.func.

Every search needs the Jacobian of a step, and JAX cannot differentiate through a callback. A second callback computes
it: a function of the user, torch.func, or central differences, which take 2n steps each. A callback costs 10 to 100
microseconds, a step in JAX at most one: write the step in JAX where possible.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats, Floats], Floats]  # (state [n], inputs [m]) → state [n]
Jacobians = Callable[[Floats, Floats], tuple[Floats, Floats]]  # (state, inputs) → (∂F/∂h [n, n], ∂F/∂x [n, m])
# Truncation and rounding error of a central difference are about equal at the cube root of the machine epsilon.
SPACING = float(np.finfo(np.float64).eps ** (1 / 3))


class CallbackStep:
    """A step that calls back to the host. JAX can trace it, map it and differentiate it once.

    Attributes:
        function: the function that is called, as it was given.
    """

    function: Function
    is_slow = True

    def __init__(self, function: Function, jacobians: Jacobians) -> None:
        self.function = function
        self._step = _traceable(function, jacobians)

    def __call__(self, state: ArrayLike, inputs: ArrayLike | None) -> jax.Array:
        """Advance by one step."""
        state = jnp.asarray(state)
        return self._step(state, jnp.zeros(0, state.dtype) if inputs is None else jnp.asarray(inputs, state.dtype))


def numpy_step(function: Function, *, jacobian: Jacobians | None = None) -> CallbackStep:
    """Wrap a NumPy function, or any other Python function, as a step function.

    Args:
        function: ``function(state [n], inputs [m]) -> state [n]`` on NumPy arrays in float64; deterministic.
        jacobian: ``jacobian(state, inputs) -> (∂F/∂h [n, n], ∂F/∂x [n, m])``; by default central differences, accurate
            to about ten digits.

    Example:
        >>> from dynatlas import linearize
        >>> step = numpy_step(lambda h, x: np.tanh(2 * h + x))
        >>> linearize(step, np.zeros(1), np.zeros(1)).jacobian.round(9).tolist()
        [[[2.0]]]
    """
    return CallbackStep(function, partial(_central_differences, function) if jacobian is None else jacobian)


def torch_step(function: Callable[[Any, Any], Any]) -> CallbackStep:
    """Wrap a PyTorch function, such as a module in eval mode, as a step function with exact Jacobians (torch.func).

    PyTorch must be installed; it is an optional dependency.

    Args:
        function: ``function(state [n], inputs [m]) -> state [n]`` on tensors in float64: call ``module.double()``, and
            concatenate an LSTM's (h, c) into one state.

    Raises:
        ValueError: the function does not return float64; raised at the first step.
    """
    import torch

    def step(state: Floats, inputs: Floats) -> Floats:
        with torch.no_grad():
            following = function(torch.tensor(state), torch.tensor(inputs))
        if not isinstance(following, torch.Tensor):
            raise ValueError(
                f"the PyTorch step returns a {type(following).__name__}; expected the next state as one tensor: an "
                "LSTMCell returns (h, c), which torch.cat((h, c)) makes one state"
            )
        if following.dtype != torch.float64:
            raise ValueError(f"the PyTorch step returns {following.dtype}; expected float64: call module.double()")
        return np.asarray(following.numpy())

    differentiate = torch.func.jacrev(function, argnums=(0, 1))

    def jacobians(state: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        by_state, by_inputs = differentiate(torch.tensor(state), torch.tensor(inputs))
        return by_state.detach().numpy(), by_inputs.detach().numpy()

    return CallbackStep(step, jacobians)


def _traceable(function: Function, jacobians: Jacobians) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return a JAX function that calls back, for a mapped batch once for each row."""

    @jax.custom_jvp
    def step(state: jax.Array, inputs: jax.Array) -> jax.Array:
        return _call(lambda *row: (function(*row),), [state.shape], state, inputs)[0]

    @partial(step.defjvp, symbolic_zeros=True)
    def _(
        primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array | SymbolicZero, jax.Array | SymbolicZero]
    ) -> tuple[jax.Array, jax.Array]:
        state, inputs = primals
        n = state.shape[0]
        matrices = _call(jacobians, [(n, n), (n, inputs.shape[0])], state, inputs)
        moved = [m @ t for m, t in zip(matrices, tangents, strict=True) if not isinstance(t, SymbolicZero)]
        return step(state, inputs), sum(moved, jnp.zeros_like(state))

    return step


RowFunction = Callable[[Floats, Floats], tuple[Floats, ...]]


def _call(
    function: RowFunction, shapes: Sequence[tuple[int, ...]], state: jax.Array, inputs: jax.Array
) -> list[jax.Array]:
    """Call back with NumPy arrays in float64; return results in the precision of the state.

    Numbers travel as their bits. JAX may run a callback in another thread, in which float64 is not enabled and
    arguments are rounded to float32: results would sometimes be accurate to only seven digits.
    """
    kind = np.dtype(state.dtype)

    def called(state_bits: ArrayLike, input_bits: ArrayLike) -> tuple[NDArray[np.uint32], ...]:
        rows = (np.ascontiguousarray(bits).view(kind)[..., 0] for bits in (state_bits, input_bits))
        parts = _map_rows(function, *(each.astype(np.float64) for each in rows))
        return tuple(np.ascontiguousarray(part, kind)[..., None].view(np.uint32) for part in parts)

    words = kind.itemsize // 4
    results = tuple(jax.ShapeDtypeStruct((*shape, words), np.uint32) for shape in shapes)
    bits = (_bits(each, words) for each in (state, inputs))
    returned = jax.pure_callback(called, results, *bits, vmap_method="broadcast_all")
    return [jax.lax.bitcast_convert_type(part if words == 2 else part[..., 0], kind) for part in returned]


def _bits(values: jax.Array, words: int) -> jax.Array:
    """Return the bits of each number as ``words`` 32-bit words along a new last axis."""
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32)
    return bits if words == 2 else bits[..., None]


def _map_rows(function: RowFunction, states: Floats, inputs: Floats) -> tuple[Floats, ...]:
    """Map a function of single rows over all axes before the last."""
    batch = states.shape[:-1]
    count = math.prod(batch)
    results: list[tuple[Floats, ...]] = []
    before = None
    for state, given in zip(*(each.reshape(count, each.shape[-1]) for each in (states, inputs)), strict=True):
        now = (state.tobytes(), given.tobytes())
        # Batches are padded with copies of their last row.
        results.append(results[-1] if now == before else function(state, given))
        before = now
    parts = (np.array(column, np.float64) for column in zip(*results, strict=True))
    return tuple(part.reshape(*batch, *part.shape[1:]) for part in parts)


def _central_differences(function: Function, state: Floats, inputs: Floats) -> tuple[Floats, Floats]:
    """Compute both Jacobians by central differences."""

    def slope(place: int, at: Floats, along: Callable[[Floats], Floats]) -> Floats:
        spacing = SPACING * max(1.0, abs(float(at[place])))
        ahead, behind = at.copy(), at.copy()
        ahead[place] += spacing
        behind[place] -= spacing
        return np.asarray((along(ahead) - along(behind)) / (ahead[place] - behind[place]))

    by_state = [slope(place, state, lambda moved: function(moved, inputs)) for place in range(len(state))]
    by_inputs = [slope(place, inputs, lambda moved: function(state, moved)) for place in range(len(inputs))]
    n = len(state)
    return np.array(by_state).T, np.array(by_inputs).reshape(len(inputs), n).T
