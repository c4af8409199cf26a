"""The map under study: a step function ``F(state, inputs)``, its residual and its Jacobian."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike

# ``step(state [n], inputs) -> state [n]``. The inputs are an array [m], or None if the step ignores them; a step is
# written for one of the two, hence Any. Type checkers see ``matrix @ state`` with a NumPy matrix as NumPy's array.
Step = Callable[[Array, Any], Array | NDArray[Any]]

Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # (low [n], high [n])


def static_inputs(inputs: ArrayLike | None) -> Float[Array, " m"] | None:
    """Return the inputs as a float64 JAX array; call it where 64 bits are enabled."""
    return None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))


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
