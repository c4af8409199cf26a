"""Proof that a fixed point is unique within a radius, by Krawczyk's test."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, in_chunks
from dynatlas.dynamics.intervals.arithmetic import NotEnclosableError, enclose, with_tight_derivatives
from dynatlas.dynamics.step import Step, next_state, residual_and_jacobian, static_inputs

# The radius is searched in 10^[−12, 1] by bisection of its logarithm, to within 1.5 %.
DECADES = (-12.0, 1.0)
BISECTIONS = 11
CHUNK = 1  # points per call of the compiled proof: often there is only one


class Uniqueness(NamedTuple):
    """Result of Krawczyk's test around each point, in the maximum norm.

    Attributes:
        radius: distance from the point within which there is exactly one fixed point [p]; 0 where nothing is proven, as
            at a degenerate point, at a slow point, or on a kink.
        error: bound on the distance of that fixed point [p]; infinite where nothing is proven.
    """

    radius: NDArray[np.float64]
    error: NDArray[np.float64]


def uniqueness(step: Step, states: ArrayLike, inputs: ArrayLike | None = None) -> Uniqueness:
    """Prove that each state is near a fixed point, and that no other lies within some radius.

    With r = F(h) − h, C an approximate inverse of J(h) − I, and M bounds of J − I over the whole box of radius ρ around
    h (see ``intervals``), the box holds exactly one fixed point if |C r| + ‖I − C M‖ ρ < ρ in every coordinate. The
    largest such ρ is sought. The computation uses float64 without control of rounding: the proof is numerical, not
    rigorous.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        states: [p, n].
        inputs: [m], or None.

    Raises:
        ValueError: ``step`` uses an operation without known bounds, such as a loop.

    Example:
        h = tanh(2h) has the roots 0 and ±0.9575; the proof excludes others within 0.1 of 0.

        >>> proof = uniqueness(lambda h, x: jnp.tanh(2 * h), np.zeros((1, 1)))
        >>> bool(0.1 < proof.radius[0] < 0.9575), bool(proof.error[0] < 1e-12)
        (True, True)

    Source: Krawczyk 1969; Moore 1977.
    """
    with jax.enable_x64(True):
        static = static_inputs(inputs)
        try:
            rows = np.asarray(states, np.float64)
            return Uniqueness(*in_chunks(lambda chunk: _prove(step, chunk, static), rows, CHUNK))
        except NotEnclosableError as error:
            raise ValueError(f"no bounds can be computed on this step function: {error}") from error


@eqx.filter_jit
def _prove(
    step: Step, states: Float[Array, "points n"], inputs: Float[Array, " m"] | None
) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    def one(state: Float[Array, " n"]) -> tuple[Array, Array]:
        n = state.shape[0]
        identity = jnp.eye(n)
        residual, jacobian = residual_and_jacobian(step, state, inputs)
        inverse = jnp.linalg.inv(jacobian)
        newton_step = jnp.abs(inverse @ residual)
        jacobians = jax.jacfwd(with_tight_derivatives(lambda h: next_state(step, h, inputs)))

        def contraction(radius: Float[Array, ""]) -> Float[Array, " n"]:
            """Return ‖I − C M‖ of each row over the box of this radius."""
            bounds = enclose(jacobians, state - radius, state + radius)
            middle, spread = (bounds.low + bounds.high) / 2 - identity, (bounds.high - bounds.low) / 2
            return (jnp.abs(identity - inverse @ middle) + jnp.abs(inverse) @ spread).sum(axis=1)

        def bisect(bracket: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            """Test the middle of the bracket; in the first round, its lower end."""
            low, high, error = bracket
            is_first = jnp.isnan(error)
            middle = jnp.where(is_first, low, (low + high) / 2)
            factors = contraction(10**middle)
            proven = jnp.all(newton_step + factors * 10**middle < 10**middle)
            bound = jnp.where(proven, newton_step.max() / (1 - factors.max()), jnp.inf)
            high = jnp.where(proven | is_first, high, middle)
            return (jnp.where(proven, middle, low), high, jnp.where(is_first, bound, error)), None

        # No radius below the Newton step can be proven; from four of it on, a proof for a radius implies smaller ones.
        low = jnp.maximum(jnp.log10(4 * jnp.maximum(newton_step.max(), 1e-300)), DECADES[0])
        first = (low, jnp.asarray(DECADES[1]), jnp.asarray(jnp.nan))
        (proven, _, error), _ = jax.lax.scan(bisect, first, length=1 + BISECTIONS)
        return jnp.where(jnp.isfinite(error), 10**proven, 0.0), error

    return jax.vmap(one)(states)
