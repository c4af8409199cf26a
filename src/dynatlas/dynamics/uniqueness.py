"""What can be said of fixed points beyond having found them: around each that it is unique, and how many are unseen.

The third certificate, the index sum, comes out of the search itself (see ``fixed_points``).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.intervals import NotEnclosableError, enclose, with_slopes
from dynatlas.dynamics.root_search import Step, residual_and_jacobian

# The radius is searched among scale · 10^[−12, 1] by so many bisections, which leave 1 % of it.
DECADES = (-12.0, 1.0)


BISECTIONS = 11


CHUNK = 1  # points per call of the compiled proof: there often is but one


class Uniqueness(NamedTuple):
    """What Krawczyk's test proves around each point, in the largest of the coordinates' differences.

    Attributes:
        radius: within this distance of the point there is exactly one fixed point [p]; 0 where nothing is proven, as
            at a degenerate point, at a slow point, or on a kink.
        error: and it is within this distance [p]; infinite where nothing is proven.
    """

    radius: NDArray[np.float64]
    error: NDArray[np.float64]


def uniqueness(step: Step, states: Any, inputs: Any | None = None) -> Uniqueness:
    """Prove that a fixed point lies next to each state, and that it is alone within some radius.

    With r = F(h) − h, C an approximate inverse of J(h) − I, and M bounds on J − I over the whole box of radius ρ around
    h (``enclosures``), there is exactly one fixed point in the box if |C r| + ‖I − C M‖ ρ < ρ in every coordinate. The
    largest such ρ is sought. Computed in float64 without control of rounding: a numerical proof, not a rigorous one.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        states: [p, n].
        inputs: [m], or None.

    Raises:
        ValueError: ``step`` uses an operation without known bounds, such as a loop.

    Example:
        h = tanh(2h) has the roots 0 and ±0.9575; that nothing else is within 0.1 of 0 is proven.

        >>> proof = uniqueness(lambda h, x: jnp.tanh(2 * h), np.zeros((1, 1)))
        >>> bool(0.1 < proof.radius[0] < 0.9575), bool(proof.error[0] < 1e-12)
        (True, True)

    Source: Krawczyk 1969; Moore 1977.
    """
    with jax.enable_x64(True):
        states = np.asarray(states, np.float64)
        static = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
        try:
            return Uniqueness(*in_chunks(lambda chunk: _prove(step, chunk, static), states, CHUNK))
        except NotEnclosableError as error:
            raise ValueError(f"no bounds can be computed on this step function: {error}") from error


@eqx.filter_jit
def _prove(
    step: Step, states: Float[Array, "points n"], inputs: Any
) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    def one(state: Float[Array, " n"]) -> tuple[Array, Array]:
        n = state.shape[0]
        identity = jnp.eye(n)
        residual, jacobian = residual_and_jacobian(step, state, inputs)
        inverse = jnp.linalg.inv(jacobian)
        newton_step = jnp.abs(inverse @ residual)
        jacobians = jax.jacfwd(with_slopes(lambda h: step(h, inputs)))

        def contraction(radius: Float[Array, ""]) -> Float[Array, " n"]:
            """‖I − C M‖ of each row, over the box of this radius."""
            bounds = enclose(jacobians, state - radius, state + radius)
            middle, spread = (bounds.low + bounds.high) / 2 - identity, (bounds.high - bounds.low) / 2
            return (jnp.abs(identity - inverse @ middle) + jnp.abs(inverse) @ spread).sum(axis=1)

        def halve(range_: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            """Try the middle, and the lower end first of all."""
            least, most, error = range_
            begins = jnp.isnan(error)
            middle = jnp.where(begins, least, (least + most) / 2)
            factors = contraction(10**middle)
            proven = jnp.all(newton_step + factors * 10**middle < 10**middle)
            bound = jnp.where(proven, newton_step.max() / (1 - factors.max()), jnp.inf)
            most = jnp.where(proven | begins, most, middle)
            return (jnp.where(proven, middle, least), most, jnp.where(begins, bound, error)), None

        # Below the smallest radius that the residual admits nothing holds; from there on what holds, holds for less.
        least = jnp.maximum(jnp.log10(4 * jnp.maximum(newton_step.max(), 1e-300)), DECADES[0])
        first = (least, jnp.asarray(DECADES[1]), jnp.asarray(jnp.nan))
        (proven, _, error), _ = jax.lax.scan(halve, first, length=1 + BISECTIONS)
        return jnp.where(jnp.isfinite(error), 10**proven, 0.0), error

    return jax.vmap(one)(states)
