"""Balls around stable points that are proven to lie in their basins.

For J the Jacobian at the stable point and γ between its spectral radius and 1, the matrix P with P − JᵀPJ/γ² = I is
positive definite (Stein's equation). With P = RᵀR, ‖R J R⁻¹‖ < γ: the linear map contracts in the norm ‖R x‖. Over the
ellipsoid ‖R x‖ ≤ c around the point, J changes by at most D in each entry, and where ‖R J R⁻¹‖ + ‖|R| D |R⁻¹|‖ < 1 the
map contracts, too. The ellipsoid then maps into itself, every state in it goes to the point, and it holds a Euclidean
ball of radius c/‖R‖.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.intervals.arithmetic import NotEnclosableError, enclose, with_tight_derivatives
from dynatlas.dynamics.linearization import linearize
from dynatlas.dynamics.robustness.arrival import StablePoints
from dynatlas.dynamics.step import Step, next_state

# γ² = ρ² + this share of 1 − ρ²: near ρ the ellipsoid is long and thin, near 1 nothing is left for D.
BETWEEN = 0.9
DECADES = (-9.0, 1.0)  # of the radius
BISECTIONS = 12
CHUNK = 1  # points per call of the compiled proof


def proven_radii(stable: StablePoints) -> Float[np.ndarray, " a"]:
    """Return the radius of a ball around each stable point that lies in its basin; 0 where nothing is proven.

    The computation uses float64 without control of rounding: the proof is numerical, not rigorous. Nothing is proven
    for a step that uses an operation without known bounds. Call it where 64 bits are enabled.
    """
    if not len(stable):
        return np.zeros(0)
    inputs = None if stable.inputs is None else np.asarray(stable.inputs)
    factors, inverses = zip(*map(_norm_of, linearize(stable.step, stable.states, inputs).jacobian), strict=True)
    rows = np.concatenate([stable.states[:, None], np.array(factors), np.array(inverses)], axis=1)
    try:
        return in_chunks(lambda chunk: (_prove(stable.step, chunk, stable.inputs),), rows, CHUNK)[0]
    except NotEnclosableError:
        return np.zeros(len(stable))


def _norm_of(jacobian: Float[np.ndarray, "n n"]) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """Return R, in whose norm the Jacobian contracts, scaled to ‖R‖ = 1, and its inverse."""
    identity = np.eye(len(jacobian))
    radius = float(np.abs(np.linalg.eigvals(jacobian)).max())
    share = np.sqrt(radius**2 + BETWEEN * (1 - radius**2))
    form = scipy.linalg.solve_discrete_lyapunov(jacobian.T / share, identity)
    factor = scipy.linalg.cholesky((form + form.T) / 2)
    factor /= np.linalg.norm(factor, 2)
    return factor, scipy.linalg.solve_triangular(factor, identity)


@eqx.filter_jit
def _prove(
    step: Step, rows: Float[Array, "points rows n"], inputs: Float[Array, " m"] | None
) -> Float[Array, " points"]:
    jacobians = jax.jacfwd(with_tight_derivatives(lambda h: next_state(step, h, inputs)))

    def one(parts: Float[Array, "rows n"]) -> Float[Array, ""]:
        n = parts.shape[1]
        state, factor, inverse = parts[0], parts[1 : n + 1], parts[n + 1 :]
        widths = jnp.linalg.norm(inverse, axis=1)  # of the box that holds the ellipsoid

        def contracts(radius: Float[Array, ""]) -> Array:
            bounds = enclose(jacobians, state - radius * widths, state + radius * widths)
            middle, spread = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low) / 2
            changes = jnp.linalg.norm(jnp.abs(factor) @ spread @ jnp.abs(inverse), 2)
            return jnp.asarray(jnp.linalg.norm(factor @ middle @ inverse, 2) + changes < 1)

        def bisect(bracket: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            low, high = bracket
            middle = (low + high) / 2
            proven = contracts(10**middle)
            return (jnp.where(proven, middle, low), jnp.where(proven, high, middle)), None

        low, high = (jnp.asarray(decade) for decade in DECADES)
        first = contracts(10**low)
        (proven, _), _ = jax.lax.scan(bisect, (low, high), length=BISECTIONS)
        return jnp.where(first, 10**proven, 0.0)

    return jax.vmap(one)(rows)
