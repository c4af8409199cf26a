"""The curve F(h, p) = h in the space of states and parameter, and its points.

A point of the curve is x = (h, s): the state, and the place s = (p − start)/(stop − start) · length of the parameter,
which runs from 0 to ``length``. With the length of typical states, states and parameter weigh alike in the arc length
‖Δx‖. The curve is G(x) = F(h, p) − h = 0, and G_x [n, n + 1] its derivative, which has rank n except at branch points.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.linearization import mode_order

# ``step(state [n], parameter) -> state [n]`` with a scalar parameter.
ParametrizedStep = Callable[[Array, Any], Array | NDArray[Any]]


class Curve(eqx.Module):
    """G(x) = F(h, p) − h.

    Attributes:
        step: F.
        start: the parameter at place 0.
        width: stop − start.
        length: the place of the parameter's other end.
    """

    step: ParametrizedStep
    start: Float[Array, ""]
    width: Float[Array, ""]
    length: Float[Array, ""]

    def __call__(self, x: Float[Array, " n1"]) -> Float[Array, " n"]:
        """Return G(x)."""
        return jnp.asarray(self.step(x[:-1], self.start + self.width * x[-1] / self.length)) - x[:-1]

    def derivative(self, x: Float[Array, " n1"]) -> tuple[Float[Array, " n"], Float[Array, "n n1"]]:
        """Return G(x) and G_x."""
        # Apart: where the parameter scales weights, its tangent is a matrix, which those of the state need not carry.
        value, tangent = jax.linearize(lambda state: self(jnp.append(state, x[-1])), x[:-1])
        by_state = jax.vmap(tangent, out_axes=1)(jnp.eye(x.shape[0] - 1, dtype=x.dtype))
        by_place = jax.jvp(lambda place: self(jnp.append(x[:-1], place)), (x[-1],), (jnp.ones_like(x[-1]),))[1]
        return value, jnp.append(by_state, by_place[:, None], axis=1)

    def parameter(self, place: Any) -> Any:
        """Return the parameter at a place, or at several."""
        return float(self.start) + float(self.width) * place / float(self.length)

    def place(self, parameter: float) -> float:
        """Return the place of a parameter."""
        return (parameter - float(self.start)) / float(self.width) * float(self.length)


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """A point of the curve.

    Attributes:
        x: (h, s) [n + 1].
        tangent: unit vector along the branch, in the direction in which it is followed [n + 1].
        matrix: G_x [n, n + 1].
        eigenvalues: of J, by descending |λ| [n].
        residual: ‖G(x)‖.
        border_sign: sign of det [G_x; tangentᵀ], which changes at branch points.
        index: sign det(I − J), which changes at folds and at branch points of the other branch.
        flip_sign: sign det(I + J), which changes at flips.
        event: the kind of a bifurcation located here, or "".
    """

    x: NDArray[np.float64]
    tangent: NDArray[np.float64]
    matrix: NDArray[np.float64]
    eigenvalues: NDArray[np.complex128]
    residual: float
    border_sign: int
    index: int
    flip_sign: int
    event: str = ""

    @property
    def n_unstable(self) -> int:
        """Number of eigenvalues with |λ| > 1."""
        return int((np.abs(self.eigenvalues) > 1).sum())

    @property
    def slope(self) -> float:
        """The tangent's component along the parameter: 0 at folds."""
        return float(self.tangent[-1])


def curve_points(
    xs: NDArray[np.float64],
    tangents: NDArray[np.float64],
    matrices: NDArray[np.float64],
    residuals: NDArray[np.float64],
) -> list[CurvePoint]:
    """Characterise points with these tangents and derivatives."""
    if not len(xs):
        return []
    n = xs.shape[1] - 1
    identity = np.eye(n)
    states = matrices[:, :, :n]
    eigenvalues = np.linalg.eigvals(states + identity).astype(complex)
    border = np.linalg.slogdet(np.concatenate([matrices, tangents[:, None]], axis=1))[0]
    index = np.linalg.slogdet(-states)[0]
    flip = np.linalg.slogdet(states + 2 * identity)[0]
    return [
        CurvePoint(
            xs[i],
            tangents[i],
            matrices[i],
            eigenvalues[i][mode_order(eigenvalues[i])],
            float(residuals[i]),
            int(border[i]),
            int(index[i]),
            int(flip[i]),
        )
        for i in range(len(xs))
    ]


def null_vectors(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the two right and the one left singular vector that are nearest to null, and the least singular value.

    Args:
        matrix: G_x [n, n + 1].

    Returns:
        [2, n + 1], the first in the null space; [n]; and σ relative to the largest.
    """
    left, values, right = np.linalg.svd(matrix, full_matrices=True)
    return right[[-1, -2]], left[:, -1], float(values[-1] / max(values[0], 1e-300))
