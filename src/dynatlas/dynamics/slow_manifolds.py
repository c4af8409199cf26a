"""Slow manifolds: the slowest state at each value of an output.

An integrator holds its sum along a line of states that hardly move. A search for fixed points finds only the few points
on it where the speed has a local minimum. Minimising the speed at each of several values of the output samples the line
evenly, and measures how fast a held value drifts.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.step import Step, residual, residual_and_jacobian, static_inputs

ITERATIONS = 60
FIRST_DAMPING = 1e-2
# An extent is that between these quantiles, so that no single state decides it.
EXTENT = (0.05, 0.95)


@dataclass(frozen=True, eq=False, repr=False)
class SlowManifold(SummaryRepr):
    """The slowest state at each of p values of an output.

    Attributes:
        values: the output at each state [p].
        states: [p, n].
        q: ½‖F(h) − h‖² at each state [p].
        drift: change of the output in one step from each state [p].
    """

    values: NDArray[np.float64]
    states: NDArray[np.float64]
    q: NDArray[np.float64]
    drift: NDArray[np.float64]

    @property
    def line_share(self) -> float:
        """Share of the states' variance along their first principal component: 1 for a straight line."""
        scales = np.linalg.svd(self.states - self.states.mean(axis=0), compute_uv=False) ** 2
        return float(scales[0] / scales.sum()) if scales.sum() > 0 else 1.0

    @property
    def drift_share(self) -> float:
        """Root mean square drift per step, relative to the range of values: 0 for a line of fixed points.

        NaN if all values are equal, as for an output that never changes.
        """
        span = float(np.ptp(self.values))
        return float(np.sqrt((self.drift**2).mean())) / span if span > 0 else float("nan")

    @property
    def length(self) -> float:
        """Length of the path from state to state."""
        return float(np.linalg.norm(np.diff(self.states, axis=0), axis=1).sum())

    @property
    def speed_share(self) -> float:
        """Root mean square of ‖F(h) − h‖ over the states, relative to the length: 0 for a line of fixed points.

        NaN for a manifold without length.
        """
        return float(np.sqrt((2 * self.q).mean())) / self.length if self.length > 0 else float("nan")

    def project(self, states: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how far along the path each state [k, n] lies, in units of length, and its distance from the path.

        The path continues straight beyond both ends.
        """
        steps = np.diff(self.states, axis=0)
        lengths = np.maximum(np.linalg.norm(steps, axis=1), 1e-300)
        ahead = np.concatenate([[0.0], np.cumsum(lengths)])[:-1]
        offsets = states[:, None] - self.states[None, :-1]
        along = np.einsum("kpn,pn->kp", offsets, steps / lengths[:, None])
        along[:, 1:] = np.maximum(along[:, 1:], 0)
        along[:, :-1] = np.minimum(along[:, :-1], lengths[:-1])
        across = np.linalg.norm(offsets - along[:, :, None] * (steps / lengths[:, None]), axis=2)
        nearest = across.argmin(axis=1)
        rows = np.arange(len(states))
        return (ahead + along)[rows, nearest], across[rows, nearest]

    def length_to_width(self, states: NDArray[np.float64]) -> float:
        """Return the extent of states along the path, relative to that across it.

        Meant for states [k, n] that the network has come to without evidence: near a line attractor they are spread
        along it and not across. An extent is that from the 5 % to the 95 % quantile; across the path, twice the 95 %
        quantile of the distance from it. NaN without a finite state.

        Example:
            A step halves the distance from the line along (1, 1). Without evidence, all states come to it and stay.

            >>> matrix = np.array([[0.75, 0.25], [0.25, 0.75]])
            >>> line = slow_manifold(lambda h, x: matrix @ h, [1.0, 1.0], 0.0, [-1, 0, 1], np.eye(2))
            >>> states = np.random.default_rng(0).normal(size=(100, 2))
            >>> later = states @ np.linalg.matrix_power(matrix, 10)
            >>> line.length_to_width(states) < 2, line.length_to_width(later) > 100
            (True, True)
        """
        finite = states[np.isfinite(states).all(axis=1)]
        if not len(finite):
            return float("nan")
        along, across = self.project(finite)
        width = 2 * float(np.quantile(across, EXTENT[1]))
        return extent(along) / width if width > 0 else float("inf")

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


def extent(values: NDArray[np.float64]) -> float:
    """Return the distance from the 5 % to the 95 % quantile of finite values; NaN without any.

    Example:
        >>> extent(np.array([*range(101), np.inf]))
        90.0
    """
    finite = values[np.isfinite(values)]
    return float(np.diff(np.quantile(finite, EXTENT))[0]) if len(finite) else float("nan")


def slow_manifold(
    step: Step,
    readout_weights: ArrayLike,
    readout_bias: ArrayLike,
    values: ArrayLike,
    visited: ArrayLike,
    inputs: ArrayLike | None = None,
) -> SlowManifold:
    """Find the slowest state at each of several values of an output, in float64.

    For each value, q(h) = ½‖F(h, x) − h‖² is minimised over the states with R h + d = value, by Levenberg–Marquardt
    from the visited state whose output is nearest.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        readout_weights: R [n], for the whole state, with 0 where the output ignores a coordinate. For an output that is
            not affine, [samples, n]: its derivative at each visited state; a value is then sought to first order.
        readout_bias: d; [samples] with a derivative at each visited state.
        values: [p], at least two.
        visited: [samples, n], states that the network visits under this input.
        inputs: [m], the static input, or None.

    Raises:
        ValueError: the readout is 0 or not finite, or there are fewer than two values.

    Example:
        A line attractor along (1, 1): each step halves the distance from the line.

        >>> matrix = np.array([[0.75, 0.25], [0.25, 0.75]])
        >>> line = slow_manifold(lambda h, x: matrix @ h, [1.0, 1.0], 0.0, [-1, 0, 1], np.eye(2))
        >>> line.states.round(6).tolist(), round(line.line_share, 6)
        ([[-0.5, -0.5], [0.0, 0.0], [0.5, 0.5]], 1.0)

    Maheswaranathan et al. 2019 resample the fixed points that their search finds instead.
    """
    weights, targets = np.asarray(readout_weights, np.float64), np.asarray(values, np.float64)
    samples = np.asarray(visited, np.float64)
    if not np.isfinite(weights).all() or not weights.any():
        raise ValueError("readout_weights are 0 or not finite; expected an output that depends on the state")
    if len(targets) < 2:
        raise ValueError(f"{len(targets)} values; expected at least 2")
    if weights.ndim == 2:
        return _along_a_curved_output(step, weights, np.asarray(readout_bias, np.float64), targets, samples, inputs)
    direction = weights / np.linalg.norm(weights)
    bias = np.asarray(readout_bias, np.float64)
    outputs = samples @ weights + bias
    nearest = samples[np.abs(outputs[None] - targets[:, None]).argmin(axis=1)]
    gap = (targets - (nearest @ weights + bias)) / np.linalg.norm(weights)
    with jax.enable_x64(True):
        starts = jnp.asarray(nearest + gap[:, None] * direction)
        states, residuals = map(np.asarray, _slowest(step, starts, jnp.asarray(direction), static_inputs(inputs)))
    return SlowManifold(targets, states, 0.5 * (residuals**2).sum(axis=1), residuals @ weights)


def _along_a_curved_output(
    step: Step,
    weights: NDArray[np.float64],
    bias: NDArray[np.float64],
    targets: NDArray[np.float64],
    samples: NDArray[np.float64],
    inputs: ArrayLike | None,
) -> SlowManifold:
    """Find the slowest states of an output that is linearised at each visited state."""
    outputs = np.einsum("sn,sn->s", weights, samples) + bias
    nearest = np.abs(outputs[None] - targets[:, None]).argmin(axis=1)
    of_nearest = weights[nearest]
    norms = np.linalg.norm(of_nearest, axis=1)
    if not (norms > 0).all():
        raise ValueError("readout_weights are 0 at a visited state; expected an output that depends on the state")
    directions = of_nearest / norms[:, None]
    starts = samples[nearest] + ((targets - outputs[nearest]) / norms)[:, None] * directions
    with jax.enable_x64(True):
        given = static_inputs(inputs)
        found = [
            _slowest(step, jnp.asarray(start[None]), jnp.asarray(direction), given)
            for start, direction in zip(starts, directions, strict=True)
        ]
    states, residuals = (np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*found, strict=True))
    drift = np.einsum("pn,pn->p", of_nearest, residuals)
    return SlowManifold(targets, states, 0.5 * (residuals**2).sum(axis=1), drift)


@eqx.filter_jit
def _slowest(
    step: Step, starts: Float[Array, "p n"], direction: Float[Array, " n"], inputs: Float[Array, " m"] | None
) -> tuple[Float[Array, "p n"], Float[Array, "p n"]]:
    """Minimise q from each start without moving along ``direction``; return the states and F(h) − h there."""
    n = starts.shape[1]
    across = jnp.eye(n) - jnp.outer(direction, direction)

    def improve(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        state, damping = carry
        r, jacobian = residual_and_jacobian(step, state, inputs)
        jacobian = jacobian @ across
        norm = jnp.linalg.norm(r)
        # q has no slope along the direction; damped by 1, the system stays regular and its solution orthogonal to it.
        normal = jacobian.T @ jacobian + damping * norm * across + jnp.outer(direction, direction)
        trial = state - across @ jnp.linalg.solve(normal + 1e-14 * jnp.eye(n), jacobian.T @ r)
        trial_residual = residual(step, trial, inputs)
        better = trial_residual @ trial_residual < r @ r
        return (jnp.where(better, trial, state), jnp.clip(damping * jnp.where(better, 0.25, 4.0), 1e-12, 1e12)), None

    def one(state: Float[Array, " n"]) -> tuple[Array, Array]:
        (state, _), _ = jax.lax.scan(improve, (state, jnp.asarray(FIRST_DAMPING)), length=ITERATIONS)
        return state, residual(step, state, inputs)

    return jax.vmap(one)(starts)
