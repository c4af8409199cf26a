"""Slow manifolds that hold a value: the states of least speed at each value of an output.

An integrator holds its sum along a line of states that all but stand still. A search for fixed points marks only the
few places along it where the speed has a local minimum. Here the speed is minimised at each of a chain of values of the
output in turn, which samples the line evenly, and tells how fast the value drifts where it is held.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.root_search import Step, residual_and_jacobian

ITERATIONS = 60


FIRST_DAMPING = 1e-2


@dataclass(frozen=True, eq=False, repr=False)
class SlowManifold(SummaryRepr):
    """A chain of states, one at each value of an output.

    Attributes:
        values: the output's value at each state [p].
        states: [p, n].
        q: ½‖F(h) − h‖² there [p].
        drift: by how much the output changes in one step from there [p].
    """

    values: NDArray[np.float64]
    states: NDArray[np.float64]
    q: NDArray[np.float64]
    drift: NDArray[np.float64]

    @property
    def line_share(self) -> float:
        """Share of the states' variance along one dimension: 1 for a straight line."""
        scales = np.linalg.svd(self.states - self.states.mean(axis=0), compute_uv=False) ** 2
        return float(scales[0] / scales.sum()) if scales.sum() > 0 else 1.0

    @property
    def drift_share(self) -> float:
        """Root mean square drift per step, relative to the range of values: 0 for a line of fixed points.

        NaN where all values are the same, as for an output that never moves.
        """
        reach = float(np.ptp(self.values))
        return float(np.sqrt((self.drift**2).mean())) / reach if reach > 0 else float("nan")

    def _summary(self) -> Summary:
        return Summary(
            f"SlowManifold of {len(self.values)} states in {self.states.shape[1]} dimensions",
            (
                ("outputs", f"{self.values.min():.4g} to {self.values.max():.4g}"),
                ("largest q", f"{self.q.max():.3g}"),
                ("drift", f"{self.drift_share:.3g} of the outputs' range per step"),
                ("straightness", f"{self.line_share:.4f} of the variance along one dimension"),
            ),
        )


def slow_manifold(
    step: Step,
    readout_weights: Any,
    readout_bias: float,
    values: Any,
    visited: Any,
    inputs: Any | None = None,
) -> SlowManifold:
    """The state of least speed at each of some values of an output, in float64.

    q(h) = ½‖F(h, x) − h‖² is minimised over the states with R h + d = value, by Levenberg–Marquardt from that of the
    visited states whose output comes nearest.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        readout_weights: R [n]: of the states, not of the hidden units alone; 0 for what the output does not see.
        readout_bias: d.
        values: [p], at least two.
        visited: [samples, n]: states that the network visits under this input.
        inputs: [m], the static input, or None.

    Raises:
        ValueError: a readout that is 0 or not finite, fewer than two values.

    Example:
        A line attractor along (1, 1): its states lose half of what lies beside the line.

        >>> matrix = np.array([[0.75, 0.25], [0.25, 0.75]])
        >>> line = slow_manifold(lambda h, x: matrix @ h, [1.0, 1.0], 0.0, [-1, 0, 1], np.eye(2))
        >>> line.states.round(6).tolist(), round(line.line_share, 6)
        ([[-0.5, -0.5], [0.0, 0.0], [0.5, 0.5]], 1.0)

    The paper resamples the fixed points that its search happens to find; the chain at even values is ours.
    """
    weights = np.asarray(readout_weights, np.float64)
    values, visited = np.asarray(values, np.float64), np.asarray(visited, np.float64)
    if not np.isfinite(weights).all() or not weights.any():
        raise ValueError("readout_weights are 0 or not finite; an output that shows nothing has no chain of values")
    if len(values) < 2:
        raise ValueError(f"{len(values)} values; expected at least 2")
    direction = weights / np.linalg.norm(weights)
    outputs = visited @ weights + readout_bias
    nearest = visited[np.abs(outputs[None] - values[:, None]).argmin(axis=1)]
    gap = (values - (nearest @ weights + readout_bias)) / np.linalg.norm(weights)
    with jax.enable_x64(True):
        static = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
        states, residuals = (
            np.asarray(part)
            for part in _slowest(step, jnp.asarray(nearest + gap[:, None] * direction), jnp.asarray(direction), static)
        )
    return SlowManifold(values, states, 0.5 * (residuals**2).sum(axis=1), residuals @ weights)


@eqx.filter_jit
def _slowest(
    step: Step, starts: Float[Array, "p n"], direction: Float[Array, " n"], inputs: Any
) -> tuple[Float[Array, "p n"], Float[Array, "p n"]]:
    """Minimise q from each start without moving along ``direction``; the states and F(h) − h there."""
    n = starts.shape[1]
    across = jnp.eye(n) - jnp.outer(direction, direction)

    def improve(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        state, damping = carry
        residual, jacobian = residual_and_jacobian(step, state, inputs)
        jacobian = jacobian @ across
        norm = jnp.linalg.norm(residual)
        # The direction itself has no slope left; damped by 1 the system stays regular and its solution orthogonal to
        # it.
        normal = jacobian.T @ jacobian + damping * norm * across + jnp.outer(direction, direction)
        trial = state - across @ jnp.linalg.solve(normal + 1e-14 * jnp.eye(n), jacobian.T @ residual)
        following = step(trial, inputs) - trial
        better = following @ following < residual @ residual
        return (jnp.where(better, trial, state), jnp.clip(damping * jnp.where(better, 0.25, 4.0), 1e-12, 1e12)), None

    def one(state: Float[Array, " n"]) -> tuple[Array, Array]:
        (state, _), _ = jax.lax.scan(improve, (state, jnp.asarray(FIRST_DAMPING)), length=ITERATIONS)
        return state, step(state, inputs) - state

    return jax.vmap(one)(starts)
