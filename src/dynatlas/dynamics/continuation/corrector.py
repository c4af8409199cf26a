"""Newton's method on the curve, for several branches at once.

The corrector solves G(x) = 0 and borderᵀx = offset. With the border along the last tangent this is pseudo-arclength
continuation, which passes folds; with the border along the parameter it lands on a given parameter.

Each round factorises [G_x; borderᵀ] once and takes several chord steps with it, as long as they lower ‖G‖. From a good
prediction one round suffices, and the second one yields the derivative and the tangent at the point itself.

Source: Keller 1977; Allgower & Georg, "Introduction to Numerical Continuation Methods", 2003, chapters 4 and 6.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.continuation.curve import Curve, CurvePoint, curve_points, null_vectors

LANES = 8  # branches per call of the compiled corrector
MAX_ROUNDS = 8
CHORD_STEPS = 4
# A point is converged if each |G_i| is at most this share of the length of its row of G_x, which cancels gates that are
# nearly closed; or at the rounding of F(h) − h; or where Newton's method reduces ‖G‖ no more and q is that of a root.
RESIDUAL = 1e-13
ROUNDING = 4e-16
ROOT_RESIDUAL = 1e-10


class Corrected(NamedTuple):
    """Results of the corrector.

    Attributes:
        points: x [k, n + 1].
        tangents: unit null vectors of G_x, in the direction of the border [k, n + 1].
        matrices: G_x [k, n, n + 1].
        residuals: ‖G‖ [k].
        converged: whether G(x) = 0 to rounding [k].
        rounds: factorisations [k].
    """

    points: NDArray[np.float64]
    tangents: NDArray[np.float64]
    matrices: NDArray[np.float64]
    residuals: NDArray[np.float64]
    converged: NDArray[np.bool_]
    rounds: NDArray[np.int64]


def correct(
    curve: Curve, predicted: NDArray[np.float64], borders: NDArray[np.float64], offsets: NDArray[np.float64]
) -> Corrected:
    """Correct predicted points [k, n + 1] on the planes borderᵀx = offset."""
    rows = np.concatenate([predicted, borders, offsets[:, None]], axis=1)
    return Corrected(*in_chunks(lambda chunk: _correct(curve, chunk), rows, LANES))


def evaluate(curve: Curve, x: NDArray[np.float64], along: NDArray[np.float64]) -> CurvePoint | None:
    """Return the point at x, without moving it, with its tangent on the side of ``along``; None if G is not finite."""
    value, derivative = (np.asarray(part) for part in _derivative(curve, jnp.asarray(x)))
    if not (np.isfinite(value).all() and np.isfinite(derivative).all()):
        return None
    tangent = null_vectors(derivative)[0][0]
    tangent = tangent if tangent @ along >= 0 else -tangent
    return curve_points(x[None], tangent[None], derivative[None], np.linalg.norm(value[None], axis=1))[0]


@eqx.filter_jit
def _derivative(curve: Curve, x: Float[Array, " n1"]) -> tuple[Float[Array, " n"], Float[Array, "n n1"]]:
    return curve.derivative(x)


class _Iterate(NamedTuple):
    """Newton's method at a point: the fields of ``Corrected``, of one point."""

    point: Float[Array, " n1"]
    tangent: Float[Array, " n1"]
    matrix: Float[Array, "n n1"]
    residual: Float[Array, ""]
    converged: Bool[Array, ""]
    rounds: Int[Array, ""]


@eqx.filter_jit
def _correct(curve: Curve, rows: Float[Array, "lanes width"]) -> _Iterate:
    return jax.vmap(lambda row: _correct_one(curve, row))(rows)


def _correct_one(curve: Curve, row: Float[Array, " width"]) -> _Iterate:
    size = (row.shape[0] - 1) // 2
    start, border, offset = row[:size], row[size : 2 * size], row[-1]
    last = jnp.zeros(size, row.dtype).at[-1].set(1)

    def errors(x: Float[Array, " n1"], value: Float[Array, " n"]) -> Float[Array, " n1"]:
        return jnp.append(value, border @ x - offset)

    def unfinished(carry: _Iterate) -> Bool[Array, ""]:
        return ~carry.converged & (carry.rounds < MAX_ROUNDS)

    def improve(carry: _Iterate) -> _Iterate:
        x = carry.point
        value, matrix = curve.derivative(x)
        factors = jax.scipy.linalg.lu_factor(jnp.concatenate([matrix, border[None]]))
        tangent = jax.scipy.linalg.lu_solve(factors, last)
        wrong = errors(x, value)
        first = norm = jnp.linalg.norm(wrong)
        better = x
        for chord in range(CHORD_STEPS):
            trial = better - jax.scipy.linalg.lu_solve(factors, wrong)
            trial_wrong = errors(trial, curve(trial))
            trial_norm = jnp.linalg.norm(trial_wrong)
            # A full Newton step may raise ‖G‖ on its way, as past a kink; later chord steps may not.
            takes = jnp.isfinite(trial_norm) if chord == 0 else trial_norm < norm
            better = jnp.where(takes, trial, better)
            wrong = jnp.where(takes, trial_wrong, wrong)
            norm = jnp.where(takes, trial_norm, norm)
        lengths = jnp.minimum(jnp.linalg.norm(matrix, axis=1), 1)
        exact = jnp.abs(value) <= jnp.maximum(RESIDUAL * lengths, ROUNDING) * (1 + jnp.linalg.norm(x))
        on_plane = jnp.abs(border @ x - offset) <= RESIDUAL * (1 + jnp.linalg.norm(x))
        converged = (exact.all() & on_plane) | ((first <= ROOT_RESIDUAL) & (norm > 0.5 * first))
        return _Iterate(
            jnp.where(converged, x, better),
            tangent / jnp.linalg.norm(tangent),
            matrix,
            jnp.linalg.norm(value),
            converged,
            carry.rounds + 1,
        )

    matrix = jnp.zeros((size - 1, size), row.dtype)
    nothing = _Iterate(start, last, matrix, jnp.asarray(jnp.inf, row.dtype), jnp.asarray(False), jnp.asarray(0))
    found = jax.lax.while_loop(unfinished, improve, nothing)
    finite = jnp.isfinite(found.tangent).all() & jnp.isfinite(found.matrix).all()
    return found._replace(converged=found.converged & finite)
