"""The linear dynamics around a point: its Jacobian and eigenvectors."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas.root_search import Step


def jacobian(step: Step, state: Any, inputs: Any | None = None) -> NDArray[np.float64]:
    """J = ∂F/∂h at one state under one static input, in float64.

    Example:
        >>> jacobian(lambda h, x: 0.5 * h, np.zeros(2)).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    with jax.enable_x64(True):
        static = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
        return np.asarray(_jacobian(step, jnp.asarray(np.asarray(state, np.float64)), static))


def unstable_direction(step: Step, state: Any, inputs: Any | None = None) -> NDArray[np.float64]:
    """The unit right eigenvector of the largest |λ|, or NaN where no |λ| exceeds 1.

    Of a complex pair, the real part.
    """
    eigenvalues, vectors = np.linalg.eig(jacobian(step, state, inputs))
    leading = int(np.abs(eigenvalues).argmax())
    direction: NDArray[np.float64] = vectors[:, leading].real
    if np.abs(eigenvalues[leading]) <= 1:
        return np.full(len(direction), np.nan)
    unit: NDArray[np.float64] = direction / np.linalg.norm(direction)
    return unit


@eqx.filter_jit
def _jacobian(step: Step, state: jax.Array, inputs: jax.Array | None) -> jax.Array:
    return jax.jacfwd(lambda h: step(h, inputs))(state)
